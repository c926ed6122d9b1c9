"""The child processes of the app: each is started on a request, read by a thread, and ended with the program.

    children = Children(Job.start)
    live = children.start({"kind": "stats", "path": "model.gguf"})
    children.close(1.0)                      # however the program ends

Knows no screen.
"""

from collections.abc import Callable
from typing import Any

from bitnet_tui.core.feed import Cancellable, Live, Recorder
from bitnet_tui.core.store import Store


class Children:
    """What was started and may still be at work; `start_job` starts a child process on a request."""

    def __init__(self, start_job: Callable[[dict[str, Any]], Cancellable]) -> None:
        self._start_job = start_job
        self._lives: list[Live] = []

    def start(self, request: dict[str, Any], record_in: Store | None = None) -> Live:
        """Start a child process on `request`, recorded where a store is given.

        Raises:
            OSError: no process can be started.
        """
        self._lives = [live for live in self._lives if not live.feed.ended]
        live = Live.of(self._start_job(request), None if record_in is None else Recorder(record_in))
        self._lives.append(live)
        return live

    def close(self, seconds: float) -> None:
        """End them all; each gets `seconds` to write its last events."""
        for live in self._lives:
            live.close(seconds)
        self._lives.clear()
