"""Every screen in every theme and size, as text and as a picture, in one walk through the app for each size.

    pytest tests/tui/test_golden.py --update-golden       # writes golden/ anew; read the difference of the texts
    pytest tests/tui/test_golden.py --pictures FOLDER     # writes every picture as an .svg, to be looked at

Texts are golden in full, in the default theme: golden/120x40.txt holds every screen of that size. Pictures are 120 of
10 to 60 KB, so golden/pictures.txt has a digest of each; where one differs its picture is written and named.
"""

import difflib
import hashlib
import html
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from textual.widgets import Input

from bitnet_tui.screens.bench import BenchScreen
from bitnet_tui.screens.compare import CompareScreen
from bitnet_tui.screens.export import svg_of
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.help import HelpScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.layers import LayersScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.screens.settings import SettingsScreen
from bitnet_tui.widgets.pick_list import PickList

NOW = 1_900_000_000.0
THEMES = ("bitnet-dark", "bitnet-light", "colorblind-safe", "high-contrast", "phosphor")
DEFAULT = THEMES[0]
NO_COLOR = "no-color"


@dataclass
class Walk:
    """What was seen on the way: the text of each screen, and the digest of each picture."""

    size: str
    themes: tuple[str, ...]
    folder: Path
    """Where pictures go that are to be looked at."""
    texts: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)

    async def look(self, pilot, name, text_of):
        """Note the screen at hand under `name`, in every theme."""
        app = pilot.app
        app.clear_notifications()
        for line in app.screen.query(Input):
            line.cursor_blink = False
        before = ""
        while (now := svg_of(app)) != before:  # what a key has set off may take more than one frame
            before = now
            await pilot.pause()
        for theme in self.themes:
            if theme != NO_COLOR:
                app.theme = theme
            await pilot.pause()
            svg, case = svg_of(app), f"{self.size} {theme} {name}"
            (self.folder / f"{case.replace(' ', '_')}.svg").write_text(svg, encoding="utf-8")
            self.pictures[case] = hashlib.sha256(svg.encode()).hexdigest()[:16]
        if self.themes != (NO_COLOR,):
            app.theme = DEFAULT
            await pilot.pause()
        self.texts[name] = text_of(app)


@pytest.fixture
def frozen(monkeypatch, tmp_path):
    """Keep animations, colours of the terminal, and the names of temporary folders, out of the pictures."""
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setattr("bitnet_tui.screens.home.search_folders", lambda named: [tmp_path / "here"])
    monkeypatch.setattr("bitnet_tui.screens.runs.shown_path", lambda run: f"/state/runs/{run.id}/events.jsonl")
    (tmp_path / "here" / "config.toml").touch()
    monkeypatch.setenv("BITNET_TUI_CONFIG", "config.toml")
    monkeypatch.setenv("BITNET_TUI_RUNS", "runs")


def furnished(app_of, made, tmp_path):
    """Return an app beside two models, with three parity runs and two benchmarks."""
    for name, count in (("nano/nano-tq2_0.gguf", 3_481_600), ("nano/nano-i2_s.gguf", 3_449_856)):
        (tmp_path / "here" / name).parent.mkdir(exist_ok=True)
        with (tmp_path / "here" / name).open("wb") as stream:
            stream.truncate(count)
    app = app_of(clock=lambda: NOW, diagnosis=made.diagnosis())
    tokens = [*made.tokens()[:30], *(made.token(i, tau=0.5) for i in range(30, 34)), *made.tokens()[34:]]
    for age, id, events in (
        (120, "t5k2zx7f", made.run()),
        (7300, "t5k1aa01", [*made.preparation(), *tokens, *made.ending("PASS")]),
        (90_000, "t5j0cc03", made.bench_run("t5j0cc03")),
        (180_000, "t5i9dd04", made.bench_run("t5i9dd04", 1.1)),
        (190_000, "t5i0bb02", made.run()[:30]),
    ):
        with app.store.create(id) as writer:
            writer.write(events)
        os.utime(writer.path, (NOW - age, NOW - age))
    return app


