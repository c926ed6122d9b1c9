"""The words of the Parity screen: where a run stands, its stages, the token under the cursor.

    screen.set_status(status(view, standing, count))
    strip.border_subtitle = token_line(view, 17, wide=True)

Reads a view-model; knows no widget.
"""

from dataclasses import dataclass

from textual.content import Content

from bitnet_tui.core.measures import KL, TAU
from bitnet_tui.core.parity_view import ParityView, TokenStatus
from bitnet_tui.core.run_state import RunState
from bitnet_tui.core.text import duration, number, safe, token_text

_VERDICTS = {
    "PASS": ("✔ PASS", "bold $success"),
    "FAIL": ("✘ FAIL", "bold $error"),
    "INCONCLUSIVE": ("? INCONCLUSIVE", "bold $warning"),
}
_WORDS = {
    TokenStatus.AGREE: ("agrees", "$tau-good"),
    TokenStatus.DRIFT: ("drifts", "$tau-drift"),
    TokenStatus.DIVERGE: ("diverges", "$tau-bad"),
    TokenStatus.UNDEFINED: ("undefined", "$tau-bad"),
}


@dataclass(frozen=True)
class Standing:
    """What the screen knows of a run beside its events."""

    spinner: str
    reading: bool
    """Whether events are still on their way."""
    live: bool
    """Whether they come from a child process, and not from a file."""
    cancelled: bool = False
    frozen: bool = False
    rate: float = 0.0
    """Tokens a second; 0 where there is none yet."""


def token_line(view: ParityView, index: int, wide: bool) -> Content:
    """Return what is known of one token, in a line."""
    tokens = view.tokens
    word, style = _WORDS[view.status(index)]
    measures = dict.fromkeys((view.measure, TAU, KL))
    parts = [
        Content(f"{'● ' if index in view.bookmarks else ''}{index + 1}/{len(tokens)}"),
        Content.styled(token_text(tokens.texts[index]), "bold $foreground"),
    ]
    numbers = [Content(f"{m.name} {number(tokens.value(m.column, index))}") for m in measures]
    parts.append(numbers[0])
    flips = tokens.is_flip(index)
    if not flips or view.status(index) is not TokenStatus.AGREE:
        parts.append(Content.styled(word, style))
    if flips:
        parts.append(Content.styled("flips top-1", "bold $tau-drift"))
    parts += numbers[1:]
    if wide:
        parts.append(Content(safe(f"{tokens.documents[index]}:{tokens.position(index)}", 40)))
    return Content("  ").join(parts)


def stages(view: ParityView, standing: Standing) -> Content:
    """Return the steps before the first token, a line each."""
    live = standing.live and standing.reading
    lines = []
    for stage in view.stages:
        unfinished = "✘" if view.state is RunState.FAILED else "·"
        mark = "✔" if stage.done else standing.spinner if live else unfinished
        took = "" if stage.seconds is None else f"  {number(stage.seconds, 1)} s"
        lines.append(Content.assemble((f"{mark} ", "$accent"), safe(stage.name, 60), (took, "$text-muted")))
    if not lines:
        lines = [Content(f"{standing.spinner} starting the engine" if live else "no stage was recorded")]
    return Content("\n").join(lines)


def status(view: ParityView, standing: Standing) -> Content:
    """Return where the run stands: live or replayed, how far, how fast."""
    count = len(view.tokens)
    if view.state is RunState.WAITING and not standing.reading:
        return Content("")
    parts = [_state(view, standing)]
    if view.live and not count and view.active_stage:
        parts.append(Content(safe(view.active_stage, 40)))
    elif count or view.planned:
        of = f"/{view.planned}" if view.live and view.planned else ""
        parts.append(Content(f"{count}{of} tokens"))
    if standing.reading and standing.live and standing.rate > 0:
        parts.append(Content(f"{standing.rate:,.{0 if standing.rate >= 100 else 1}f} tok/s"))
        if view.planned:
            parts.append(Content(f"eta {duration((view.planned - count) / standing.rate)}"))
    return Content("  ").join([*parts, Content("")])


def _state(view: ParityView, standing: Standing) -> Content:
    if standing.frozen:
        return Content.styled("‖ view paused", "bold $warning")
    if standing.reading:
        name = ("cancelling" if standing.cancelled else "live") if standing.live else "reading"
        return Content.styled(f"{standing.spinner} {name}", "bold $accent")
    name = "" if standing.live else "replay  "
    if view.state is RunState.DONE and view.verdict in _VERDICTS:
        return Content.assemble((name, "$text-muted"), _VERDICTS[view.verdict])
    quiet = view.state is RunState.DONE
    return Content.assemble((name, "$text-muted"), (view.state.value, "" if quiet else "bold $warning"))


def token_text_row(view: ParityView, index: int) -> str:
    """Return a token as a row to copy, unaltered: number, place, text, tau-b."""
    tokens = view.tokens
    place = f"{tokens.documents[index]}:{tokens.position(index)}"
    return "\t".join([str(index + 1), place, tokens.texts[index], str(tokens.value("tau_b", index))])


def ranks_text(view: ParityView, index: int) -> str:
    """Return both lists at a token as rows to copy, unaltered: side, rank, text, logit."""
    sides = zip(("reference", "candidate"), view.tokens.top(index), strict=True)
    rows = [[name, str(rank), row.text, str(row.logit)] for name, side in sides for rank, row in enumerate(side, 1)]
    return "\n".join(map("\t".join, rows))
