"""Where a run is, as its stream tells it: what every kind of run has in common.

    class BenchView(RunView): ...         # `feed` takes what it knows after what every run has
    take_stage(stages, event)             # of `stage`

Knows no kind of run.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

from bitnet_tui.core.events import Event


class RunState(Enum):
    """Where a run is, as its stream tells it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def open(self) -> bool:
        """Whether the stream has not said how the run ended."""
        return self in (RunState.WAITING, RunState.RUNNING)


@dataclass
class Stage:
    """One step of preparing or finishing a run; `seconds` is None while it lasts."""

    name: str
    seconds: float | None = None
    done: bool = False


def take_stage(stages: list[Stage], event: Event) -> None:
    """Take in a `stage` event: a step that has begun, or ended."""
    name = str(event.get("name", ""))
    if event.get("status") != "done":
        stages.append(Stage(name))
        return
    running = [stage for stage in stages if stage.name == name and not stage.done]
    stage = running[0] if running else Stage(name)
    if not running:
        stages.append(stage)
    seconds = event.get("seconds")
    stage.done, stage.seconds = True, float(seconds) if isinstance(seconds, int | float) else None


def active(stages: list[Stage]) -> str | None:
    """Return the step that has begun and not ended."""
    return next((stage.name for stage in reversed(stages) if not stage.done), None)


class RunView(ABC):
    """What takes the events of a run: who it is, where it is, and what went wrong."""

    def __init__(self) -> None:
        self.id = ""
        """Of the run; empty until the stream says it."""
        self.state = RunState.WAITING
        self.errors: list[tuple[int, str]] = []
        """Exit code and message of every error."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many of what a run counts have arrived: tokens, samples, steps."""

    @abstractmethod
    def summary(self) -> list[str]:
        """Return the few lines that stay in the scrollback after the program; none before a run has begun."""

    @property
    def live(self) -> bool:
        """Whether the stream has not said how the run ended."""
        return self.state.open

    def feed(self, event: Event) -> None:
        """Take in one event; kinds it does not know are ignored."""
        kind = event["event"]
        if kind == "run.start":
            self.state, self.id = RunState.RUNNING, str(event.get("id", ""))
        elif kind == "error":
            code = event.get("exit_code")
            self.errors.append((code if isinstance(code, int) else 6, str(event.get("message", ""))))
        elif kind == "run.end":
            self.state = _ENDS.get(str(event.get("status")), RunState.FAILED)

    def finish(self) -> None:
        """Note that no event will follow. A stream without `run.end` was interrupted."""
        if self.live:
            self.state = RunState.INTERRUPTED


_ENDS = {"done": RunState.DONE, "failed": RunState.FAILED, "cancelled": RunState.CANCELLED}
"""How a run ended, by the word of its `run.end`; a word that nobody knows is a failure."""
