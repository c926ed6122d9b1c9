"""Where a run is, as its stream tells it: what every kind of run has in common.

    state = ended(event)                  # of `run.end`
    take_stage(stages, event)             # of `stage`

Knows no kind of run.
"""

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


def ended(event: Event) -> RunState:
    """Return how a run ended, by its `run.end`; a word that nobody knows is a failure."""
    known = {"done": RunState.DONE, "failed": RunState.FAILED, "cancelled": RunState.CANCELLED}
    return known.get(str(event.get("status")), RunState.FAILED)


def error_of(event: Event) -> tuple[int, str]:
    """Return exit code and message of an `error` event."""
    code = event.get("exit_code")
    return code if isinstance(code, int) else 6, str(event.get("message", ""))
