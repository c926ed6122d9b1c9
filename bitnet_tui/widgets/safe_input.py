"""A line to type into, whose text may be a file's name: what it shows is safe, what it holds is the text itself.

    yield SafeInput(path, "a .gguf file", id="field-path")

Textual's own draws its value as it stands, so that a path with an escape sequence in it rewrote the terminal.
"""

from rich.text import Text
from textual.widgets import Input

from bitnet_tui.core.text import safe


class SafeInput(Input):
    """An Input in which every character that cannot be seen is a sign of one cell."""

    @property
    def _value(self) -> Text:
        # What Textual draws; it counts by characters of the value, so each has to stay one.
        return Text("".join(map(_sign, self.value)), no_wrap=True, overflow="ignore", end="")


def _sign(character: str) -> str:
    shown = safe(character)
    return shown if len(shown) == 1 else "¤"
