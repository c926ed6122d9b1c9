"""One thread that reads a blocking stream of events, and a queue that a screen empties at its own pace.

    feed = Feed(job.events())
    feed.start()
    ...                       # twenty times a second:
    view.feed_all(feed.drain(2000))

The screen never blocks on a child process or a disk, and gets batches, never a message a token. The queue
is bounded: a replay of a long run waits for the screen instead of filling the memory. The thread is a
daemon, because a program that quits must not wait for a child that computes.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bitnet_tui.core.events import Event
from bitnet_tui.core.store import RunWriter, Store, is_id, new_id

QUEUE_EVENTS = 8192


class Cancellable(Protocol):
    """What a live run needs of a job: its events, and a way to end it."""

    @property
    def running(self) -> bool:
        """Whether the child process is alive."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield events until the run has ended."""
        ...

    def cancel(self) -> None:
        """End the child process; returns when it is gone."""
        ...


class Feed:
    """Events of `source`, in order; a source that raises ends in an `error` event.

    Args:
        source: what to read; iterated in the thread only.
        record: called with every event in the thread, before the screen can see it.
    """

    def __init__(self, source: Iterable[Event], record: Callable[[Event], None] | None = None) -> None:
        self._source = source
        self._record = record
        self._queue: queue.Queue[Event] = queue.Queue(QUEUE_EVENTS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="events", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no further; returns at once."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        """Wait until the source has ended, at most `seconds`."""
        self._thread.join(seconds)

    @property
    def ended(self) -> bool:
        """Whether every event has been drained and no more will come."""
        return not self._thread.is_alive() and self._queue.empty()

    def drain(self, limit: int) -> list[Event]:
        """Return the events that have arrived, at most `limit`, without waiting."""
        events: list[Event] = []
        while len(events) < limit:
            try:
                events.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return events

    def _pump(self) -> None:
        try:
            for event in self._source:
                if self._record is not None:
                    self._record(event)
                # A run that is recorded is read to its end: the job is being cancelled, and says so last.
                if not self._put(event) and self._record is None:
                    return
        except Exception as error:
            # The thread's edge: whatever went wrong has to reach the screen, or it would wait for ever.
            exit_code = getattr(error, "exit_code", 4 if isinstance(error, OSError) else 6)
            self._put({"event": "error", "exit_code": exit_code, "message": str(error)})

    def _put(self, event: Event) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(event, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


class Recorder:
    """Writes a live run into the store. A full disk ends the recording, not the run.

    `problem` says why the run is not (or no longer) recorded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer: RunWriter | None = None
        self.problem: str | None = None

    def __call__(self, event: Event) -> None:
        """Append one event; the first names the run."""
        if self.problem is not None:
            return
        try:
            if self._writer is None:
                self._writer = self._store.create(self._free_id(event.get("id")))
            self._writer.write([event])
        except OSError as error:
            self.problem = f"{self._store.root}: the run is not recorded: {error.strerror or error}"
        if event["event"] == "run.end" and self._writer is not None:
            self._writer.close()

    def _free_id(self, id: object) -> str:
        # The same run read twice (a replayed pipe, say) must not be appended to itself.
        free = isinstance(id, str) and is_id(id) and not (self._store.root / id).exists()
        return str(id) if free else new_id()

    @property
    def path(self) -> str | None:
        """The file that is written, once there is one."""
        return str(self._writer.path) if self._writer is not None else None


@dataclass(eq=False)
class Live:
    """A child process, the feed that reads it, and who records it."""

    job: Cancellable
    feed: Feed
    recorder: Recorder | None = None
    cancelled: bool = False
    """Whether the user has asked for the end of it, which takes a moment."""

    @classmethod
    def of(cls, job: Cancellable, recorder: Recorder | None = None) -> "Live":
        """Begin to read `job`."""
        feed = Feed(job.events(), recorder)
        feed.start()
        return cls(job, feed, recorder)

    def close(self, seconds: float) -> None:
        """End the process, and wait about `seconds` for its last events to be recorded."""
        if self.job.running:
            self.job.cancel()
        # Stopping first would lose the event that says how the run ended; a full queue needs the stop.
        self.feed.join(seconds)
        self.feed.stop()
        self.feed.join(seconds)
