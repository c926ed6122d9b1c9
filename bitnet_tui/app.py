"""The Textual program: its screens, one theme, and the child processes that work for them.

    app = BitnetApp(["model.gguf"])           # one path: Inspect, or the replay of a recorded run
    app.run()
    print("\\n".join(app.summary))             # what stays in the scrollback

Two paths with a `request` start a live parity run; none shows Home. The app owns every child process it
starts, and ends them all before it gives the terminal back, however it stops.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from bitnet_tui.core import session
from bitnet_tui.core.bench_report import is_bench
from bitnet_tui.core.children import Children
from bitnet_tui.core.feed import Cancellable, Live
from bitnet_tui.core.jobs import Job
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.settings import Config, load_config
from bitnet_tui.core.store import describe, is_run, stream_path
from bitnet_tui.core.text import GIB, human_bytes, safe
from bitnet_tui.core.tour import Tour
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.bench import BenchScreen
from bitnet_tui.screens.configured import ConfiguredApp
from bitnet_tui.screens.confirm import ConfirmScreen
from bitnet_tui.screens.form import Field, FormScreen
from bitnet_tui.screens.help import HelpScreen
from bitnet_tui.screens.home import HomeScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.layers import LayersScreen
from bitnet_tui.screens.new_bench import bench_request, new_bench_form
from bitnet_tui.screens.new_run import new_run_form, request_of
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.run_screen import RunScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.screens.settings import SettingsScreen
from bitnet_tui.widgets.panes import ScrollPane
from bitnet_tui.widgets.pick_list import PickList
from bitnet_tui.widgets.tensor_tree import TensorTree

_LAST_EVENTS = 1.0
"""Seconds that a cancelled run gets to write its last event."""

_THEME_LOOK = 1.0
"""Seconds between two looks at the files of themes."""


class BitnetApp(ConfiguredApp):
    """The terminal program.

    Args:
        paths: nothing, a model or a recorded run; or the two sides of `request`.
        request: the parity run to start, as `session.run` takes it.
        reading: what a lone path's file does not state, as `session.inspect` takes it.
        start_job: starts a child process on a request.
        inspect: reads the header of a model file.
        read_values: reads the first values of a tensor, as `session.tensor_values`.
        config: the settings; those of the user where it is None.
        clock: seconds since the epoch.
        tour: whether to begin with the guided tour.
    """

    TITLE = "bitnet-tui"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "home": HomeScreen,
        "inspect": InspectScreen,
        "parity": ParityScreen,
        "bench": BenchScreen,
        "runs": RunsScreen,
    }
    # Textual declares these as instance variables, so ClassVar would be a lie.
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny-width"), (60, "-narrow"), (100, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny-height"), (15, "-low"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "help", key_display="?", id="app.help"),
        Binding("q", "quit", "quit", id="app.quit"),
        Binding("0", "show('home')", "Home", show=False, id="app.home"),
        Binding("1", "show('inspect')", "Inspect", show=False, id="app.inspect"),
        Binding("2", "show('parity')", "Parity", show=False, id="app.parity"),
        Binding("3", "show('bench')", "Bench", show=False, id="app.bench"),
        Binding("4", "show('runs')", "Runs", show=False, id="app.runs"),
        Binding("o", "open", "Open a model or a run", show=False, id="app.open"),
        Binding("r", "new_run", "New run", show=False, id="app.new_run"),
        Binding("comma", "settings", "Settings", key_display=",", show=False, id="app.settings"),
        Binding("z", "screen.zoom", "Zoom the pane", show=False, id="app.zoom"),
        Binding("ctrl+o", "screen.jump", "Jump to a pane", show=False, id="app.jump"),
        Binding("y", "screen.copy", "Copy what is selected", show=False, id="app.copy"),
        Binding("Y", "screen.copy_command", "Copy the equal command", show=False, id="app.copy_command"),
        Binding("e", "screen.export", "Export what is shown", show=False, id="app.export"),
        Binding("ctrl+x", "cancel_run", "Cancel what is running", show=False, id="app.cancel"),
        Binding("T", "next_theme", "Next theme", show=False, id="app.theme"),
        Binding("escape", "back", "Back", show=False, id="app.back"),
    ]
    CSS = """
    .dialog {
        align: center middle;
        .box {
            width: 84; max-width: 100%; height: auto; max-height: 100%;
            border: round $primary; border-title-color: $primary;
            background: $surface; padding: 0 2;
        }
        .field { color: $text-muted; margin-top: 1; }
        .problem { color: $error; margin-top: 1; }
        .keys { color: $text-muted; margin-top: 1; }
        &.-low .field, &.-low .problem, &.-low .keys { margin-top: 0; }
        .box > .keys { dock: bottom; background: $surface; }
        .about { margin-bottom: 1; }
        Input { background: $panel; }
    }
    """

    def __init__(
        self,
        paths: Sequence[str] = (),
        request: dict[str, Any] | None = None,
        start_job: Callable[[dict[str, Any]], Cancellable] = Job.start,
        inspect: Callable[..., dict[str, Any]] = session.inspect,
        read_values: Callable[..., list[list[float | None]]] = session.tensor_values,
        config: Config | None = None,
        clock: Callable[[], float] = time.time,
        reading: Mapping[str, Any] | None = None,
        tour: bool = False,
    ) -> None:
        super().__init__(config or load_config())
        self.paths, self.request, self._reading = list(paths), request, dict(reading or {})
        self.inspect, self.read_values, self.clock = inspect, read_values, clock
        self.summary: list[str] = []
        self.exit_code = 0
        """What the program ends with: the code of a live run that failed, else 0."""
        self._children = Children(start_job)
        self._trail: list[str] = []
        self._tour: Tour | None = None
        self._begin_tour = tour
        self._parity: ParityScreen | None = None
        """The parity screen once a run was opened; it outlives Textual's own list of screens."""
        self._inspect: InspectScreen | None = None
        """The inspect screen once it was shown."""
        self._bench: BenchScreen | None = None
        """The bench screen once one was opened."""
        self.layers: RunScreen | None = None
        """The layers of a token, while they are shown or lie below another screen."""
        self._quit_question: ConfirmScreen | None = None

    # ---- life ---------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Set the theme and go where the paths say."""
        self.watch_themes()
        self._end_on_signals()
        self.switch_mode("home")
        if self._begin_tour:
            self.action_demo()
        elif len(self.paths) == 1:
            self.open_path(self.paths[0], self._reading)
        elif self.request is not None:
            self.start_run(self.request)

    def on_unmount(self) -> None:
        """End every child process, whatever ended the program."""
        self._children.close(_LAST_EVENTS)
        for screen in (self._parity, self._bench):
            self.summary += self._last_words(screen) if screen is not None else []

    def _end_on_signals(self) -> None:
        # Without this a SIGTERM leaves the terminal in the alternate screen, and the child alive.
        if self.is_headless or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self.exit, None, 128 + number)

    def _last_words(self, screen: RunScreen) -> list[str]:
        live, view = screen.live, screen.taking
        if live is None:
            # Half a replay has no result to leave behind.
            return [] if view.live else view.summary()
        for event in live.feed.drain(1_000_000):
            view.feed(event)
        view.finish()
        self.exit_code = view.errors[-1][0] if view.errors else self.exit_code
        where = live.recorder.path if live.recorder is not None else None
        return view.summary() + ([f"recorded in {safe(where, 400)}"] if where else [])

    # ---- work ---------------------------------------------------------------------------------------

    def start(self, request: dict[str, Any], record: bool = False) -> Live | None:
        """Start a child process on `request`; None, and a notification, where that is impossible."""
        try:
            live = self._children.start(request, self.store if record else None)
        except OSError as error:
            self.say(f"no process could be started: {error}", severity="error")
            return None
        if record:
            self.run_worker(self._drop_old_runs, group="prune", exclusive=True)
        return live

    async def _drop_old_runs(self) -> None:
        """Delete the oldest runs over the user's limit, in a thread, and say which."""
        limit = self.settings.runs_limit_gib
        keep = [each.run_id for each in (self._parity, self._bench) if each is not None]
        try:
            gone = await asyncio.to_thread(self.store.prune, int(limit * GIB), self.clock(), keep) if limit else []
        except OSError as error:
            self.say(f"{error.filename}: cannot be deleted: {error.strerror}", severity="warning")
            return
        if gone:
            size = human_bytes(sum(run.nbytes for run in gone))
            self.say(f"{len(gone)} old run{'s' * (len(gone) != 1)} deleted, {size}: runs_limit_gib is {limit:g}")

    def stop(self, live: Live) -> None:
        """End a child process without waiting for it."""
        live.feed.stop()
        self.run_worker(live.job.cancel, group="stop", thread=True)

    @property
    def working(self) -> RunScreen | None:
        """The screen of the run that goes on now; there is one at a time."""
        runs = (self._parity, self._bench, self.layers)
        return next((each for each in runs if each is not None and each.is_live), None)

    @property
    def live_run(self) -> str | None:
        """The id of the run that goes on now."""
        return self.working.run_id if self.working is not None else None

    # ---- places -------------------------------------------------------------------------------------

    def open_path(self, path: str, reading: Mapping[str, Any] | None = None) -> None:
        """Show a model in Inspect, read as `reading` says; a recorded run or a benchmark where its kind is shown."""
        path = str(Path(path).expanduser())
        self._tour = None
        if is_bench(Path(path)) or is_run(Path(path)):
            self.run_worker(partial(self._show_run, path), group="open", exclusive=True)
        else:
            self.run_worker(partial(self._show_model, path, dict(reading or {})), group="open", exclusive=True)

    def start_run(self, request: dict[str, Any]) -> None:
        """Start a parity run or a benchmark and show it; there is one run at a time."""
        if self.one_run_only():
            self._tour = None
            self.run_worker(partial(self._show_live, request), group="open", exclusive=True)

    async def _show_model(self, path: str, reading: dict[str, Any]) -> None:
        await self._enter("inspect")
        if isinstance(self.screen, InspectScreen):
            self.screen.load(path, reading)

    async def show_weight(self, path: str, weight: str) -> None:
        """Show a tensor of a model in Inspect, by its canonical name; back leads to where one is now."""
        await self._enter("inspect")
        if isinstance(self.screen, InspectScreen):
            if self.screen.path == path:
                self.screen.go_to(weight)
            else:
                self.screen.load(path, {}, weight)

    async def _show_run(self, path: str) -> None:
        if self.one_run_only() and (screen := await self._enter_kind(await asyncio.to_thread(_kind_of, path))):
            screen.replay(path)
            self._show_tour()

    async def _show_live(self, request: dict[str, Any]) -> None:
        if screen := await self._enter_kind(request["kind"]):
            screen.run_live(request)
            self._show_tour()

    async def _enter_kind(self, kind: str) -> RunScreen | None:
        """Go to the screen of a kind of run."""
        await self._enter("bench" if kind == "bench" else "parity")
        if isinstance(self.screen, ParityScreen):
            self._parity = self.screen
        elif isinstance(self.screen, BenchScreen):
            self._bench = self.screen
        return self.screen if isinstance(self.screen, RunScreen) else None

    def one_run_only(self) -> bool:
        """Return whether a run may begin; where one goes on, say so."""
        if self.working is not None:
            self.say(f"a run is live: {self.key_of('app.cancel')} cancels it", severity="warning")
        return self.working is None

    async def _enter(self, mode: str) -> None:
        if mode != self.current_mode:
            self._trail.append(self.current_mode)
            await self.switch_mode(mode)
        # What was opened over the screen (settings, a comparison) would hide what is asked for.
        while len(self.screen_stack) > 1 and isinstance(self.screen, BaseScreen):
            await self.pop_screen()
        if isinstance(self.screen, InspectScreen):
            self._inspect = self.screen

    # ---- the tour -----------------------------------------------------------------------------------

    def action_demo(self) -> None:
        """Begin the guided tour, over a recorded run."""
        if self.one_run_only():
            self.open_path(str(resource_dir("demo")))
            self._tour = Tour()

    async def run_action(self, *args: Any, **kwargs: Any) -> bool:
        """Do what a key says, and go on with the tour where that was its next stop."""
        done = await super().run_action(*args, **kwargs)
        if self._tour is not None and args and self._tour.saw(str(args[0])):
            self._show_tour()
        return done

    @property
    def touring(self) -> bool:
        """Whether the tour is on: its run is real, and its models are not here."""
        return self._tour is not None

    def _show_tour(self) -> None:
        if self._parity is not None:
            self._parity.show_tour("" if self._tour is None else self._tour.text(self.key_of))

    # ---- keys ---------------------------------------------------------------------------------------

    async def action_show(self, mode: str) -> None:
        """Go to a screen; Inspect without a model takes the candidate of the run at hand."""
        await self._enter(mode)
        screen, candidate = self.screen, self._parity.view.candidate if self._parity is not None else ""
        if isinstance(screen, InspectScreen) and screen.path is None and candidate:
            screen.load(candidate, {})

    def action_help_quit(self) -> None:
        """Quit on ctrl+c as on q, in place of Textual's note that another key does."""
        self.call_later(self.action_quit)

    async def action_back(self) -> None:
        """Close the filter, or what was opened over the screen, or go to the screen before."""
        if isinstance(self.screen, BaseScreen) and self.screen.clear_filter():
            return
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif len(self.screen_stack) > 1:
            self.pop_screen()
        elif self._trail:
            await self.switch_mode(self._trail.pop())

    async def action_quit(self) -> None:
        """Quit; asks first if a run is live that nobody has cancelled."""
        live = self.working.live if self.working is not None else None
        if live is None or live.cancelled:
            self.exit()
            return

        def decide(yes: bool | None) -> None:
            self._quit_question = None
            if yes:
                self.exit()

        self._quit_question = ConfirmScreen("A run is live. Cancel it and quit?")
        self.push_screen(self._quit_question, decide)

    def run_ended(self) -> None:
        """Take back the question whether to quit: there is no run to cancel any more."""
        if self._quit_question is not None and self.screen is self._quit_question:
            self._quit_question.dismiss(False)
            self.say(f"the run has ended: {self.key_of('app.quit')} quits")

    def action_help(self) -> None:
        """Show the keys of this screen."""
        screen = self.screen
        about = screen.HELP or "" if isinstance(screen, BaseScreen) else ""
        title = screen.TAB if isinstance(screen, BaseScreen) else "help"
        self.push_screen(HelpScreen(title, about, screen.active_bindings.values()))

    def action_settings(self) -> None:
        """Show every setting, to be changed."""
        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen())

    def action_open(self) -> None:
        """Ask for a path and open it."""

        def opened(answer: dict[str, str] | None) -> None:
            if answer is not None:
                self.open_path(answer["path"])

        hint = "a .gguf file, a model folder, or a recorded run"
        field = Field("path", "path", placeholder=hint, found=self._found_models())
        self.push_screen(FormScreen("open", [field]), opened)

    def action_new_run(self) -> None:
        """Ask for a model and measure it, on Bench; anywhere else for two, and start a parity run of them."""
        if not self.one_run_only():
            return
        bench = isinstance(self.screen, BenchScreen)
        found, likely = self._found_models(), self._likely_model()
        form = new_bench_form(self.settings, likely, found) if bench else self._new_run_form(likely, found)

        def filled(answers: dict[str, str] | None) -> None:
            if answers is not None:
                self.start_run((bench_request if bench else request_of)(answers))

        self.push_screen(form, filled)

    def _found_models(self) -> list[str]:
        """Return the models that Home has found so far."""
        home = self.get_screen_stack("home")[0]
        return home.found_models if isinstance(home, HomeScreen) else []

    def _new_run_form(self, likely: str, found: list[str]) -> FormScreen:
        """Return the form of a parity run: with both sides of the run that is shown, or with a likely reference."""
        view = self._parity.view if self._parity is not None else None
        if view is not None and view.reference and isinstance(self.screen, ParityScreen | LayersScreen):
            # What the run was asked for names the sides as one types them.
            sides = [str(view.request.get(side) or getattr(view, side)) for side in ("reference", "candidate")]
            return new_run_form(self.settings, *sides, found=found)
        return new_run_form(self.settings, likely, found=found)

    def _likely_model(self) -> str:
        """Return the model the user looks at: the one inspected, also from Parity, or the one highlighted at Home."""
        screen = self.screen
        if isinstance(screen, InspectScreen | ParityScreen):
            return (self._inspect.path or "") if self._inspect is not None else ""
        if isinstance(screen, BenchScreen):
            return screen.view.model or (self._parity.view.candidate if self._parity is not None else "")
        return (screen.selected_model or "") if isinstance(screen, HomeScreen) else ""

    def action_cancel_run(self) -> None:
        """Cancel the statistics and the scan on Inspect, the run anywhere else; what has arrived stays."""
        if isinstance(self.screen, InspectScreen):
            self.screen.stop()
            return
        live = self.working.live if self.working is not None else None
        if live is None:
            self.say("nothing is running")
        elif not live.cancelled:
            live.cancelled = True  # at once: the next key must not ask about it
            self.run_worker(live.job.cancel, group="stop", thread=True)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield Textual's commands and this program's."""
        yield from super().get_system_commands(screen)
        for active in screen.active_bindings.values():
            binding = active.binding
            # The program's own keys; what Textual binds for moving about is no command.
            if binding.description and isinstance(active.node, (BitnetApp, BaseScreen)) and not binding.system:
                about, run = binding.description, partial(self.run_action, binding.action, active.node)
                yield SystemCommand(about[0].upper() + about[1:], f"key {binding.key}", partial(self.call_later, run))


def _kind_of(path: str) -> str:
    """Return the kind of a recorded run, as its stream names it; an artifact of a benchmark is a benchmark."""
    return "bench" if is_bench(Path(path)) else describe(stream_path(Path(path))).kind or "parity"


BINDING: tuple[type[DOMNode], ...] = (
    *(BitnetApp, BaseScreen, HomeScreen, InspectScreen, ParityScreen, ConfirmScreen, FormScreen, HelpScreen),
    *(BenchScreen, LayersScreen, RunsScreen, PickList, TensorTree, ScrollPane),
)
"""Everything that binds keys."""

BitnetApp.BOUND = BINDING
