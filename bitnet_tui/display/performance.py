"""docs/performance.md, from committed measurements: the same bytes from the same artifacts.

    text = performance_page(load(Path("docs/measurements")))

Every number is an artifact's, with the command and the machine that made it. What no artifact measures is named as not
measured. Takes JSON; knows no file.
"""

from collections.abc import Iterator
from typing import Any

from bitnet_tui.core.bench_report import PARTS
from bitnet_tui.core.bench_text import amount, interval, threads_text
from bitnet_tui.core.measurements import Measurement, of_schema
from bitnet_tui.display.bench import figure

TITLE = """# Performance

Rendered by `bitnet-tui report perf` from the artifacts in [measurements/](measurements); with `--check` it exits 1
where this page and they differ. Do not edit it: measure again.

A value is the median of the samples that nothing disturbed, in brackets the order statistics that cover it in 95 % of
cases (of fewer than six samples: their range). Beside it the share of what the machine allows, by limits measured in
the same run on the same threads: plain reading of memory, and products of bytes on registers. `~` marks a measure of
which some samples were disturbed by steal, other processes or a lower clock, and left out; `–` one without enough
others.
"""

NO_SPEED = """## Speed
No artifact of `bitnet-tui bench` is among the measurements, so nothing is said of speed.
"""

_UNMEASURED = """## Not measured
{}

Nothing is claimed for these: run `bitnet-tui bench MODEL --export DIR` there, and add its bench.json to measurements/.
"""


def performance_page(found: list[Measurement]) -> str:
    """Return the page."""
    benches = list(of_schema(found, "bitnet-tui/bench"))
    speeds = [_bench(one) for one in benches] or [NO_SPEED]
    memory = (_memory(one) for one in of_schema(found, "bitnet-tui/memory"))
    parts = [TITLE, *speeds, *memory, *(_app(one) for one in of_schema(found, "bitnet-tui/app"))]
    return "\n".join([*parts, _unmeasured(benches)])


def _bench(one: Measurement) -> str:
    report, facts = one.artifact, one.artifact["model"]["facts"]
    trits = f"{facts['ternary_weights'] / 1e9:.2f} billion trits"
    lines = [
        f"## {report['model']['path']}",
        f"{facts['layers']} layers, {trits} in {facts['body_bytes'] / 1e6:.1f} MB, a head of "
        f"{facts['head_bytes'] / 1e6:.1f} MB in {facts['head_type']}, file {facts['file_bytes'] / 1e6:.1f} MB, "
        f"sha256 `{report['model']['sha256'][:16]}`.",
        "",
        *_origin(one.name, report["command"], report["stamp"]),
    ]
    if report["noisy"]:
        lines += [f"- noisy: {'; '.join(report['noisy'])}"]
    for threads in sorted({measure["threads"] for measure in report["measures"]}, reverse=True):
        lines += ["", *_measures([m for m in report["measures"] if m["threads"] == threads], threads)]
    return "\n".join([*lines, *_breakdowns(report["breakdown"]), *_versus(report), ""])


def _origin(name: str, command: str, stamp: dict[str, Any]) -> Iterator[str]:
    versions = stamp["versions"]
    yield f"- artifact: [measurements/{name}](measurements/{name})"
    yield f"- command: `{command}`"
    yield f"- machine: {stamp['cpu']}, {threads_text(stamp['threads'])}, {stamp['platform']}"
    yield f"- instruction sets: {', '.join(stamp['isa'])}"
    commit = str(stamp["git_commit"])[:12]
    yield f"- engine: {stamp['kernel'] or 'none started'}, jax {versions['jax']}, commit `{commit}`"


def _measures(measures: list[dict[str, Any]], threads: int) -> Iterator[str]:
    yield f"### {threads_text(threads).capitalize()}"
    yield ""
    yield "| | value | 95 % | of the limit | limit |"
    yield "|---|---|---|---|---|"
    for measure in measures:
        disturbed = any(sample["disturbed"] for sample in measure["samples"])
        share = "" if measure["share"] is None else f"{100 * measure['share']:.0f} %"
        limit = "" if measure["limit"] is None else measure["limit"]["what"]
        mark = "~ " if disturbed else ""
        yield f"| `{measure['case']}` | {mark}{figure(measure)} | {interval(measure['interval'])} | {share} | {limit} |"


