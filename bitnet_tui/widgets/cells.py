"""Text in terminal cells, where a wide glyph takes two: cut, padded, folded; and bars of eighths of a cell.

    fit("Loire", 8)            ->  "Loire   "
    fit("Loire", 8, right=True) -> "   Loire"
    bar(0.4, 5)            ->  "██"

Expects safe text: a control character has no width to count.
"""

from rich.cells import cell_len, set_cell_size

_EIGHTHS = " ▏▎▍▌▋▊▉█"


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


def bar(share: float, width: int) -> str:
    """Return a bar that fills `share` of `width` cells, in eighths of a cell; at most all of them."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