async def walk(pilot, until, text_of, seen):
    """Visit every screen as a user would, and note each."""
    app = pilot.app

    async def arrive(screen, ready=lambda: True):
        await until(pilot, lambda: isinstance(app.screen, screen) and ready())

    models, runs = app.screen.query_one("#models", PickList), app.screen.query_one("#runs", PickList)
    await until(pilot, lambda: len(models.picks) == 2 and len(runs.picks) == 5 and "⠋" not in text_of(app))
    await seen.look(pilot, "home", text_of)
    app.open_path("/models/bitnet-2B/ggml-model-i2_s.gguf")
    await arrive(InspectScreen, lambda: app.screen.view.measured == 31)
    await pilot.press("down", "down", "down", "enter", "down", "down")
    await until(pilot, lambda: not app.screen.busy and "stops" not in text_of(app))
    await seen.look(pilot, "inspect", text_of)
    app.open_path(str(app.store.root / "t5k2zx7f"))
    await arrive(ParityScreen, lambda: app.screen.source is not None and not app.screen.busy)
    # From the top, since how far the strip is scrolled depends on where the cursor came from.
    await pilot.press("home", "f")
    await seen.look(pilot, "parity", text_of)
    await pilot.press("c", "c")
    await seen.look(pilot, "differences", text_of)
    await pilot.press("c", "enter")
    await arrive(LayersScreen, lambda: app.screen.view.report is not None and not app.screen.busy)
    await seen.look(pilot, "layers", text_of)
    await pilot.press("escape")
    app.open_path(str(app.store.root / "t5j0cc03"))
    await arrive(BenchScreen, lambda: app.screen.view.baseline is not None)
    await seen.look(pilot, "bench", text_of)
    await pilot.press("4")
    await arrive(RunsScreen, lambda: len(app.screen.runs) == 5)
    await pilot.press("space", "down", "space")
    await seen.look(pilot, "runs", text_of)
    await pilot.press("c")
    await arrive(CompareScreen, lambda: "4 of 64 tokens changed" in text_of(app))
    await seen.look(pilot, "compare", text_of)
    await pilot.press("escape", "comma")
    await arrive(SettingsScreen)
    await seen.look(pilot, "settings", text_of)
    await pilot.press("escape", "question_mark")
    await arrive(HelpScreen)
    await seen.look(pilot, "help", text_of)
    await pilot.press("escape", "e")
    await arrive(FormScreen)
    await seen.look(pilot, "export", text_of)


@pytest.mark.parametrize("themes", [THEMES, (NO_COLOR,)], ids=["themes", NO_COLOR])
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 18)], ids=["120x40", "80x24", "60x18"])
async def test_every_screen(
    app_of, made, until, text_of, update_golden, pictures, frozen, monkeypatch, tmp_path, size, themes
):
    """A change of one screen, theme or size that nobody meant; or NO_COLOR that loses what a colour said."""
    if themes == (NO_COLOR,):
        monkeypatch.setenv("NO_COLOR", "1")  # read once, when the app is made
    name = f"{size[0]}x{size[1]}"
    folder = pictures or tmp_path / "pictures"
    folder.mkdir(exist_ok=True, parents=True)
    seen = Walk(name, themes, folder)
    app = furnished(app_of, made, tmp_path)
    async with app.run_test(size=size) as pilot:
        await walk(pilot, until, text_of, seen)
    page = "\n".join(f"════ {screen}\n{text}" for screen, text in seen.texts.items())
    compare_text(page, made.golden / f"{name}.txt", update_golden and themes == THEMES)
    compare_pictures(seen, made.golden / "pictures.txt", update_golden)


def compare_text(text, path, update):
    """Hold `text` against the file at `path`; the difference is the message."""
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
        return
    expected = path.read_text(encoding="utf-8")
    difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), "expected", "actual", lineterm="")
    assert text + "\n" == expected, "\n".join(difference)


def compare_pictures(seen, path, update):
    """Hold the digests against the lines of the file; with `update` put them into it."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = dict(line.rsplit(" ", 1) for line in lines)
    if update:
        merged = sorted((known | seen.pictures).items())
        path.write_text("".join(f"{case} {digest}\n" for case, digest in merged), encoding="utf-8")
        return
    other = [f"{case} is in {seen.folder}" for case, digest in seen.pictures.items() if known.get(case) != digest]
    assert other == []


async def test_the_picture_is_what_the_screen_shows(app_of, made, until, text_of):
    """The pictures read a private part of Textual, which may change what it means."""
    app = app_of(["/models/x.gguf"])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31)
        svg = app.export_screenshot(simplify=True)
        public = html.unescape("".join(re.findall(r">([^<]+)</text>", svg))).replace("\xa0", " ")
        for line in text_of(app).splitlines():
            for word in line.split():
                assert word in public
