"""Cutting and padding text to terminal cells, where a wide glyph takes two.

    fit("Loire", 8)            ->  "Loire   "
    fit("Loire", 8, right=True) -> "   Loire"

Expects safe text: a control character has no width to count.
"""

from rich.cells import cell_len, set_cell_size


def fit(text: str, width: int, right: bool = False) -> str:
    """Return `text` in exactly `width` cells: padded, or cut with an ellipsis."""
    used = cell_len(text)
    if used > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - used) + text if right else text + " " * (width - used)


def fold(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` cells, broken at spaces where there are any."""
    lines: list[str] = []
    rest = text
    while cell_len(rest) > width:
        head = set_cell_size(rest, width).rstrip() or rest[0]
        # A break inside a word only where the line would otherwise stay more than half empty.
        space = head.rfind(" ")
        at = space if space > width // 2 and not rest[len(head) :].startswith(" ") else len(head)
        lines.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*lines, rest]
