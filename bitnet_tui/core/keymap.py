"""Which key does what: presets, a user's changes, and what is wrong with them.

    keys = resolve(actions, "vim", {"parity.worst": "W"}, "config.toml")
    keys["parity.next"]                    # ["n"]

An action is named `screen.verb` (`parity.worst`); those of `app` are in force on every screen. The screens declare
their actions with the keys of the preset `default`; whoever has them all passes them in, so that there is one list.
Keys are spelled as people write them: `n`, `N`, `/`, `ctrl+x`, `f2`, `pageup`. Knows no terminal.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

from bitnet_tui.core.session import SettingError

Keys = Mapping[str, Sequence[str]]
"""Action to the keys that do it."""

PRESETS: dict[str, dict[str, str]] = {
    "default": {},
    # What fingers trained on vim try first: h j k l, n N, g G, ctrl+d and ctrl+u. Arrows stay.
    "vim": {
        "list.down": "down,j",
        "list.up": "up,k",
        "list.first": "home,g",
        "list.last": "end,G",
        "list.page_down": "pagedown,ctrl+d",
        "list.page_up": "pageup,ctrl+u",
        "pane.down": "down,j",
        "pane.up": "up,k",
        "pane.first": "home,g",
        "pane.last": "end,G",
        "pane.page_down": "pagedown,ctrl+d",
        "pane.page_up": "pageup,ctrl+u",
        "tree.down": "down,j",
        "tree.up": "up,k",
        "tree.open": "right,l",
        "tree.close": "left,h",
        "parity.left": "left,h",
        "parity.right": "right,l",
        "parity.line_up": "up,k",
        "parity.line_down": "down,j",
        "parity.lines_up": "pageup,ctrl+u",
        "parity.lines_down": "pagedown,ctrl+d",
        "parity.start": "home,g",
        "layers.up": "up,k",
        "layers.down": "down,j",
        "layers.left": "left,h",
        "layers.right": "right,l",
        "parity.end": "end,G",
    },
}

NAMED = (
    *("escape", "enter", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown"),
    *("up", "down", "left", "right", *(f"f{number}" for number in range(1, 25)), "comma", "plus"),
)
"""Keys with a name; the comma separates keys and the plus modifiers, so these two are written out."""

_PARTS = {"list": ("home", "bench", "runs"), "tree": ("inspect",), "pane": ("inspect", "bench", "runs")}
"""The screens that hold a list, a tree, or a pane that scrolls. (On Layers arrows are of whichever has the focus.)"""
_MODAL = ("confirm", "form", "help")

_MODIFIED = re.compile(r"(?P<modifiers>(?:(?:ctrl|shift|alt)\+)*)(?P<key>.+)")


def resolve(actions: Keys, preset: str, changes: Mapping[str, str], source: str) -> dict[str, list[str]]:
    """Return the keys of every action: those of the preset, then the user's changes.

    Args:
        actions: every action with its default keys.
        preset: a name of `PRESETS`.
        changes: action to keys, separated by commas.
        source: what the changes were read from; begins the error.

    Raises:
        SettingError: an action or a key that is none, or a key given to two actions of one screen.
    """
    keys = {action: list(defaults) for action, defaults in actions.items()}
    for action, text in {**PRESETS[preset], **changes}.items():
        if action not in actions:
            raise SettingError(f"{source}: keymap.{action}: there is no such action.{_hint(action, actions)}")
        keys[action] = [checked_key(part.strip(), f"{source}: keymap.{action}") for part in text.split(",")]
    for action in changes:
        _refuse_taken(action, keys, source)
    return keys


def checked_key(text: str, where: str) -> str:
    """Return a key as it is written; `where` begins the SettingError of what is none."""
    match = _MODIFIED.fullmatch(text)
    key = match["key"] if match else ""
    if match is None or not ((len(key) == 1 and key.isprintable() and key not in " +") or key in NAMED):
        raise SettingError(
            f"{where} is '{text}'; a character, {', '.join(NAMED[:15])}, f1 to f24, comma and plus are allowed, "
            f"after ctrl+, shift+ or alt+ if need be."
        )
    if match["modifiers"] == "shift+" and len(key) == 1:
        # A terminal sends the capital, never shift and the letter.
        raise SettingError(f"{where} is '{text}'; write '{key.upper()}'.")
    return text


def _hint(action: str, actions: Keys) -> str:
    near = difflib.get_close_matches(action, actions, 1, 0.5)
    if near:
        return f" Did you mean '{near[0]}'?"
    scopes = dict.fromkeys(known.partition(".")[0] for known in actions)
    return f" They begin with {', '.join(scopes)}; docs/settings.md lists them."


def _refuse_taken(action: str, keys: Keys, source: str) -> None:
    for other, taken in keys.items():
        if other != action and _together(action, other) and (shared := [key for key in keys[action] if key in taken]):
            raise SettingError(
                f"{source}: keymap.{action} is '{shared[0]}', the key of {other}. "
                f"Choose another, or give {other} another key in [keymap] too."
            )


def _together(action: str, other: str) -> bool:
    """Return whether two actions can be in force at once: of one screen, or of it and the app or a part of it."""
    one, two = (name.partition(".")[0] for name in (action, other))
    if one in _MODAL or two in _MODAL:
        return one == two  # a dialog takes every key for itself
    return one == two or "app" in (one, two) or two in _PARTS.get(one, ()) or one in _PARTS.get(two, ())
