"""The measure of the tokens around the cursor as bars, the threshold as a dashed line, and the whole run below.

     1.0 ██▇██▇▇▇███▇▇
         ██████┄██┄███
      .5 ██████▂██▁███
               ▲
     run ▇▇▆▇▇▂▇▇▇▇▇▇▇          each cell: the worst value of a stretch of the run

An undefined value has no bar but a ×. Knows nothing of keys.
"""

import math
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.core.text import number

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL = 5


class TauBars(Widget, can_focus=True):
    """A window of bars that follows the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "bars--agree",
        "bars--drift",
        "bars--diverge",
        "bars--undefined",
        "bars--axis",
        "bars--cursor",
    }
    DEFAULT_CSS = """
    TauBars {
        & > .bars--agree { color: $tau-good 70%; }
        & > .bars--drift { color: $tau-drift; }
        & > .bars--diverge { color: $tau-bad; }
        & > .bars--undefined { color: $tau-bad; }
        & > .bars--axis { color: $text-muted; }
        & > .bars--cursor { color: $accent; text-style: bold; }
    }
    """

    cursor: reactive[int] = reactive(0)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = ParityView()
        self._count = 0
        self._low, self._high = 0.0, 1.0
        self._run = np.zeros(0)

    def show(self, view: ParityView, count: int) -> None:
        """Show the first `count` tokens of a run."""
        self._view, self._count = view, count
        values = view.values()[:count]
        defined = [*values[np.isfinite(values)], *([] if view.threshold is None else [view.threshold])]
        if view.measure.rising:
            # Up to a round number: the axis changes rarely while a run grows.
            self._low, self._high = 0.0, _round_up(max(defined, default=0.0))
        else:
            self._low, self._high = max(-1.0, min(0.9, math.floor(min(defined, default=0.0) * 10 - 0.5) / 10)), 1.0
        self._run = np.nan_to_num(values, nan=self._high if view.measure.rising else self._low)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Render one row: bars, then the cursor's mark, then the run."""
        width, rows = self.size.width - _LABEL, self.size.height - 2
        if width < 1 or rows < 1 or not self._count:
            return Strip([Segment(" " * self.size.width, self.rich_style)])
        if y < rows:
            segments = self._bar_row(y, rows, width)
        elif y == rows:
            segments = self._cursor_row(width)
        else:
            segments = self._run_row(width)
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _window(self, width: int) -> range:
        start = min(max(0, self.cursor - width // 2), max(0, self._count - width))
        return range(start, min(start + width, self._count))

    def _part(self, name: str) -> Style:
        return self.get_component_rich_style(f"bars--{name}")

    def _height(self, value: float) -> float:
        """Return how much of the axis a value fills, 0 to 1."""
        return min(1.0, max(0.0, (value - self._low) / (self._high - self._low)))

    def _bar_row(self, y: int, rows: int, width: int) -> list[Segment]:
        top = "1.0" if self._high == 1.0 else f"{self._high:.2g}"
        label = top if y == 0 else number(self._low, 1) if y == rows - 1 else ""
        limit = self._view.threshold
        limit_row = -1 if limit is None else rows - 1 - min(rows - 1, int(self._height(limit) * rows))
        if y == limit_row and y not in (0, rows - 1):
            label = number(limit, 2)
        segments = [Segment(f"{label[:4]:>4} ", self._part("axis"))]
        dash = "┄" if y == limit_row else " "
        for index in self._window(width):
            value = self._view.tokens.value(self._view.measure.column, index)
            eighths = 0 if value != value else round(self._height(value) * rows * 8) - 8 * (rows - 1 - y)
            glyph = _EIGHTHS[min(max(eighths, 0), 8)]
            if glyph == " ":
                # A bar at the floor still says that there is a value; an undefined one has a sign.
                glyph = ("×" if value != value else "▁") if y == rows - 1 else dash
            style = "axis" if glyph == "┄" else self._view.status(index).value
            segments.append(Segment(glyph, self._part(style)))
        return segments

    def _cursor_row(self, width: int) -> list[Segment]:
        left = self.cursor - self._window(width).start
        return [
            Segment(" " * (_LABEL + left), self.rich_style),
            Segment("▲", self._part("cursor")),
        ]

    def _run_row(self, width: int) -> list[Segment]:
        cells = min(width, self._count)
        edges = np.linspace(0, self._count, cells, endpoint=False).astype(int)
        measure = self._view.measure
        worst = (np.maximum if measure.rising else np.minimum).reduceat(self._run, edges)
        beyond = measure.beyond(worst, self._view.threshold)
        here = int(np.searchsorted(edges, self.cursor, side="right")) - 1
        segments = [Segment(" run ", self._part("axis"))]
        for cell, value in enumerate(worst):
            glyph = _EIGHTHS[1 + round(self._height(float(value)) * 7)]
            style = "cursor" if cell == here else "diverge" if beyond[cell] else "agree"
            segments.append(Segment(glyph, self._part(style)))
        return segments


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten, at least a thousandth."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-3)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999 and step * power >= 1e-3)
