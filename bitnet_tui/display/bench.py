"""What `bench` measured, as plain lines of text.

    lines = bench_lines(report)

Takes the JSON that the artifact holds. Everything that came out of a file goes through `safe`.
"""

from typing import Any

from bitnet_tui.core.bench_report import PARTS
from bitnet_tui.core.bench_text import figure_of, interval, ratio_text, threads_text
from bitnet_tui.core.session import CACHE_TYPES
from bitnet_tui.core.text import safe
from bitnet_tui.display.plain import MARKS

MARK_OF_NOISE = "~"


def bench_lines(report: dict[str, Any]) -> list[str]:
    """Return `bench`'s answer: the model, a table for each number of threads, where the time goes, the verdict last."""
    facts, stamp = report["model"]["facts"], report["stamp"]
    cache = f" · cache {stamp['cache']}" if stamp.get("cache", CACHE_TYPES[0]) != CACHE_TYPES[0] else ""
    lines = [
        f"model       {safe(report['model']['path'])}  sha256 {report['model']['sha256'][:16]}",
        f"            {facts['layers']} layers · matrices {facts['body_bytes'] / 1e6:.1f} MB · "
        f"head {facts['head_bytes'] / 1e6:.1f} MB {facts['head_type']}",
        f"machine     {safe(stamp['cpu'])} · {safe(str(stamp['kernel']))} · numerics {stamp['numerics']}{cache}",
    ]
    for threads in sorted({measure["threads"] for measure in report["measures"]}, reverse=True):
        lines += ["", threads_text(threads)]
        lines += [_measure_line(measure) for measure in report["measures"] if measure["threads"] == threads]
    lines += _breakdown_lines(report["breakdown"])
    lines += _versus_lines(report)
    return [*lines, "", *_judgement_lines(report)]


def figure(measure: dict[str, Any]) -> str:
    """Return the value of a measure with its unit; a dash where noise left none."""
    return figure_of(measure["value"], measure["unit"])


def _measure_line(measure: dict[str, Any]) -> str:
    disturbed = sum(bool(sample["disturbed"]) for sample in measure["samples"])
    mark = MARK_OF_NOISE if disturbed else " "
    share, limit = "", ""
    if measure["share"] is not None:
        limit = safe(measure["limit"]["what"])
        reached = measure["share"]
        # Of what should be small, how often the limit it is: 1 % of the least time would read as fast.
        share = f"{1 / reached:.3g} ×" if measure["better"] == "lower" else f"{100 * reached:.0f} % of"
    noise = f" ({disturbed} of {len(measure['samples'])} samples disturbed)" if disturbed else ""
    bounds = interval(measure["interval"])
    case = f"{mark} {safe(measure['case'], 40):<20}"
    return f"{case}{figure(measure):>14}  {bounds:<18}{share:>8} {limit}{noise}".rstrip()


def _breakdown_lines(breakdowns: list[dict[str, Any]]) -> list[str]:
    if not breakdowns:
        return []
    lines = ["", "where a decoded token's time goes, in ms (each part measured alone)"]
    for found in breakdowns:
        parts = " · ".join(f"{name} {_milliseconds(found[f'{name}_ms'])}" for name in PARTS)
        total = _milliseconds(found["total_ms"])
        lines.append(f"  {threads_text(found['threads'])}, position {found['position']}: {total} = {parts}")
    return lines


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _versus_lines(report: dict[str, Any]) -> list[str]:
    if not report["versus"]:
        return []
    lines = ["", f"in turns with {safe(report['peer']['name'])} ({safe(report['peer']['version'])})"]
    for pair in report["versus"]:
        sides = f"{figure(pair['ours'])} against {figure(pair['theirs'])}"
        ratio = ratio_text(pair["ratio"], pair["interval"])
        lines.append(f"  {safe(pair['case'], 40)}, {threads_text(pair['threads'])}: {sides}; {ratio}")
    return lines


def _judgement_lines(report: dict[str, Any]) -> list[str]:
    judgement = report["judgement"]
    lines = [_gate_line(gate) for gate in judgement["gates"]]
    if report["noisy"]:
        lines.append(f"noisy: {safe('; '.join(report['noisy']), 400)}")
    if judgement["verdict"] is not None:
        why = f"  ({safe(judgement['why'], 400)})" if judgement["why"] else ""
        lines.append(f"{judgement['verdict']}{why}")
    return lines or [f"measured by: {safe(report['command'], 400)}"]


def _gate_line(gate: dict[str, Any]) -> str:
    value = "–" if gate["value"] is None else f"{gate['value']:.3f}"
    bounds = interval(gate["interval"])
    name, detail = f"{safe(gate['gate'], 60):<28}", safe(gate["detail"], 200)
    return f"{MARKS[gate['status']]} {name}{value:>6} {bounds}  at least {gate['limit']:.2f}; {detail}"
