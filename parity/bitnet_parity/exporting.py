"""A report as the file that its reader wants, by suffix: .json .jsonl .csv .md .html.

    export(report.to_json(), Path("parity.html"))
    render(report.to_json(), ".csv")                    # bytes

The same report is the same bytes. Whatever came out of a file (names, paths, pieces) is shown by `safe`, and then
escaped for the format it goes into: a spreadsheet runs a cell that begins with `=`, a page runs a script. The numbers
are taken as the report's JSON lays them out, whichever metrics that are. Knows no model.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from bitnet_engine.errors import SettingError
from bitnet_engine.files import write_atomic
from bitnet_engine.visible import safe

Row = tuple[str, str, Any]
"""A section, a name with its keys joined by dots, and a value."""

SUFFIXES = (".json", ".jsonl", ".csv", ".md", ".html")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKUP = re.compile(
    r"[\\`*\[\]<>~|#@&]"  # code, emphasis, links, tags, strikes, cells, references, people, entities
    r"|(?<![^\W_])_|_(?![^\W_])"  # between letters an underscore is one
    r"|^[-+=]|^\d{1,9}[.)](?!\S)"  # lists and rules begin a line only
    r"|:(?=//)|(?<=www)\.",  # addresses that GitHub makes links of
    re.IGNORECASE,
)
"""What Markdown, and GitHub's kind of it, takes for markup where it stands: the last character of a match."""
_LIMIT = 400


def export(report: Mapping[str, Any], path: Path) -> None:
    """Write `report`, as `Report.to_json` returns it, in the format that the suffix of `path` names.

    Raises:
        SettingError: a suffix that is none of those.
        BitnetError: .html without the [report] extra.
        StorageError: the file cannot be written.
    """
    write_atomic(path, render(report, path.suffix))


def render(report: Mapping[str, Any], suffix: str) -> bytes:
    """Return the bytes of a report in the format of `suffix`; raises as `export`."""
    writers: tuple[Callable[[Mapping[str, Any]], bytes], ...] = (_json, _jsonl, _csv, markdown, _html)
    if suffix not in SUFFIXES:
        raise SettingError(f"'{suffix}' is no format of a report; {', '.join(SUFFIXES)} are.")
    return writers[SUFFIXES.index(suffix)](report)


def rows(report: Mapping[str, Any]) -> Iterator[Row]:
    """Yield all that a report says, flat: verdict, gates, metrics, sides, settings, stamp, weights, documents."""
    yield "verdict", "verdict", report["judgement"]["verdict"]
    yield "verdict", "profile", report["judgement"]["profile"]
    for gate in report["judgement"]["gates"]:
        yield from _flat("gate", {key: value for key, value in gate.items() if key != "gate"}, gate["gate"])
    for section in ("metrics", "reference", "candidate", "corpus", "settings", "stamp"):
        yield from _flat(section, report[section], "")
    if report["weights"] is not None:
        yield "weights", "tensors", report["weights"]["tensors"]
        for tensor in report["weights"]["differing"]:
            yield from _flat("weights", {key: value for key, value in tensor.items() if key != "name"}, tensor["name"])
    for document in report["documents"]:
        numbers = {key: value for key, value in document.items() if key != "name"}
        yield from _flat("document", numbers, document["name"])


def markdown(report: Mapping[str, Any]) -> bytes:
    """Return the verdict, the gates and the metrics as Markdown tables."""
    judgement = report["judgement"]
    sides = [
        f"- {side}: {markdown_text(report[side].get('path'))}{_precision(report[side])}"
        for side in ("reference", "candidate")
    ]
    gates = [[gate[key] for key in ("gate", "status", "value", "limit", "detail")] for gate in judgement["gates"]]
    metrics = [[name, value] for section, name, value in rows(report) if section == "metrics"]
    lines = [
        f"# Parity: {judgement['verdict']}",
        "",
        *sides,
        f"- corpus: {markdown_text(report['corpus'].get('name'))}, {_documents(report)}",
        f"- profile: {markdown_text(judgement['profile'])}",
        "",
        *markdown_table(["gate", "status", "value", "limit", "detail"], gates),
        "",
        *markdown_table(["metric", "value"], metrics),
    ]
    return ("\n".join(lines) + "\n").encode()


def shown(value: Any) -> str:
    """Return a value as a report shows it: what is missing is `undefined`, strings are made visible."""
    if value is None:
        return "undefined"
    return safe(value, _LIMIT) if isinstance(value, str) else safe(str(value), _LIMIT)


def _flat(section: str, value: Any, name: str) -> Iterator[Row]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(section, inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield section, name, orjson.dumps(value).decode()
    else:
        yield section, name, value


def _json(report: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _jsonl(report: Mapping[str, Any]) -> bytes:
    """Return the report without its documents on the first line, and a document on each that follows."""
    head = {key: value for key, value in report.items() if key != "documents"}
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in [head, *report["documents"]])


def _csv(report: Mapping[str, Any]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("section", "name", "value"))
    writer.writerows(tuple(map(csv_cell, row)) for row in rows(report))
    return stream.getvalue().encode()


def csv_cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet runs."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = safe(value, _LIMIT)
    # A spreadsheet takes such a string for a formula; the apostrophe makes it text. Numbers are numbers.
    return f"'{text}" if text.startswith(_FORMULA) else text


def _html(report: Mapping[str, Any]) -> bytes:
    from bitnet_parity.html_report import html

    return html(report)


def markdown_table(head: list[str], body: list[list[Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *([markdown_text(value) for value in row] for row in body)]
    return [f"| {' | '.join(line)} |" for line in lines]


def markdown_text(value: Any) -> str:
    """Return a value as Markdown shows it, none of its characters meaning anything."""
    return _MARKUP.sub(_escaped, shown(value)) if isinstance(value, str) else shown(value)


def _documents(report: Mapping[str, Any]) -> str:
    count = len(report["documents"])
    return f"{count} document{'s' * (count != 1)}"


def _escaped(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\{found[0][-1]}"


def _precision(side: Mapping[str, Any]) -> str:
    return f" ({markdown_text(side['precision'])})" if side.get("precision") else ""
