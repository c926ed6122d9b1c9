"""What every screen has: panes to go to, to zoom, to jump to, and what is copied from them."""

import pytest

from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.jump import LETTERS, JumpScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen

PANES = {
    "home": ["models", "runs"],
    "inspect": ["parts", "details"],
    "parity": ["strip", "bars", "ranks"],
    "runs": ["list", "about"],
}


@pytest.fixture
def place_of(app_of, made, tmp_path, until):
    """Return a function that makes an app, and one that brings it to a screen with something on it."""

    def make(place):
        (tmp_path / "here" / "a.gguf").touch()
        app = app_of(["/models/x.gguf"] if place == "inspect" else [])
        with app.store.create("7f3a") as writer:
            asked = {"reference": "a.gguf", "candidate": "b c.gguf", "profile": "fp32", "exact": True, "seed": 0}
            writer.write([made.start(request=asked), *made.run()[1:]])
        return app

    async def ready(app, pilot, place):
        await until(pilot, lambda: isinstance(app.screen, BaseScreen))
        if place == "parity":
            app.open_path(str(app.store.root / "7f3a"))
            await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        elif place == "runs":
            await pilot.press("4")
            await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected)
        elif place == "inspect":
            await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31)
        else:
            await until(pilot, lambda: app.screen.selection_text())
        await pilot.pause()

    return make, ready


@pytest.mark.parametrize("place", PANES)
async def test_tab_zoom_and_jump(place_of, place):
    """A pane could be read in a third of the screen only, and with a mouse only."""
    make, ready = place_of
    app = make(place)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, place)
        screen = app.screen
        assert [pane.id for pane in screen.panes()] == PANES[place]
        for at, pane in enumerate(screen.panes()):
            await pilot.press("ctrl+o")
            assert isinstance(app.screen, JumpScreen)
            await pilot.press(LETTERS[at])
            await pilot.pause()
            assert pane in screen.focused.ancestors_with_self
            before = pane.size
            await pilot.press("z")
            await pilot.pause()
            assert screen.maximized is pane
            assert pane.size.width >= 112, "the pane fills the screen"
            assert pane.size.height >= 34
            await pilot.press("escape" if at else "z")
            await pilot.pause()
            assert screen.maximized is None
            assert pane.size == before
            following = screen.panes()[(at + 1) % len(PANES[place])]
            await pilot.press("tab")
            assert following in screen.focused.ancestors_with_self
            await pilot.press("shift+tab")
            assert pane in screen.focused.ancestors_with_self
        assert app.screen is screen


async def test_another_key_closes_the_letters(place_of):
    """The letters stayed, and swallowed every key."""
    make, ready = place_of
    app = make("inspect")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, "inspect")
        before = app.screen.focused
        for key in ("escape", "q", "x"):
            await pilot.press("ctrl+o", key)
            await pilot.pause()
            assert app.screen.focused is before


COPIED = {
    "home": ("here/a.gguf", "bitnet-tui /"),
    "inspect": ("/models/x.gguf", "bitnet-tui info /models/x.gguf"),
    "parity": ("42\tausten.txt:41\t\u0301\tnan", "bitnet-tui parity a.gguf 'b c.gguf' --profile fp32 --exact"),
    "runs": ("7f3a/events.jsonl", "bitnet-tui runs list"),
}


@pytest.mark.parametrize("place", COPIED)
async def test_what_is_copied(place_of, place):
    """`y` copied on two screens of four, and no key gave the command that equals the view."""
    make, ready = place_of
    app = make(place)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, place)
        text, command = COPIED[place]
        await pilot.press("y")
        assert text in app.clipboard
        await pilot.press("Y")
        assert app.clipboard.startswith(command)


async def test_rows_are_copied_from_the_pane_with_the_focus(place_of):
    """The ranks at a token could not be copied at all."""
    make, ready = place_of
    app = make("parity")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot, "parity")
        await pilot.press("tab", "tab", "y")
        lines = app.clipboard.splitlines()
        assert lines[0] == "reference\t1\t Loire\t18.0"
        assert len(lines) == 20
        await pilot.press("4", "tab", "y")
        await pilot.pause()
        assert app.clipboard.startswith("id\t7f3a")
        app.open_path("/models/x.gguf")
        await ready(app, pilot, "inspect")
        await pilot.press("tab", "y")
        assert app.clipboard.startswith("path\t/models")
