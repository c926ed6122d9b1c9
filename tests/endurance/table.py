"""The figures of the long runs in docs/reliability.md, written from their artifacts in docs/measurements.

python -m tests.endurance.table          # writes them anew; a test checks that they are current
"""

from collections.abc import Iterator
from typing import Any

from tests.endurance.artifact import ROOT, earlier

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- written by python -m tests.endurance.table -->", "<!-- end of the long runs -->"


def render() -> str:
    """Return the tables of what was recorded; a run without an artifact has none."""
    parts = (("fuzz", _fuzz), ("changing", _changing), ("killing", _killing), ("load", _load))
    found = [(name, earlier(name), rows) for name, rows in parts]
    return "\n".join(_section(name, artifact, list(rows(artifact))) for name, artifact, rows in found if artifact)


def page(text: str) -> str:
    """Return the page `text` with its figures written anew."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{render()}\n{END}{rest.split(END)[1]}"


def _section(name: str, artifact: dict[str, Any], rows: list[str]) -> str:
    stamp = artifact["stamp"]
    machine = f"{stamp['cpu']}, {stamp['threads']} threads, commit {str(stamp['git_commit'])[:12]}"
    told = f"`{artifact['command']}` on {machine} ([{name}.json](measurements/{name}.json)):"
    return "\n".join([told, "", *rows, ""])


def _fuzz(artifact: dict[str, Any]) -> Iterator[str]:
    yield "| target | seconds | inputs tried | edges of our code covered | peak | crashes, hangs, over the limit |"
    yield "|---|---|---|---|---|---|"
    for row in artifact["targets"]:
        ended = f"exit {row['exit_code']}: {len(row['crashes'])}" if row["exit_code"] else "none"
        figures = f"{row['seconds']} | {row['executions']:,} | {row['coverage']} | {row['peak_rss_mb']} MB"
        yield f"| {row['target']} | {figures} | {ended} |"


def _changing(artifact: dict[str, Any]) -> Iterator[str]:
    yield "| command | the file is | reads | moments | exit 4 | the answer of before | anything else |"
    yield "|---|---|---|---|---|---|---|"
    for row in artifact["runs"]:
        counts = f"{row['reads']} | {row['moments']} | {row['refused']} | {row['unchanged']} | {len(row['wrong'])}"
        yield f"| `{row['command']}` | {row['change']} | {counts} |"


def _killing(artifact: dict[str, Any]) -> Iterator[str]:
    yield "| what | moments | killed in time | a third state, other bytes, a stray |"
    yield "|---|---|---|---|"
    for name, title in (("exported", "export and its resumption"), ("converted", "conversion over an older file")):
        if name in artifact:
            row = artifact[name]
            yield f"| {title} | {row['moments']} | {row['kills']} | {len(row['wrong'])} |"
    if "full" in artifact:
        row = artifact["full"]
        yield f"| {', '.join(row['commands'])} without space: {'; '.join(row['disks'])} | – | – | {len(row['wrong'])} |"


def _load(artifact: dict[str, Any]) -> Iterator[str]:
    yield "| load | found | holds |"
    yield "|---|---|---|"
    for name, facts in (
        ("session", _session),
        ("exports", _exports),
        ("tensors", _walked),
        ("shards", _walked),
        ("corpus", _corpus),
    ):
        if name in artifact:
            yield f"| {name} | {facts(artifact[name])} | {'yes' if artifact[name]['holds'] else 'no'} |"


def _session(row: dict[str, Any]) -> str:
    sizes = [run["resident_bytes"] for run in row["rows"]]
    first, fifth, last = map(_mb, (sizes[0], sizes[len(sizes) // 5 - 1], sizes[-1]))
    return f"{row['runs']} parity runs in one app: {first} after the first, {fifth} after a fifth, {last} at the end"


def _exports(row: dict[str, Any]) -> str:
    codes = ", ".join(f"{row['exit_codes'].count(code)} × exit {code}" for code in sorted(set(row["exit_codes"])))
    same = "the bytes of a lone export" if row["same_bytes"] else "other bytes than a lone export"
    return f"{row['writers']} exports at once into one folder: {codes}; {same}"


def _walked(row: dict[str, Any]) -> str:
    slowest, largest = (max(one[key] for one in row["rows"]) for key in ("seconds", "peak_bytes"))
    return f"{row['count']:,} through convert, info, info --scan, diff: at most {slowest:.1f} s and {_mb(largest)} each"


def _corpus(row: dict[str, Any]) -> str:
    rows = [f"{one['tokens']:,} tokens: {one['seconds']:.0f} s, peak {_mb(one['peak_bytes'])}" for one in row["rows"]]
    return "; ".join(rows)


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
