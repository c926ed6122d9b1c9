"""Themes as data: one TOML file each, every colour checked before a terminal sees it.

    name = "bitnet-dark"
    dark = true
    [colors]   primary secondary accent warning error success background surface panel foreground
    [app]      tau-good tau-drift tau-bad tern-neg tern-zero tern-pos ref cand
    [heat]     ramp = ["#…", …]   glyphs = " .:-=+*#%@"

`load_themes` never raises for a bad file: it returns what loaded, and one line for each that did not.
Knows nothing of Textual; the app turns a `ThemeData` into its own kind of theme.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLORS = (
    "primary",
    "secondary",
    "accent",
    "warning",
    "error",
    "success",
    "background",
    "surface",
    "panel",
    "foreground",
)
APP_COLORS = (
    "tau-good",
    "tau-drift",
    "tau-bad",
    "tern-neg",
    "tern-zero",
    "tern-pos",
    "ref",
    "cand",
)

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


LARGEST = 1 << 16
"""Bytes of a theme; the shipped ones have about 600."""


class ThemeError(Exception):
    """A theme file that cannot be used; the text names the file and the field."""


@dataclass(frozen=True)
class ThemeData:
    """One theme: Textual's ten base colours, the app's own eight, and the ramp of heat maps."""

    name: str
    dark: bool
    colors: Mapping[str, str]
    app: Mapping[str, str]
    ramp: tuple[str, ...]
    glyphs: str


def load_themes(folders: Iterable[Path]) -> tuple[list[ThemeData], list[str]]:
    """Load every `*.toml` of `folders`, sorted by name; a later folder replaces a theme of an earlier one.

    Returns:
        The themes in the order found, and a line for each file that is no theme.
    """
    themes: dict[str, ThemeData] = {}
    problems: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            try:
                theme = load_theme(path)
            except ThemeError as error:
                problems.append(str(error))
            else:
                themes[theme.name] = theme
    return list(themes.values()), problems


def load_theme(path: Path) -> ThemeData:
    """Read and check one theme file.

    Raises:
        ThemeError: unreadable, no TOML, a missing or unknown field, or a colour that is not `#rrggbb`.
    """
    try:
        data = tomllib.loads(_read(path).decode())
    except RecursionError as error:
        raise ThemeError(f"{path.name}: is nested too deeply; no theme needs that") from error
    except (OSError, ValueError) as error:
        raise ThemeError(f"{path.name}: {error}") from error
    name, dark = data.get("name"), data.get("dark")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ThemeError(f"{path.name}: name is {name!r:.60}; lower-case letters, digits and - are allowed")
    if not isinstance(dark, bool):
        raise ThemeError(f"{path.name}: dark is {dark!r:.60}; true or false is allowed")
    heat = _table(path, data, "heat")
    ramp, glyphs = heat.get("ramp"), heat.get("glyphs")
    if not isinstance(ramp, list) or len(ramp) < 2:
        raise ThemeError(f"{path.name}: heat.ramp needs at least two colours")
    if not isinstance(glyphs, str) or len(glyphs) < 2 or not glyphs.isprintable():
        raise ThemeError(f"{path.name}: heat.glyphs needs at least two printable characters")
    return ThemeData(
        name=name,
        dark=dark,
        colors=_palette(path, data, "colors", COLORS),
        app=_palette(path, data, "app", APP_COLORS),
        ramp=tuple(_color(path, f"heat.ramp[{index}]", color) for index, color in enumerate(ramp)),
        glyphs=glyphs,
    )


def _read(path: Path) -> bytes:
    # Asked before opening: opening a pipe that nobody writes to never returns.
    if not path.is_file():
        raise ThemeError(f"{path.name}: is no regular file")
    with path.open("rb") as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ThemeError(f"{path.name}: has more than {LARGEST} bytes, the limit of a theme")
    return data


def _palette(path: Path, data: dict[str, Any], table: str, names: tuple[str, ...]) -> dict[str, str]:
    given = _table(path, data, table)
    if unknown := sorted(set(given) - set(names)):
        raise ThemeError(f"{path.name}: {table}.{unknown[0]:.60} is unknown; allowed: {', '.join(names)}")
    return {name: _color(path, f"{table}.{name}", given.get(name)) for name in names}


def _table(path: Path, data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise ThemeError(f"{path.name}: the table [{name}] is missing")
    return value


def _color(path: Path, field: str, value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ThemeError(f"{path.name}: {field} is {value!r:.60}; #rrggbb is allowed")
    return value.lower()
