"""What a screen shows as a file, by suffix: the same file from the app and from the command line.

    export_run(events, "runs/7f3a", Path("run.html"))       # the parity report of a recorded run
    export_table(model_table(summary), Path("model.csv"))    # what Inspect read from the header
    export_table(runs_table(runs), Path("runs.md"))          # the recorded runs

.json is everything, .jsonl a line for each row after one for the rest, .csv the rows, .md and .html what a person
reads. Strings out of files are made visible, then escaped for the format. Knows no screen; the picture of one (.svg)
is the app's to draw.
"""

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitnet_parity.exporting import SUFFIXES, csv_cell, markdown_table, markdown_text, shown
from bitnet_tui.core.events import Event, dumps
from bitnet_tui.core.inspect_view import InspectView, Row
from bitnet_tui.core.session import SettingError, export_report, finding_markdown, write_atomic
from bitnet_tui.core.store import RunInfo

PICTURE = ".svg"
FORMATS = (*SUFFIXES, PICTURE)
"""Every suffix that --export and the app's export know."""

_STYLE = "body{font:14px system-ui;margin:2em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"


@dataclass(frozen=True)
class Table:
    """A document of facts and rows of one kind."""

    title: str
    facts: Sequence[Row]
    columns: tuple[str, ...]
    """Fields of a record that .csv, .md and .html show."""
    records: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    """The whole JSON document."""
    key: str
    """Where `data` holds the records."""


def export_run(events: Iterable[Event], where: str, path: Path) -> None:
    """Write the parity report of a recorded run.

    Raises:
        SettingError: the run has no report, or the suffix is none.
        BitnetError: the report is damaged, or cannot be written.
    """
    from bitnet_parity.report import Report

    found = [event["report"] for event in events if event["event"] == "report" and "report" in event]
    if not found:
        raise SettingError(f"{where}: holds no report, since the run did not end. As {PICTURE} it can be exported.")
    export_report(Report.from_json(found[-1], Path(where)).to_json(), path)


def export_finding(finding: dict[str, Any], path: Path) -> None:
    """Write a diagnosis as .json or .md. Raises StorageError."""
    write_atomic(path, dumps(finding, indent=True) if path.suffix == ".json" else finding_markdown(finding))


def model_table(summary: Mapping[str, Any]) -> Table:
    """Return what `session.inspect` says of a model, a row a tensor."""
    facts = [*InspectView(summary).overview()]
    facts += [("finding", f"{f['subject']}: {f['message']}") for f in summary.get("findings", [])]
    columns = ("name", "type", "shape", "nbytes", "file", "offset")
    return Table("Model", facts, columns, summary.get("tensors", []), summary, "tensors")


def runs_table(runs: Sequence[RunInfo]) -> Table:
    """Return recorded runs, a row each."""
    records = [{**asdict(run), "path": str(run.path)} for run in runs]
    columns = ("id", "kind", "reference", "candidate", "verdict", "status", "tau_median", "tokens", "nbytes", "path")
    data = {"schema": "bitnet-tui/runs", "schema_version": 1, "runs": records}
    return Table("Runs", [("runs", str(len(records)))], columns, records, data, "runs")


def export_table(table: Table, path: Path) -> None:
    """Write `table` as the suffix of `path` says.

    Raises:
        SettingError: a suffix that is none of `SUFFIXES`.
        StorageError: the file cannot be written.
    """
    writers = dict(zip(SUFFIXES, (_json, _jsonl, _csv, _markdown, _html), strict=True))
    if path.suffix not in writers:
        raise SettingError(f"{path}: '{path.suffix}' is no format; {', '.join(FORMATS)} are.")
    write_atomic(path, writers[path.suffix](table))


def _json(table: Table) -> bytes:
    return dumps(table.data, indent=True)


def _jsonl(table: Table) -> bytes:
    head = {key: value for key, value in table.data.items() if key != table.key}
    return b"".join(map(dumps, [head, *table.records]))


def _csv(table: Table) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([csv_cell(value) for value in row] for row in _rows(table))
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _markdown(table: Table) -> bytes:
    facts = [f"- {markdown_text(label)}: {markdown_text(value)}" for label, value in table.facts]
    lines = [f"# {table.title}", "", *facts, "", *markdown_table(list(table.columns), _rows(table))]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _html(table: Table) -> bytes:
    """Return a page that needs nothing else: no script, no font, no address."""
    facts = "".join(f"<tr><th>{_text(label)}</th><td>{_text(value)}</td></tr>\n" for label, value in table.facts)
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row) + "</tr>\n" for row in _rows(table))
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{table.title}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{table.title}</h1>\n<table>\n{facts}</table>\n"
        f"<table>\n<tr>{head}</tr>\n{body}</table></body></html>\n"
    )
    return page.encode("utf-8", "backslashreplace")


def _text(value: Any) -> str:
    return html.escape(shown(value))


def _rows(table: Table) -> list[list[Any]]:
    """Return the cells of each record: a shape as `2560 × 2560`, what is missing as None."""
    return [[_cell(record.get(name)) for name in table.columns] for record in table.records]


def _cell(value: Any) -> Any:
    return " × ".join(map(str, value)) if isinstance(value, list | tuple) else value
