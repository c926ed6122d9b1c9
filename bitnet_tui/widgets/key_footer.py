"""The line of keys at the bottom: as many as fit, and always the way to the others and the way out.

    yield KeyFooter()                 # ←→ token  n difference  w worst  ? help  q quit

A screen's keys stand in the order of its bindings; where the terminal is narrow the last of them go first.
"""

from typing import Any

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey  # the public module does not name it

_KEPT = 2
"""The last keys, which are the app's own: help and quit."""


class KeyFooter(Footer):
    """Textual's footer without the keys that it would cut off."""

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)

    def compose(self) -> ComposeResult:
        """Yield the keys that fit."""
        yield from self._fitting()

    async def recompose(self) -> None:
        """Make the keys anew where they are others than those on the screen: most changes of focus change none."""
        if not self.is_attached:  # its screen was closed meanwhile, and says no more which keys it has
            return
        if [_facts(key) for key in self._fitting()] != [_facts(key) for key in self.query(FooterKey)]:
            await super().recompose()

    def _fitting(self) -> list[FooterKey]:
        shown: list[Any] = list(super().compose())
        keys = [_unbound(key) for key in shown if isinstance(key, FooterKey)]
        while len(keys) > _KEPT and sum(map(_cells, keys)) > self.app.size.width:
            del keys[-_KEPT - 1]
        return keys

    async def on_resize(self) -> None:
        """Fit the keys to the new width."""
        await self.recompose()


def _unbound(key: FooterKey) -> FooterKey:
    """Return a key that does not watch whether the footer is compact, which never changes.

    Textual lets go of what watches a value only when that value changes: every key ever shown stayed in memory.
    """
    return FooterKey(
        key.key, key.key_display, key.description, key.action, disabled=key.disabled, tooltip=str(key.tooltip or "")
    )


def _facts(key: FooterKey) -> tuple[object, ...]:
    return key.key, key.key_display, key.description, key.action, key.disabled, key.tooltip


def _cells(key: FooterKey) -> int:
    return len(key.key_display) + len(key.description) + 2
