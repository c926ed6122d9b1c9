"""Results and progress as plain lines of text, for terminals, pipes and CI logs alike.

    lines = parity_lines(report)          # a report as a person reads it
    Narrator().feed(event)                # progress on stderr, one line redrawn on a terminal

Takes the same JSON-ready values that the artifacts hold, so that what is shown is what was measured. Everything
that came out of a file goes through `safe`.
"""

import sys
import time
from contextlib import suppress
from typing import Any, TextIO

from bitnet_tui.core.events import Event
from bitnet_tui.core.readings import reading_text
from bitnet_tui.core.text import counted, safe

REDRAW_SECONDS = 0.2
TABLE_ROWS = 12
SENTENCE = 400
WSL2_BANNER = "WSL2: timings of a virtual machine; keep models out of /mnt, where reading is many times slower"


def info_lines(summary: dict[str, Any]) -> list[str]:
    """Return `info`'s answer: facts, types, metadata, tokenizer, findings."""
    lines = [
        f"{safe(summary['path'])}",
        f"  {summary['format']} {summary['version']} · {summary['architecture'] or 'no architecture'} · "
        f"{counted(len(summary['tensors']), 'tensor')} · {_size(summary['bytes'])}",
        f"  {summary['parameters']:,} parameters, {summary['ternary_parameters']:,} ternary · "
        f"{_number(summary['bits_per_weight'], 2)} bits/weight, "
        f"ternary body {_number(summary['body_bits_per_weight'], 2)}",
    ]
    if summary["scale_meaning"]:
        lines.append(f"  weight scales {summary['scale_meaning']}")
    if reading := reading_text(summary["reading"]):
        lines.append(f"  {reading}")
    lines += ["", "types"]
    for kind in summary["types"]:
        noun = "tensor" if kind["tensors"] == 1 else "tensors"
        lines.append(f"  {kind['type']:<10} {kind['tensors']:>6} {noun:<7}  {_size(kind['bytes']):>10}")
    lines += ["", "tokenizer", *_mapping_lines(summary["tokenizer"] or {"none": "the file carries none"})]
    lines += ["", f"metadata ({len(summary['metadata'])})", *_mapping_lines(summary["metadata"])]
    where = "header and weights" if summary["scanned"] else "header; --scan reads the weights too"
    lines += ["", f"findings ({len(summary['findings'])}, {where})"]
    for finding in summary["findings"]:
        lines.append(f"  {finding['severity']}: {safe(finding['subject'])}: {safe(finding['message'])}")
        lines.append(f"    {safe(finding['advice'])}")
    return lines


def token_lines(result: dict[str, Any]) -> list[str]:
    """Return `tokenize`'s answer: an id and a quoted piece a line."""
    rows = zip(result["tokens"], result["pieces"], strict=True)
    return [*(f"{token:>8}  {safe(repr(piece))}" for token, piece in rows), counted(len(result["tokens"]), "token")]


def eval_lines(report: dict[str, Any]) -> list[str]:
    """Return `eval`'s answer."""
    scored = report["corpus"]
    return [
        f"mean nll    {_number(report['mean_nll'], 6)} nats/token{_interval(report['interval'])}",
        f"perplexity  {_number(report['perplexity'], 4)}",
        f"corpus      {counted(scored['tokens'], 'token')} in {counted(scored['documents'], 'document')}",
        f"model       sha256 {report['model']['sha256'][:16]} · {report['stamp']['numerics']}",
        *_reading_lines("read as", report["model"]["reading"]),
    ]


MARKS = {"PASS": "✔", "FAIL": "✘", "INCONCLUSIVE": "?"}


def parity_lines(report: dict[str, Any]) -> list[str]:
    """Return `parity`'s answer: the two sides, the gates in funnel order, the numbers, the verdict last."""
    judgement, metrics, documents = report["judgement"], report["metrics"], len(report["documents"])
    scored = f"{counted(metrics['tokens'], 'token')} in {counted(documents, 'document')}"
    lines = [
        f"reference   {safe(report['reference']['path'])}  sha256 {report['reference']['sha256'][:16]}",
        *_reading_lines("", report["reference"]["reading"]),
        f"candidate   {safe(report['candidate']['path'])}  sha256 {report['candidate']['sha256'][:16]}",
        *_reading_lines("", report["candidate"]["reading"]),
        f"corpus      {safe(report['corpus']['name'])}: {scored}",
        *_config_lines(report["reference"]["config"], report["candidate"]["config"]),
        "",
    ]
    lines += _gate_lines(judgement)
    if difference := report["tokenizer"]["first_difference"]:
        lines.append(
            f"  first different ids: {safe(difference['string'])}, byte {difference['byte_offset']}, "
            f"{safe(repr(difference['text']))}: {difference['ids_reference']} against {difference['ids_candidate']}"
        )
    lines += ["", *_metric_lines(metrics), *_weights_lines(report["weights"]), *_floor_lines(report["floor"]), ""]
    lines += _precision_lines(report)
    lines.append(
        f"{judgement['verdict']}  (profile {safe(judgement['profile'])}, numerics {report['stamp']['numerics']})"
    )
    return lines


