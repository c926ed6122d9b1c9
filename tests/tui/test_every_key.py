"""Every binding and every command of the palette has a test that uses it; a monkey presses the rest of the ways.

`USED` says where: a test here presses the keys of each binding in the place where they are in force, and fails for a
binding that nobody has named a place for.
"""

import random

import pytest

from bitnet_tui.app import BINDING
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.bench import BenchScreen
from bitnet_tui.screens.confirm import ConfirmScreen
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.help import HelpScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.keys import actions_of, textual_name
from bitnet_tui.screens.layers import LayersScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.screens.settings import SettingsScreen
from bitnet_tui.widgets.panes import ScrollPane

WIDE = (120, 40)
ACTIONS = actions_of(BINDING)

PLACES = ("home", "inspect", "parity", "layers", "bench", "runs", "settings")
USED = {
    **{place: place for place in ("home", "inspect", "parity", "layers", "bench", "runs", "confirm", "form", "help")},
    "app": "parity",
    "list": "runs",
    "tree": "inspect",
    "pane": "inspect",
}
"""Where the keys of a scope are pressed."""

LEAVES = ("app.quit",)
ELSEWHERE = ("parity.pause",)
"""In force while a run is live alone: test_screens presses it."""
SHOWN_BY = {"confirm": ConfirmScreen, "form": FormScreen, "help": HelpScreen}


@pytest.fixture
def go_to(app_of, made, until):
    """Return an app with a run, a model and no tensors' values, and a function that brings it to a place."""
    app = app_of(read_values=lambda *_args, **_reading: [[0.5]], diagnosis=made.diagnosis())
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    with app.store.create("3e9b") as writer:
        writer.write(made.bench_run("3e9b"))

    async def go(pilot, place):
        await until(pilot, lambda: isinstance(app.screen, BaseScreen))
        if place in ("home", "form", "help"):
            await app.action_show("home")
        if place == "inspect":
            app.open_path("/models/x.gguf")
            await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31)
        elif place in ("parity", "layers"):
            app.open_path(str(app.store.root / "7f3a"))
            await until(pilot, lambda: isinstance(app.screen, ParityScreen) and app.screen.view.tokens)
            await until(pilot, lambda: not app.screen.busy)
            if place == "layers":
                await pilot.press("w", "enter")
                await until(pilot, lambda: isinstance(app.screen, LayersScreen) and app.screen.view.report)
        elif place == "bench":
            app.open_path(str(app.store.root / "3e9b"))
            await until(pilot, lambda: isinstance(app.screen, BenchScreen) and app.screen.view.artifact)
            await until(pilot, lambda: not app.screen.busy)
        elif place in ("runs", "confirm"):
            if not (app.store.root / "7f3a").exists():  # one of the keys has deleted it
                with app.store.create("7f3a") as writer:
                    writer.write(made.run())
            await app.action_show("home")
            await app.action_show("runs")
            await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected)
        elif place == "settings":
            await pilot.press("comma")
            await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        key = {"confirm": "D", "form": "o", "help": "question_mark"}.get(place)
        if key is not None:
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, SHOWN_BY[place]))

    return app, go


def test_every_binding_has_a_place():
    """A screen was added, and none of its keys had ever been pressed."""
    assert [action for action in ACTIONS if action.partition(".")[0] not in USED] == []


@pytest.mark.parametrize("scope", USED)
async def test_every_binding_is_used(go_to, until, monkeypatch, scope):
    """A binding whose action had been renamed did nothing, and nobody had pressed it."""
    app, go = go_to
    done = []
    run = app.run_action

    async def noted(what, *args, **kwargs):
        done.append((what, await run(what, *args, **kwargs)))
        return done[-1][1]

    actions = [action for action in ACTIONS if action.partition(".")[0] == scope and action not in ELSEWHERE]
    pressed = [(action, key) for action in actions for key in ACTIONS[action]]
    assert pressed
    # What leaves the app comes last.
    pressed.sort(key=lambda pair: pair[0] in LEAVES)
    # What fits into a pane is not scrolled.
    async with app.run_test(size=(80, 18) if scope == "pane" else WIDE) as pilot:
        for _action, key in pressed:
            await go(pilot, USED[scope])
            if scope == "pane":
                app.screen.query_one(ScrollPane).focus()
            done.clear()
            with monkeypatch.context() as patch:
                patch.setattr(app, "run_action", noted)
                await pilot.press(textual_name(key))
                # A box around a field is asked first, and has nothing to scroll.
                await until(pilot, lambda: any(answered for _, answered in done))
            if app.is_running:
                app.screen.minimize()
            for _ in range(3):
                if app.is_running and app.screen.is_modal:
                    await pilot.press("escape")
                    await pilot.pause()
        assert app.is_running is (scope != "app")


@pytest.mark.parametrize("place", PLACES)
async def test_every_command_of_the_palette_runs(go_to, until, place):
    """A command of the palette raised, because its action was looked for on another screen."""
    app, go = go_to
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, place)
        screen = app.screen
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert len(titles) > 15
        for title in titles:
            if title in ("Quit", "Screenshot"):  # one leaves the app, the other writes into the user's folder
                continue
            if app.screen is not screen:
                await go(pilot, place)
                screen = app.screen
            command = next((c for c in app.get_system_commands(app.screen) if c.title == title), None)
            if command is not None:  # `Minimize` is there while something is zoomed
                command.callback()
                await pilot.pause()
            while app.screen.is_modal:
                await pilot.press("escape")
                await pilot.pause()
        assert app.is_running


@pytest.mark.parametrize("place", PLACES)
async def test_a_monkey_finds_nothing(go_to, until, place):
    """Keys in an order that nobody had thought of ended the app: a zoomed pane that a resize hid, an empty table."""
    app, go = go_to
    chance = random.Random(place)
    keys = sorted({textual_name(key) for action, some in ACTIONS.items() if action not in LEAVES for key in some})
    keys = [key for key in keys if key != "q"] + ["a", "1", "backspace"]
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, place)
        # Bursts, as of a key that repeats: what a key began is not always done when the next one comes.
        for burst in range(60):
            if burst % 5 == 4:
                await pilot.resize_terminal(*chance.choice([(120, 40), (80, 24), (60, 18), (59, 10), (200, 60)]))
            pressed = chance.choices(keys, k=5)
            await pilot.press(*pressed)
            assert app.is_running, f"left by burst {burst}: {pressed}"
        while app.screen.is_modal:
            await pilot.press("escape")
            await pilot.pause()
        assert app.is_running
