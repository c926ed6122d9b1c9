"""Strings from files, made fit for a terminal; and the few number formats that every screen shares.

A tensor name, a token or a metadata value is somebody else's bytes: it may hold an escape sequence, a
bidirectional override or nothing visible at all. `safe` shows such characters instead of obeying them.

    safe("blk.0\\x1b[2J")     ->  "blk.0␛[2J"
    token_text(" Seine\\n")   ->  "·Seine↵"

Knows nothing of markup: a safe string still goes into a widget as `Content` or `Text`, never as markup.
"""

import math
import unicodedata
from functools import lru_cache

NAME_LIMIT = 200
"""Characters of a name, a path or a message that are shown before the rest is left out."""

GIB = 1 << 30
"""Bytes in a GiB."""

TOKEN_LIMIT = 24
"""Characters of one token in the strip; BPE vocabularies hold runs of hundreds of spaces."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Invisible though Unicode calls them marks or letters: joiners, fillers, variation selectors.
_HIDDEN_OTHERS = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0})


def safe(text: str, limit: int = NAME_LIMIT) -> str:
    """Return `text` with every control, format and invisible character made visible, in at most `limit`.

    C0 becomes its control picture (␛), everything else its code point (⟨U+202E⟩). What is left out
    leaves an ellipsis.
    """
    if text.isprintable() and text.isascii():
        return text if len(text) <= limit else text[: limit - 1] + "…"
    shown = "".join(map(_visible, text[: limit + 1]))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def token_text(text: str, limit: int = TOKEN_LIMIT) -> str:
    """Return a token as the strip shows it: spaces as ·, newlines as ↵, tabs as →, never empty."""
    shown = safe(text[: limit + 1].replace(" ", "·").replace("\n", "↵").replace("\t", "→"), limit)
    if not shown:
        return "∅"
    # A lone combining mark would sit on the token before it; the dotted circle is its usual bearer.
    return "◌" + shown if unicodedata.category(shown[0]) in ("Mn", "Me", "Mc") else shown


def safe_lines(text: str, limit: int = 2000) -> list[str]:
    """Return the lines of a long value, each safe; the last line says how many were left out."""
    lines = text.split("\n")
    shown = [safe(line, 4 * NAME_LIMIT) for line in lines[:limit]]
    return shown if len(lines) <= limit else [*shown, f"… {len(lines) - limit} more lines"]


def elide(text: str, width: int) -> str:
    """Return `text` in at most `width` characters, the middle left out: both ends of a path matter."""
    if len(text) <= width:
        return text
    if width < 4:
        return "…"[:width]
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def human_bytes(count: int) -> str:
    """Return a size in binary units with three significant digits: `1.10 GiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{count} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def human_count(count: int) -> str:
    """Return a parameter count in decimal units: `2.41 B`."""
    for power, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= power:
            return f"{count / power:.3g} {unit}"
    return str(count)


def number(value: float | None, digits: int = 3) -> str:
    """Return a statistic with `digits` decimals, no leading zero (`.965`), or — where it does not exist."""
    if value is None or not math.isfinite(value):
        return "—"
    # Adding 0.0 turns the -0.0 that a tiny negative rounds to into 0.0.
    shown = f"{round(value, digits) + 0.0:.{digits}f}"
    return shown.replace("0.", ".", 1) if shown.startswith(("0.", "-0.")) else shown


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `3 s`, `2 m 05 s`, `1 h 12 m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} m"


def ago(seconds: float) -> str:
    """Return how long ago something was, in one unit: `now`, `5 m ago`, `2 h ago`, `3 d ago`."""
    for span, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= span:
            return f"{int(seconds // span)} {unit} ago"
    return "now"


@lru_cache(maxsize=8192)
def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    if selector or code in _HIDDEN_OTHERS or unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return f"⟨U+{code:04X}⟩"
    return character