def _breakdowns(breakdowns: list[dict[str, Any]]) -> Iterator[str]:
    if not breakdowns:
        return
    yield ""
    yield "Where a decoded token's time goes, in milliseconds. Each part is measured alone, so `rest` is what they"
    yield "leave unexplained, and may be negative."
    yield ""
    yield f"| threads | position | whole | {' | '.join(PARTS)} |"
    yield f"|---|---|---|{'---|' * len(PARTS)}"
    for found in breakdowns:
        cells = [found["total_ms"], *(found[f"{part}_ms"] for part in PARTS)]
        shown = " | ".join("–" if cell is None else f"{cell:.2f}" for cell in cells)
        yield f"| {found['threads']} | {found['position']} | {shown} |"


def _versus(report: dict[str, Any]) -> Iterator[str]:
    if not report["versus"]:
        return
    peer = report["peer"]
    yield ""
    yield f"### In turns with {peer['name']}"
    yield f"{peer['version']}; {peer['system']}"
    yield ""
    yield "The same file, prompts and threads; rounds alternate, and a ratio is that of pairs."
    yield ""
    yield "| threads | | ours | theirs | ratio | 95 % |"
    yield "|---|---|---|---|---|---|"
    for pair in report["versus"]:
        ratio = "–" if pair["ratio"] is None else f"{pair['ratio']:.2f}"
        sides = f"{figure(pair['ours'])} | {figure(pair['theirs'])}"
        yield f"| {pair['threads']} | `{pair['case']}` | {sides} | {ratio} | {interval(pair['interval'])} |"


def _memory(one: Measurement) -> str:
    artifact = one.artifact
    lines = [
        "## Memory of commands that load no model",
        f"On a file of {artifact['model_bytes'] / 1e6:.1f} MB whose largest tensor has "
        f"{artifact['largest_tensor_bytes'] / 1e6:.1f} MB; the limit is {artifact['limit_bytes'] / 1e6:.1f} MB.",
        "",
        *_origin(one.name, "python docs/measure_memory.py FOLDER", artifact["stamp"]),
        "",
        "| command | peak MB |",
        "|---|---|",
    ]
    lines += [f"| `{run['command']}` | {amount(run['peak_bytes'] / 1e6)} |" for run in artifact["runs"]]
    return "\n".join([*lines, ""])


def _app(one: Measurement) -> str:
    pieces = one.artifact["pieces"]
    lines = [
        "## The app in a terminal",
        "In a pseudo-terminal of 120 × 40: from the key's byte, or the start of the process, to the byte that ends the",
        "answer. A value is the median of the samples; the largest stands beside it.",
        "",
        *_origin(one.name, "python docs/measure_app.py", next(iter(pieces.values()))["stamp"]),
        "",
        "| | median | largest | limit |",
        "|---|---|---|---|",
    ]
    for measure in (measure for piece in pieces.values() for measure in piece["measures"]):
        largest = f"{amount(max(measure['samples']))} {measure['unit_of_samples']}"
        value, limit = (f"{amount(measure[name])} {measure['unit']}" for name in ("value", "limit"))
        lines.append(f"| {measure['what']} | {value} | {largest} | {limit} |")
    return "\n".join([*lines, ""])


def _unmeasured(benches: list[Measurement]) -> str:
    stamps = [one.artifact["stamp"] for one in benches]
    seen = " ".join(f"{stamp['device']} {stamp['cpu']} {' '.join(stamp['isa'])}".lower() for stamp in stamps)
    places = {
        "GPU: the XLA path with packed weights": ("gpu:", "cuda:", "rocm:"),
        "TPU: the Pallas path, which tests run in interpret mode": ("tpu:",),
        "ARM: the NEON kernel": ("asimd",),
        "AMD processors": ("amd ",),
    }
    missing = [f"- {place}" for place, signs in places.items() if not any(sign in seen for sign in signs)]
    return _UNMEASURED.format("\n".join(missing)) if missing else ""
