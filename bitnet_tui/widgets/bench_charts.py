"""What is drawn of one measure of a benchmark: threads, the parts of its time, earlier runs, raw samples.

    lines = measure_charts(view, measure, now=time.time(), width=50)       # a list of Content, a line each

Functions of a view-model: they know no widget. Shades and signs say the same without colours.
"""

from collections.abc import Iterator, Sequence

from textual.content import Content

from bitnet_tui.core.bench_report import Measured
from bitnet_tui.core.bench_text import amount, figure_of, interval, threads_text
from bitnet_tui.core.bench_view import BenchView
from bitnet_tui.core.text import ago, safe
from bitnet_tui.widgets.cells import bar, fit

_EIGHTHS = "▁▂▃▄▅▆▇█"
_RUNS = 12
"""Earlier runs that are listed; the line above shows all."""
_WITH_INTERVALS = 56
"""Cells in which a run of the history has room for its interval."""


def measure_charts(view: BenchView, one: Measured, now: float, width: int) -> list[Content]:
    """Return every chart of a measure, each below its heading."""
    sections = (
        ("by threads; a full bar is the ideal gain", _threads(view, one, width)),
        ("where a token's time goes, in ms", _parts(view, one, width)),
        ("history, the newest last", _history(view, one, now, width)),
        ("samples", _samples(one, width)),
    )
    lines: list[Content] = []
    for title, drawn in sections:
        if found := list(drawn):
            lines += [*([Content("")] if lines else []), Content.styled(title, "bold $text-muted"), *found]
    return lines


def _threads(view: BenchView, one: Measured, width: int) -> Iterator[Content]:
    """Draw the case on each number of threads, and how much of an ideal gain each has."""
    found = view.artifact.scaling(one) if view.artifact is not None else []
    known = [(each.threads, each.value) for each in found if each.value]
    if len(known) < 2:
        return
    fewest, base = known[0]
    room = max(4, width - 32)
    for threads, value in known:
        speed = value / base if one.rises else base / value
        filled = fit(bar(speed * fewest / known[-1][0], room), room)
        yield Content.assemble(
            (f"{threads_text(threads):<11}", "$text-muted"),
            fit(figure_of(value, one.unit), 12, right=True),
            " ",
            (filled, "$ref"),
            (f"{speed:>6.2f} ×", "$text-muted"),
        )


def _parts(view: BenchView, one: Measured, width: int) -> Iterator[Content]:
    parts = (
        ()
        if view.artifact is None or one.kind != "decode"
        else view.artifact.breakdown.get((one.threads, one.position), ())
    )
    total = sum(value for _, value in parts if value is not None and value > 0)
    room = max(4, width - 22)
    for name, value in parts:
        shown = "–" if value is None else f"{value:.2f}"
        share = (value or 0.0) / total if total else 0.0
        yield Content.assemble((f"{name:<11}", "$text-muted"), f"{shown:>9} ", (bar(share, room), "$cand"))


def _history(view: BenchView, one: Measured, now: float, width: int) -> Iterator[Content]:
    """Draw the measure in every run, then list the last ones with their change to this one."""
    past = view.past(one)
    if len(past) < 2:
        return
    yield Content.styled(_line([each.value for _, _, each in past][-width:]), "$ref")
    for (id, when, each), run in list(zip(past, [*view.history, None], strict=False))[-_RUNS:]:
        mark = "▸" if run is not None and run is view.baseline else " "
        age = "this run" if run is None else ago(now - when)
        yield Content.assemble(
            (f"{mark} ", "bold $accent"),
            fit(safe(id, 12), 13),
            (f"{age:>9}", "$text-muted"),
            fit(figure_of(each.value, each.unit), 13, right=True),
            (f"  {interval(each.interval or (None, None))}" if width >= _WITH_INTERVALS else "", "$text-muted"),
        )


def _samples(one: Measured, width: int) -> Iterator[Content]:
    """Draw the raw samples on an axis, then by round: a drift shows there."""
    values = [sample.value for sample in one.samples]
    if not values:
        return
    low, high = min(values), max(values)
    cells: list[list[bool]] = [[] for _ in range(max(8, min(width, 60)))]
    for sample in one.samples:
        at = round((sample.value - low) / (high - low) * (len(cells) - 1)) if high > low else len(cells) // 2
        cells[at].append(bool(sample.disturbed))
    yield Content.assemble(*(_dot(cell) for cell in cells))
    ends = amount(low), f"{amount(high)} {safe(one.unit, 10)}"
    room = max(1, len(cells) - len(ends[0]) - len(ends[1]))
    yield Content.styled(f"{ends[0]}{' ' * room}{ends[1]}", "$text-muted")
    by_round = sorted(one.samples, key=lambda sample: sample.round)
    yield Content.assemble(
        ("by round ", "$text-muted"), (_line([sample.value for sample in by_round][: width - 9]), "$ref")
    )
    noise = f", {one.disturbed} of them disturbed (×)" if one.disturbed else ""
    plural = "s" * (len(values) != 1)
    yield Content.styled(f"{len(values)} sample{plural}{noise}", "$text-muted")
    reasons = dict.fromkeys(why for sample in one.samples for why in sample.disturbed)
    for why in list(reasons)[:4]:
        yield Content.styled(f"  {safe(why, 60)}", "$warning")


def _dot(cell: Sequence[bool]) -> tuple[str, str]:
    """Return the sign of the samples at one place: how many, and × where a disturbed one is among them."""
    if not cell:
        return "·", "$text-disabled"
    if any(cell):
        return "×", "bold $warning"
    return ("●" if len(cell) == 1 else str(min(9, len(cell)))), "bold $ref"


def _line(values: Sequence[float | None]) -> str:
    """Return values as a line of blocks from the lowest to the highest; a dash where there is none."""
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    steps = len(_EIGHTHS) - 1
    return "".join(
        "–" if value is None else _EIGHTHS[round((value - low) / (high - low) * steps) if high > low else steps // 2]
        for value in values
    )
