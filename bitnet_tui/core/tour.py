"""The guided tour: six stops over a recorded run, each of which ends with the key that it is about.

    tour = Tour()
    tour.text(key_of)            # "1/6  …  press w"
    tour.saw("worst")            # the person has done it: on to the next stop

Knows actions by their names and no screen.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """One thing to see, and the act that leads on."""

    text: str
    binding: str
    """Which key is named, as in a keymap."""
    action: str
    """What that key does."""


STOPS = (
    Stop(
        "Two models read the same text; the candidate is a copy with another activation (SiLU for ReLU²), as real "
        "conversions had it. The second line judges it. To the token where they agree least:",
        "parity.worst",
        "worst",
    ),
    Stop(
        "Colours tell how well both rank the next word here: bars around the cursor at the left, both lists at the "
        "right. To the next token that differs:",
        "parity.next",
        "divergence(1)",
    ),
    Stop("The text can be a table, and once more only what differs:", "parity.context", "context"),
    Stop("τ-b compares ranks. The same tokens by KL, by logits, or by rank:", "parity.measure", "measure"),
    Stop("Whatever is shown is a command too, to be pasted into a shell:", "app.copy_command", "screen.copy_command"),
    Stop("The tour ends at Home, where the models around here are listed:", "app.home", "show('home')"),
)


class Tour:
    """Where somebody is on the tour."""

    def __init__(self) -> None:
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether the last stop is behind."""
        return self.at >= len(STOPS)

    def text(self, key_of: Callable[[str], str]) -> str:
        """Return what the stop says, nothing after the last; `key_of` names the key in force for a binding."""
        if self.done:
            return ""
        stop = STOPS[self.at]
        return f"{self.at + 1}/{len(STOPS)}  {stop.text} press {key_of(stop.binding)}"

    def saw(self, action: str) -> bool:
        """Note that an action was done; return whether it led to another stop, or to the end."""
        if self.done or action != STOPS[self.at].action:
            return False
        self.at += 1
        return True
