"""A screen of one run, live or recorded: where its events come from, and when they are taken.

    class BenchScreen(RunScreen):
        taking                                       # what takes the events
        def fresh(self) -> None: ...                 # another run begins: takes its events from now on
        def took(self, arrived: bool) -> None: ...   # shows what has changed

The events are read by a thread; the screen takes what has arrived twenty times a second. Knows no kind of run.
"""

from typing import Any

from textual.timer import Timer

from bitnet_tui.core.feed import Live
from bitnet_tui.core.run_source import RunSource
from bitnet_tui.core.run_state import RunView
from bitnet_tui.screens.base import SPINNER, BaseScreen

TICK = 1 / 20
"""Seconds between two looks at what has arrived."""


class RunScreen(BaseScreen):
    """Subclasses give `taking`, `fresh` and `took`, and may give `ended`."""

    def __init__(self) -> None:
        super().__init__()
        self.source: RunSource | None = None
        """Where the events come from; None before a run was opened."""
        self._tick = 0
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        """Prepare the clock; it runs while there is something to read."""
        # A subclass, which is mounted first, may have begun already.
        self._timer = self.set_interval(TICK, self._take, pause=not self.busy)

    @property
    def taking(self) -> RunView:
        """What takes the events of the run."""
        raise NotImplementedError

    def fresh(self) -> None:
        """Forget the run before; `source` is that of the next."""
        raise NotImplementedError

    def took(self, arrived: bool) -> None:
        """Show what has changed: `arrived` says whether events have come since the last call."""
        raise NotImplementedError

    def ended(self, source: RunSource) -> None:
        """Take note that no event will follow."""

    # ---- beginning ----------------------------------------------------------------------------------

    def run_live(self, request: dict[str, Any]) -> None:
        """Start a run in a child process and show it as it goes."""
        live = self.program.start(request, record=True)
        if live is not None:
            self.begin(RunSource.of_live(live))

    def replay(self, path: str) -> None:
        """Show a recorded run."""
        self.begin(RunSource.of_file(self.program.store, path))

    def begin(self, source: RunSource) -> None:
        """Read another run; the one before is read no further."""
        if self.source is not None:
            self.source.stop()
        self.source = source
        self.fresh()
        if self._timer is not None:
            self._timer.resume()
        self.refresh_bindings()
        self.took(True)

    # ---- standing -----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether events of the run are still read."""
        return self.source is not None and self.source.reading

    @property
    def live(self) -> Live | None:
        """The child process of the run; None for a recorded one."""
        return self.source.live if self.source is not None else None

    @property
    def is_live(self) -> bool:
        """Whether a child process is still at work for this screen."""
        return self.live is not None and self.busy

    @property
    def path(self) -> str | None:
        """Where the run is recorded: what was opened, or what a live run writes."""
        return self.source.path if self.source is not None else None

    @property
    def run_id(self) -> str:
        """The id of the run; empty where its stream has not said it."""
        return self.taking.id

    @property
    def spinner(self) -> str:
        """The sign of being at work, as it stands now."""
        return SPINNER[self._tick // 2 % len(SPINNER)]

    # ---- reading ------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take in the events that have arrived, and show what they changed."""
        if self.source is None or not self.source.reading:
            return
        arrived = self.source.take(self.taking)
        self._tick += 1
        if not self.source.reading:
            self._end(self.source)
        self.took(arrived)

    def _end(self, source: RunSource) -> None:
        self.refresh_bindings()
        if self._timer is not None:
            self._timer.pause()
        if source.problem:
            self.program.say(source.problem, severity="warning")
        self.program.run_ended()
        self.ended(source)
