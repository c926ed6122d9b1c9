"""Where each token of the strip lies: lines that are full, and the line each token is on.

    lines = TokenLines(width=60)
    lines.add(cells=7, new_paragraph=False)
    lines.line_of(0), lines.tokens_of(0)       ->  0, range(0, 1)

Appending is O(1) and looking up O(log lines), so a strip of 40 000 tokens scrolls like one of forty.
"""

from array import array
from bisect import bisect_right


class TokenLines:
    """Greedy line filling: a token that does not fit starts the next line."""

    def __init__(self, width: int) -> None:
        self.width = max(1, width)
        self._starts: list[int] = []
        """The first token of each line."""
        self._cells = array("H")
        self._filled = 0

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def count(self) -> int:
        """How many tokens are laid out."""
        return len(self._cells)

    def add(self, cells: int, new_paragraph: bool) -> None:
        """Place the next token, `cells` wide; a new paragraph starts a line of its own."""
        if not self._starts or new_paragraph or self._filled + cells > self.width:
            self._starts.append(len(self._cells))
            self._filled = 0
        self._cells.append(cells)
        self._filled += cells

    def line_of(self, token: int) -> int:
        """Return the line that holds `token`."""
        return bisect_right(self._starts, token) - 1

    def tokens_of(self, line: int) -> range:
        """Return the tokens on `line`, an empty range past the end."""
        if not 0 <= line < len(self._starts):
            return range(0)
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self._cells)
        return range(self._starts[line], end)

    def token_at(self, x: int, line: int) -> int | None:
        """Return the token under a cell, or None beside the text."""
        left = 0
        for token in self.tokens_of(line):
            left += self._cells[token]
            if x < left:
                return token
        return None

    def left_of(self, token: int) -> int:
        """Return the cell in which `token` begins."""
        return sum(self._cells[before] for before in range(self._starts[self.line_of(token)], token))