def judgement_lines(result: dict[str, Any]) -> list[str]:
    """Return `judge`'s answer: the report, its gates under the other profile, the verdict last."""
    judgement, stored = result["judgement"], result["stored"]
    return [
        f"report      {safe(result['report'])}",
        f"stored      {stored['verdict']}  (profile {safe(stored['profile'])})",
        "",
        *_gate_lines(judgement),
        "",
        f"{judgement['verdict']}  (profile {safe(judgement['profile'])})",
    ]


def _gate_lines(judgement: dict[str, Any]) -> list[str]:
    return [
        f"{MARKS[gate['status']]} {safe(gate['gate'], 40):<12}{_number(gate['value'], 6):>10}  "
        f"limit {gate['limit']:<6.4g} {safe(gate['detail'], SENTENCE)}"
        for gate in judgement["gates"]
    ]


def _metric_lines(metrics: dict[str, Any]) -> list[str]:
    """Return the table of numbers; those of llama.cpp's --kl-divergence under its names."""
    tau_b, kl, delta_p = metrics["tau_b"], metrics["kl"], metrics["delta_p"]
    flips, ratio = metrics["flips"], metrics["delta_mean_nll"]
    same = metrics["same_top"]
    estimated = f", estimated on {tau_b['estimated']:,} tokens" if tau_b["estimated"] else ""
    bootstrap = _bounds(ratio["bootstrap"]["interval"])
    kinds = "" if flips["real"] is None else f": {flips['near_tie']} near-ties, {flips['real']} real"
    return [
        f"tau-b       median {_number(tau_b['median'], 6)} · 1 % {_number(tau_b['p01'], 6)} · "
        f"min {_number(tau_b['min'], 6)}{estimated}",
        f"tau-b top   median {_number(metrics['tau_top']['median'], 6)} · min {_number(metrics['tau_top']['min'], 6)}, "
        f"of the {tau_b['top']:,} best ids of either side",
        f"mean nll    reference {_number(metrics['mean_nll_reference'], 6)} · "
        f"candidate {_number(metrics['mean_nll_candidate'], 6)} nats/token",
        f"PPL         base {_number(metrics['perplexity_reference'], 6)} · "
        f"Q {_number(metrics['perplexity_candidate'], 6)} · Cor {_number(_percent(metrics['nll_correlation']), 2)} %",
        f"ln(PPL(Q)/PPL(base))  {_number(ratio['estimate'], 6)} ± {_number(ratio['standard_error'], 6)}"
        f"{_interval(ratio['interval'])}{bootstrap and f'; bootstrap{bootstrap}'}",
        f"KLD         mean {_number(kl['mean'], 6)} · 99 % {_number(kl['p99'], 6)} · "
        f"median {_number(kl['median'], 6)} · max {_number(kl['max'], 6)} nats",
        f"Δp          mean {_number(_percent(delta_p['mean']), 3)} · RMS {_number(_percent(delta_p['rms']), 3)} · "
        f"1 % {_number(_percent(delta_p['p01']), 3)} · 99 % {_number(_percent(delta_p['p99']), 3)} %",
        f"Same top p  {_number(_percent(same['share']), 3)} %{_percent_bounds(same['interval'])} · "
        f"{counted(flips['count'], 'flip')}{kinds}",
        f"logits      NMSE {_tiny(metrics['nmse']['mean'])} · cosine {_number(metrics['cosine']['mean'], 6)} · "
        f"max |Δ| {_number(metrics['max_abs']['max'], 6)} · JS {_tiny(metrics['js']['mean'])} · "
        f"top-{metrics['top_k']} overlap {_number(_percent(metrics['overlap']['mean']), 2)} %",
    ]


def _weights_lines(weights: dict[str, Any] | None) -> list[str]:
    """Return how many tensors are stored otherwise, judged or not."""
    if weights is None:
        return ["weights     not compared: a side is no file whose weights are read here"]
    return [f"weights     {len(weights['differing'])} of {counted(weights['tensors'], 'tensor')} differ at all"]


