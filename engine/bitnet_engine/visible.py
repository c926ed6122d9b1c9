"""Strings from files, made fit to be shown: in a terminal, a log, a spreadsheet, a page.

A tensor name, a token or a metadata value is somebody else's bytes: it may hold an escape sequence, a
bidirectional override or nothing visible at all. `safe` shows such characters instead of obeying them.

    safe("blk.0\\x1b[2J")     ->  "blk.0␛[2J"

Knows nothing of markup: what a page or a table would obey is its writer's to escape.
"""

import unicodedata
from functools import lru_cache

NAME_LIMIT = 200
"""Characters of a name, a path or a message that are shown before the rest is left out."""

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
