"""Small charts out of characters: a map of zeros, a histogram, a file as a strip of cells.

    lines = zero_map(stats["zeros"], width=60)        # a list of Content, a line each

Shades say the same without colours. Functions of numbers: they know no widget and no file.
"""

from collections.abc import Sequence

from textual.content import Content

from bitnet_tui.core.layout import Span, cells_of
from bitnet_tui.core.text import human_bytes

_SHADES = "·░▒▓█"
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_BAR_ROWS = 4

_KINDS = {
    "header": ("h", "$text-muted"),
    "ternary": ("▓", "$tern-pos"),
    "matrix": ("█", "$ref"),
    "vector": ("▒", "$cand"),
    "padding": ("·", "$text-muted"),
    "gap": ("!", "bold $error"),
}


def zero_map(zeros: Sequence[Sequence[float]], width: int) -> list[Content]:
    """Return the share of zeros of each block, darker where there are more; the shades go from least to most."""
    values = [value for row in zeros for value in row]
    if not values:
        return []
    low, high = min(values), max(values)
    each = 2 if len(zeros[0]) * 2 <= width else 1
    lines = [
        Content.styled("".join(_shade(value, low, high) * each for value in row[: max(1, width // each)]), "$tern-zero")
        for row in zeros
    ]
    legend = f"zeros by row × column block: {_SHADES[0]} {low:.1%} … {_SHADES[-1]} {high:.1%}"
    return [Content.styled(legend, "$text-muted"), *lines]


def histogram(counts: Sequence[int], low: float, high: float, width: int) -> list[Content]:
    """Return how often values come, from `low` at the left to `high` at the right."""
    most = max(counts, default=0)
    if not most:
        return []
    each = max(1, min(3, width // len(counts)))
    lines = []
    for row in reversed(range(_BAR_ROWS)):
        eighths = [min(8, max(0, round(count / most * _BAR_ROWS * 8) - 8 * row)) for count in counts]
        # What is rare is still there: a bar of nothing would say that it is not.
        least = [1 if row == 0 and count else 0 for count in counts]
        heights = map(max, eighths, least)
        lines.append(Content.styled("".join(_EIGHTHS[height] * each for height in heights), "$ref"))
    ends = f"{low:.4g}", f"{high:.4g}"
    room = max(1, each * len(counts) - len(ends[0]) - len(ends[1]))
    return [*lines, Content.styled(f"{ends[0]}{' ' * room}{ends[1]}", "$text-muted")]


def layout_strip(spans: Sequence[Span], width: int, rows: int) -> list[Content]:
    """Return one file as `rows` lines of cells, each coloured by what it mostly holds, and what the cells mean."""
    if not spans:
        return []
    cells = cells_of(spans, width * rows)
    lines = [
        Content.assemble(*(_KINDS[span.kind] for span in cells[start : start + width]))
        for start in range(0, len(cells), width)
    ]
    sizes: dict[str, int] = {}
    for span in spans:
        sizes[span.kind] = sizes.get(span.kind, 0) + span.stop - span.start
    meanings = [
        Content.assemble(_KINDS[kind], (f" {kind}  {human_bytes(size)}", "$text-muted")) for kind, size in sizes.items()
    ]
    each = human_bytes(max(1, spans[-1].stop // max(1, len(cells))))
    return [*lines, Content.styled(f"a cell is about {each}", "$text-muted"), *meanings]


def value_grid(values: Sequence[Sequence[float | None]], width: int) -> list[Content]:
    """Return the first values of a tensor, a line a row: trits by their sign, floats in four digits."""
    known = [value for row in values for value in row]
    if all(value in (-1.0, 0.0, 1.0, 2.0) for value in known):
        lines = [Content.assemble(*(_TRITS[value] for value in row[: width // 2])) for row in values if row]
    else:
        lines = [Content("".join(f"{_number(value):>10}" for value in row[: max(1, width // 10)])) for row in values]
    shown = max((len(row) for row in values), default=0)
    return [
        Content.styled(f"the first {len(values)} rows and {shown} columns, as far as they fit", "$text-muted"),
        *lines,
    ]


_TRITS: dict[float | None, tuple[str, str]] = {
    -1.0: (" −", "$tern-neg"),
    0.0: (" 0", "$tern-zero"),
    1.0: (" +", "$tern-pos"),
    2.0: (" 3", "bold $error"),
}


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _shade(value: float, low: float, high: float) -> str:
    return _SHADES[round((value - low) / (high - low) * (len(_SHADES) - 1))] if high > low else _SHADES[2]
