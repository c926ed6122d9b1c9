"""Between the keymap and Textual's bindings: which actions there are, and how a key is written for each.

    actions_of([BitnetApp, ParityScreen])      ->  {"parity.worst": ["w"], …}
    textual_keymap({"inspect.filter": ["/"]})  ->  {"inspect.filter": "slash"}
    shown("question_mark")                     ->  "?"

`core.keymap` decides which key an action has. A binding without an id cannot be remapped.
"""

from collections.abc import Iterable, Mapping, Sequence

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key

from bitnet_tui.core.keymap import NAMED

_SHOWN = {
    "escape": "esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "enter": "⏎",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "comma": ",",
    "plus": "+",
}


def actions_of(owners: Iterable[type[DOMNode]]) -> dict[str, list[str]]:
    """Return the keys of every action that `owners` bind, as a person writes them in a keymap."""
    actions: dict[str, list[str]] = {}
    for owner in owners:
        for binding in Binding.make_bindings(owner.BINDINGS):
            if binding.id is not None and (key := written(binding.key)) not in actions.setdefault(binding.id, []):
                actions[binding.id].append(key)
    return actions


def textual_keymap(keys: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return a keymap as Textual takes it: keys by Textual's names, joined by commas."""
    return {action: ",".join(map(textual_name, some)) for action, some in keys.items()}


def written(key: str) -> str:
    """Return a key of Textual's as a person writes it: the character where it prints one."""
    modifiers, _, last = key.rpartition("+")
    character = format_key(last)
    plain = character if len(character) == 1 and last not in NAMED else last
    return f"{modifiers}+{plain}" if modifiers else plain


def shown(key: str) -> str:
    """Return a key of Textual's as footer and help show it."""
    return _SHOWN.get(key) or written(key)


def textual_name(key: str) -> str:
    """Return Textual's name of a key that a person has written."""
    modifiers, _, last = key.rpartition("+")
    (binding,) = Binding.make_bindings([Binding(last, "")])
    return f"{modifiers}+{binding.key}" if modifiers else binding.key
