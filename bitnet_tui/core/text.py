"""Strings from files, made fit for a terminal; and the few number formats that every screen shares.

`safe` itself is the engine's (`bitnet_engine.visible`), because artifacts need it too.

    token_text(" Seine\\n")   ->  "·Seine↵"

Knows nothing of markup: a safe string still goes into a widget as `Content` or `Text`, never as markup.
"""

import math
import unicodedata

from bitnet_engine.visible import NAME_LIMIT, safe

__all__ = [
    "NAME_LIMIT",
    "TOKEN_LIMIT",
    "ago",
    "counted",
    "duration",
    "elide",
    "human_bytes",
    "human_count",
    "number",
    "safe",
]
__all__ += ["safe_lines", "token_text"]

GIB = 1 << 30
"""Bytes in a GiB."""

TOKEN_LIMIT = 24
"""Characters of one token in the strip; BPE vocabularies hold runs of hundreds of spaces."""


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


def counted(count: int, noun: str) -> str:
    """Return how many there are of something: `1 tensor`, `2,004 tensors`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


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
