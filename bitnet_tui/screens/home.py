"""The first screen: models found around here, recent runs, and what one key does."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static

from bitnet_tui.core.command_line import command
from bitnet_tui.core.scan import FoundModel, Scanned, find_models, search_folders
from bitnet_tui.core.text import human_bytes, safe
from bitnet_tui.screens.base import SPINNER, BaseScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.widgets.pick_list import Pick, PickList
from bitnet_tui.widgets.run_line import run_pick

_ACTIONS = (
    ("list.select", "open what is selected"),
    ("home.demo", "a tour, over a recorded run"),
    ("app.open", "open a model or a run by its path"),
    ("app.new_run", "new parity run of two models"),
    ("app.theme", "next theme"),
    ("app.settings", "settings"),
    ("app.help", "keys of this screen"),
    ("ctrl+p", "every command"),
)
_SLICE = 0.1
"""Seconds of scanning between two looks at the screen."""


class HomeScreen(BaseScreen):
    """What can be opened, and how to begin."""

    TAB = "Home"
    HELP = (
        "Models: GGUF files, and folders with config.json and SafeTensors, below the current folder, the "
        "samples and each folder of the setting models_dirs. Runs: every parity run is recorded and can be replayed."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "app.demo", "tour", id="home.demo"),
        Binding("o", "app.open", "open", id="app.open"),
        Binding("r", "app.new_run", "new run", id="app.new_run"),
        Binding("T", "app.next_theme", "theme", id="app.theme"),
    ]
    DEFAULT_CSS = """
    HomeScreen {
        #lists { width: 3fr; }
        #models { height: 3fr; }
        #none { height: 3fr; display: none; }
        #runs { height: 2fr; }
        #start { width: 2fr; height: auto; }
        &.-narrow #body { layout: vertical; }
        &.-narrow #lists { width: 100%; height: 1fr; }
        &.-narrow #start { width: 100%; }
        &.-narrow.-low #start { display: none; }
        PickList { background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    }
    """

    def compose_body(self) -> ComposeResult:
        """Lists at the left, actions at the right (below, where it is narrow)."""
        with Horizontal(id="body"):
            with Vertical(id="lists"):
                yield _titled(PickList(id="models"), "models")
                yield _titled(Static(id="none"), "models")
                yield _titled(PickList(id="runs"), "recent runs")
            yield _titled(Static(_start(self.program.key_of), id="start"), "start")

    def on_mount(self) -> None:
        """Begin to look for models."""
        self.run_worker(self._scan, group="scan", exclusive=True)

    def on_screen_resume(self) -> None:
        """Read the list of runs again; one may have ended."""
        self.run_worker(self._read_runs, group="runs", exclusive=True)
        self.query_one("#start", Static).update(_start(self.program.key_of))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the entry that was chosen."""
        chosen = event.option_list.chosen if isinstance(event.option_list, PickList) else None
        if chosen is not None:
            self.program.open_path(chosen.value)

    @property
    def selected_model(self) -> str | None:
        """The path of the highlighted model, a likely side of a new run."""
        chosen = self.query_one("#models", PickList).chosen
        return chosen.value if chosen else None

    @property
    def found_models(self) -> list[str]:
        """The paths of the models that were found, as far as the scan has come."""
        return [pick.value for pick in self.query_one("#models", PickList).picks]

    def selection_text(self) -> str:
        """Return the path of what is highlighted in the list with the focus."""
        chosen = self.focused.chosen if isinstance(self.focused, PickList) else None
        return chosen.value if chosen else ""

    def command_line(self) -> str:
        """Return the command that opens what is highlighted."""
        return command(*filter(None, [self.selection_text()]))

    def offer(self) -> Offer:
        """Return the picture."""
        return Offer("home", ())

    async def _scan(self) -> None:
        folders = await asyncio.to_thread(search_folders, self.program.settings.models_dirs)
        scan = find_models(folders)
        models: list[FoundModel] = []
        progress = Scanned(0)
        tick = 0
        while not progress.done:
            found, progress = await asyncio.to_thread(_advance, scan)
            models += found
            tick += 1
            self._show_models(models, progress, SPINNER[tick % len(SPINNER)])
        if not models:
            self._show_none([safe(str(folder)) for folder in folders])

    def _show_models(self, models: list[FoundModel], progress: Scanned, spinner: str) -> None:
        names = [Pick(str(m.path), _short(str(m.path)), human_bytes(m.nbytes)) for m in models]
        box = self.query_one("#models", PickList)
        box.show(names)
        state = "" if progress.done else f"{spinner} "
        note = "" if progress.complete else ", stopped there: name a folder in models_dirs"
        box.border_subtitle = Content(f"{state}{len(models)} in {progress.folders} folders{note}")

    def _show_none(self, folders: list[str]) -> None:
        lines = [
            "No model was found in",
            *(f"  {folder}" for folder in folders),
            "",
            f"{self.program.key_of('app.open')} opens one by its path; BITNET_MODELS=FOLDER, or models_dirs in "
            "config.toml, adds a folder to look in.",
        ]
        self.query_one("#models").display = False
        nothing = self.query_one("#none", Static)
        nothing.update(Content("\n".join(lines)))
        nothing.display = True

    async def _read_runs(self) -> None:
        runs = await asyncio.to_thread(self.program.store.list)
        box = self.query_one("#runs", PickList)
        now = self.program.clock()
        box.show([run_pick(run, now, live=run.id == self.program.live_run) for run in runs])
        box.border_subtitle = Content(
            f"{len(runs)} recorded" if runs else f"none yet: {self.program.key_of('app.new_run')} makes the first"
        )


def _advance(scan: Iterator[FoundModel | Scanned]) -> tuple[list[FoundModel], Scanned]:
    """Scan for a while; return what was found and how far it came."""
    found: list[FoundModel] = []
    until = time.monotonic() + _SLICE
    for item in scan:
        if isinstance(item, FoundModel):
            found.append(item)
        elif item.done or time.monotonic() > until:
            return found, item
    return found, Scanned(0, done=True)


def _short(path: str) -> str:
    """Return the last two parts of a path: a file's name alone says little (`model.gguf`)."""
    return "/".join(path.rstrip("/").split("/")[-2:])


def _titled(widget: Widget, title: str) -> Widget:
    widget.border_title = Content(title)
    widget.add_class("pane")
    return widget


def _start(key_of: Callable[[str], str]) -> Content:
    """Return the actions with the keys in force; the palette's is Textual's own."""
    pairs = [(key_of(action) if "." in action else action, text) for action, text in _ACTIONS]
    keys = [Content.assemble((f"{key:>6}", "bold $accent"), f"  {text}") for key, text in pairs]
    note = Content.styled("no telemetry · nothing is downloaded", "$text-muted")
    return Content("\n").join([*keys, Content(""), note])