def _floor_lines(floor: dict[str, Any] | None) -> list[str]:
    """Return what the reference differs from itself by, a variant a line."""
    if floor is None:
        return ["noise floor not measured (--noise-floor 0)"]
    scope = f"{counted(floor['tokens'], 'token')} of {counted(floor['documents'], 'document')}"
    lines = [f"noise floor the reference against itself, {scope}; near-tie up to margin {_tiny(floor['margin'])}"]
    for variant in floor["variants"]:
        lines.append(
            f"  {safe(variant['name']):<16} tau-b {_number(variant['tau_b'], 6)} · "
            f"|Δ nll| {_tiny(variant['delta_mean_nll'])} · KLD {_tiny(variant['kl'])} · NMSE {_tiny(variant['nmse'])}"
        )
    return lines


def _precision_lines(report: dict[str, Any]) -> list[str]:
    """Say of a side that is known only so well how well that is: the verdict is no surer."""
    sides = ((side, report[side].get("precision")) for side in ("reference", "candidate"))
    return [f"{side}   {safe(precision)}" for side, precision in sides if precision is not None]


def _reading_lines(label: str, reading: dict[str, Any]) -> list[str]:
    return [f"{label:<12}{text}"] if (text := reading_text(reading)) else []


def _mapping_lines(mapping: dict[str, Any]) -> list[str]:
    return [f"  {safe(key)} = {_value(value)}" for key, value in mapping.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, dict) and "array" in value:
        head = ", ".join(safe(repr(item), limit=24) for item in value["head"])
        return f"{value['count']:,} × {value['array']}: {head}, …"
    shown = f"{value:.7g}" if isinstance(value, float) else str(value)  # seven digits are what float32 holds
    return safe(shown, limit=100)


def _number(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _config_lines(reference: dict[str, Any], candidate: dict[str, Any]) -> list[str]:
    """Name what the two files themselves declare differently: often all the explanation there is."""
    return [
        f"! {name} differs: {value} in the reference, {candidate.get(name)} in the candidate"
        for name, value in reference.items()
        if name in candidate and candidate[name] != value
    ]


def _tiny(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _interval(bounds: list[float | None]) -> str:
    return f", 95 % interval{shown}, clustered by document" if (shown := _bounds(bounds)) else ""


def _bounds(bounds: list[float | None]) -> str:
    low, high = bounds
    return "" if low is None or high is None else f" [{low:.6f}, {high:.6f}]"


def _percent_bounds(bounds: list[float | None]) -> str:
    low, high = bounds
    return "" if low is None or high is None else f" [{100 * low:.2f}, {100 * high:.2f}]"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _size(count: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1024  # pyright: ignore[reportAssignmentType]
    return f"{count:.2f} GiB"


class Narrator:
    """Tells on stderr what a job is doing. On a terminal one line is redrawn; in a log each stage has its own."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream: TextIO = sys.stderr if stream is None else stream
        self._redraws, self._shown = self._stream.isatty(), False
        self._tokens = self._total = 0
        self._begun = self._drawn = time.monotonic()

    def feed(self, event: Event) -> None:
        """Take note of one event."""
        kind = event["event"]
        if kind == "run.start" and event["stamp"].get("wsl2"):
            self._say(WSL2_BANNER)
        elif kind == "stage" and event["status"] == "start":
            self._say(f"{safe(event['name'])} …")
        elif kind == "plan":
            self._total, self._begun = event["tokens"], time.monotonic()
            self._say(f"{counted(event['tokens'], 'token')} in {counted(event['documents'], 'document')}")
        elif kind == "warn":
            self._say(safe(event["message"]))
        elif kind == "token":
            self._tokens += 1
            self._progress()
        elif kind == "text":
            self.close()
        elif kind == "tensor":
            self._count(f"{event['work']} {event['index']}/{event['count']} {safe(event['name'])}")
        elif kind == "bench":
            where = f"{event['engine']} {safe(event['case'])}, {event['index']}/{event['count']} samples"
            self._count(f"{where} · {event['seconds_left']:.0f} s left")

    def close(self) -> None:
        """Clear the progress line."""
        if self._redraws and self._shown:
            self._write("\r\x1b[K")
        self._shown = False

    def _say(self, line: str) -> None:
        self._write(f"\r\x1b[K{line}" if self._redraws else f"{line}\n")
        self._shown = True

    def _write(self, text: str) -> None:
        # Nobody listening is no reason to stop the work.
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _count(self, line: str) -> None:
        now = time.monotonic()
        if self._redraws and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self._say(line)

    def _progress(self) -> None:
        now = time.monotonic()
        if not self._redraws or now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        rate = self._tokens / max(now - self._begun, 1e-9)
        left = (self._total - self._tokens) / max(rate, 1e-9)
        self._say(f"{self._tokens}/{self._total} tokens · {rate:.0f} tok/s · {left:.0f} s left")
