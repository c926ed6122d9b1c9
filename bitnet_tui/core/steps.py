"""The small events that every kind of request is told in.

    yield from stage("load model", lambda: load(path), loaded)
    yield tensor_event("compare", "blk.0.attn_q.weight", 1, 68)

Standard library only.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from bitnet_tui.core.events import Event


def stage(name: str, work: Callable[[], Any], into: list[Any]) -> Iterator[Event]:
    """Run `work` as a stage, appending its result to `into`."""

    def silent() -> Iterator[Event]:
        into.append(work())
        yield from ()

    yield from stage_of(name, silent())


def stage_of(name: str, events: Iterator[Event]) -> Iterator[Event]:
    """Yield `events` as those of one stage, which takes as long as they do."""
    yield {"event": "stage", "name": name, "status": "start", "seconds": None}
    begun = time.monotonic()
    yield from events
    yield {"event": "stage", "name": name, "status": "done", "seconds": time.monotonic() - begun}


def tensor_event(work: str, name: str, index: int, count: int) -> Event:
    """Return the progress of work that counts tensors, windows or processes, from 1."""
    return {"event": "tensor", "work": work, "name": name, "index": index, "count": count}
