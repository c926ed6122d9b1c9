"""The guided tour, over the run that is shipped with the program."""

import re

from bitnet_tui.app import BINDING
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.tour import STOPS, Tour
from bitnet_tui.screens.home import HomeScreen
from bitnet_tui.screens.keys import actions_of
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.widgets.tour_card import TourCard


def test_each_stop_is_a_binding():
    """An action was renamed, and the tour stood still at its stop for ever."""
    bound = {binding.id: binding.action for owner in BINDING for binding in owner.BINDINGS}
    assert [bound[stop.binding] for stop in STOPS] == [stop.action for stop in STOPS]


def test_only_the_asked_for_act_leads_on():
    """Any key went on to the next stop, and the tour was over before it was read."""
    tour = Tour()
    assert not tour.saw("context")
    assert tour.saw("worst")
    assert tour.at == 1


def test_the_run_is_small_and_whole():
    """A run cut short for its size had no verdict, and the tour spoke of one."""
    stream = resource_dir("demo") / "events.jsonl"
    assert stream.stat().st_size < 1_000_000
    assert b'"event":"run.end"' in stream.read_bytes()[-200:]


async def test_the_tour_is_walked_from_home_to_home(app_of, until, text_of):
    """A stop named a key that the screen did not have, or the card stayed after the last stop."""
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        screen = app.screen
        assert screen.view.verdict == "FAIL"
        for number, stop in enumerate(STOPS, 1):
            await until(pilot, lambda number=number: f"{number}/6" in text_of(app))
            if number == 1:  # the run is real and was made elsewhere
                await pilot.press("enter")
                await until(pilot, lambda: any("models are not here" in n.message for n in app._notifications))
                assert app.screen is screen
            said = re.sub(r"\s+", " ", text_of(app))
            assert f"press {app.key_of(stop.binding)}" in said
            await pilot.press(actions_of(BINDING)[stop.binding][0])
            await pilot.pause()
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert not screen.query_one(TourCard).display


async def test_another_run_ends_the_tour(app_of, made, until):
    """The tour spoke on over somebody's own run."""
    app = app_of(tour=True)
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and app.screen.query_one(TourCard).display)
        app.open_path(str(app.store.root / "7f3a"))
        await until(pilot, lambda: not app.screen.query_one(TourCard).display)
