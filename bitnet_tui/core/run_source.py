"""Where the events of a run come from, a child process or a file, and how fast they come.

    source = RunSource.of_live(live)              # or RunSource.of_file(store, "runs/7f3a")
    arrived = source.take(view)                   # twenty times a second, never blocking
    source.reading, source.rate

Live and replay differ in this and in nothing else. Knows no screen.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from bitnet_tui.core.events import Event
from bitnet_tui.core.feed import Feed, Live
from bitnet_tui.core.run_state import RunView
from bitnet_tui.core.store import Store

_BATCH = 1000


class RunSource:
    """The events of one run."""

    def __init__(self, feed: Feed, live: Live | None, path: str | None) -> None:
        self._feed = feed
        self.live = live
        """The child process; None for a file."""
        self._path = path
        self._clock: tuple[float, int] | None = None
        self.rate = 0.0
        """What the run counts, a second; 0 before there is one, and for a file."""
        self.reading = True
        """Whether events are still on their way."""

    @classmethod
    def of_live(cls, live: Live) -> "RunSource":
        """Return the events of a child process."""
        return cls(live.feed, live, None)

    @classmethod
    def of_file(cls, store: Store, path: str) -> "RunSource":
        """Begin to read a recorded run."""
        return cls.of_events(store.open(Path(path)), path)

    @classmethod
    def of_events(cls, events: Iterable[Event], path: str) -> "RunSource":
        """Begin to read the events of what lies at `path`."""
        feed = Feed(events)
        feed.start()
        return cls(feed, None, path)

    @property
    def path(self) -> str | None:
        """Where the run is recorded; None where it is not."""
        recorder = self.live.recorder if self.live is not None else None
        return self._path if recorder is None else recorder.path

    @property
    def problem(self) -> str | None:
        """Why a live run is not recorded."""
        recorder = self.live.recorder if self.live is not None else None
        return recorder.problem if recorder is not None else None

    def take(self, view: RunView) -> bool:
        """Feed what has arrived into `view`; return whether anything has. After the last event nothing is read."""
        events = self._feed.drain(_BATCH)
        for event in events:
            view.feed(event)
        self._time(bool(events), view.count)
        if self._feed.ended:
            self.reading = False
            view.finish()
        return bool(events)

    def stop(self) -> None:
        """Read no further."""
        self._feed.stop()

    def _time(self, arrived: bool, count: int) -> None:
        if self.live is None or not arrived or not count:
            return
        now = time.monotonic()
        if self._clock is None:
            # What came with the first token waited for a compilation; the clock starts after it.
            self._clock = (now, count)
        elif now > self._clock[0]:
            self.rate = (count - self._clock[1]) / (now - self._clock[0])
