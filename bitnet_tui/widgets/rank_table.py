"""The top of both sides' next-token lists at one token, side by side, and why they may differ.

     #  reference      logit │ candidate      logit    Δ
     1  ·Seine         18.21 │ ·Loire         18.01   ▲2
    ≈ near-tie: reference margin .020 < typical |Δlogit| .050

Δ is how far the candidate's token moved against the reference's list; `new` where that list lacks it.
Fits its rows to its height and keeps the sentence. Knows nothing of keys.
"""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from bitnet_tui.core.parity_view import ParityView, RankRow
from bitnet_tui.core.text import token_text
from bitnet_tui.widgets.cells import fit, fold

_NUMBERS = 28
"""Cells of a row that are not token text."""


class RankTable(Widget, can_focus=True):
    """The rank table of the token under the cursor."""

    cursor: reactive[int] = reactive(0)
    most: reactive[int] = reactive(10)
    """Ranks that are shown, where there is room for them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = ParityView()

    def show(self, view: ParityView) -> None:
        """Show tokens of another run, or the same run after it has grown."""
        self._view = view
        self.refresh()

    def render(self) -> Content:
        """Render as many ranks as there is room for."""
        width, height = self.content_size
        if self.cursor >= len(self._view.tokens):
            return Content.styled("the ranks appear with the first token", "$text-muted")
        rows = self._view.rank_rows(self.cursor)
        if not rows:
            return Content.styled("this run holds no ranks", "$text-muted")
        side = max(4, (width - _NUMBERS) // 2)
        style = "$tau-drift" if self._view.is_near_tie(self.cursor) else "$text-muted"
        sentence = [Content.styled(line, style) for line in fold(self._view.near_tie(self.cursor), width)]
        shown = rows[: max(1, min(self.most, height - 1 - len(sentence)))]
        lines = [self._head(side), *(self._row(row, side) for row in shown)]
        return Content("\n").join([*lines, *sentence])

    def _head(self, side: int) -> Content:
        return Content.assemble(
            " # ",
            (fit("reference", side), "$ref"),
            f"{'logit':>8} │ ",
            (fit("candidate", side), "$cand"),
            f"{'logit':>8}{'Δ':>5}",
        ).stylize("bold")

    def _row(self, row: RankRow, side: int) -> Content:
        left, right = row.reference, row.candidate
        moved = "" if right is None else _moved(row.moved)
        quiet = moved in ("", "=")
        return Content.assemble(
            (f"{row.rank:>2} ", "$text-muted"),
            (fit(token_text(left[0]) if left else "", side), "$ref"),
            f"{left[1]:>8.2f}" if left else " " * 8,
            (" │ ", "$text-muted"),
            (fit(token_text(right[0]) if right else "", side), "$cand"),
            f"{right[1]:>8.2f}" if right else " " * 8,
            (f"{moved:>5}", "$text-muted" if quiet else "bold $tau-drift"),
        )


def _moved(ranks: int | None) -> str:
    if ranks is None:
        return "new"
    return "=" if ranks == 0 else f"{'▲' if ranks > 0 else '▼'}{abs(ranks)}"
