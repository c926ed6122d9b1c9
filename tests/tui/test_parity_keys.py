"""What the Parity screen does beyond stepping: measures, thresholds, the table, bookmarks, the command of a token."""

import json

import numpy as np
import pytest
from textual.widgets import Input

from bitnet_tui.core.failure_rows import replay_command
from bitnet_tui.core.measures import KL, MEASURES, RANK, SHIFT, TAU
from bitnet_tui.core.parity_view import ParityView, TokenStatus
from bitnet_tui.core.session import SettingError
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.widgets.rank_table import RankTable
from bitnet_tui.widgets.token_rows import TokenRows

WIDE = (120, 40)


@pytest.fixture
def shown(app_of, made, until):
    """Return a context manager of an app that replays the run, and its pilot."""

    async def ready(pilot):
        app = pilot.app
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        return app.screen

    app = app_of()
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    app.paths = [str(app.store.root / "7f3a")]
    return app, ready


def test_a_measure_tells_the_wrong_side_of_its_limit():
    """KL was judged like tau-b: the larger the better."""
    values = np.array([0.1, 0.5, np.nan])
    assert TAU.beyond(values, 0.3).tolist() == [True, False, True]
    assert KL.beyond(values, 0.3).tolist() == [False, True, True]
    assert KL.beyond(values, None).tolist() == [False, False, True]
    assert [int(np.argmin(m.worst_first(values))) for m in (TAU, KL)] == [2, 2]
    assert int(np.argmin(KL.worst_first(values[:2]))) == 1
    assert [m.after() for m in MEASURES] == [KL, SHIFT, RANK, TAU]


def test_the_rank_of_the_first_choice(made):
    """A flip of first and second was a rank of zero, or a token that left the list was none at all."""
    view = ParityView()
    gone = made.token(2)
    gone["top_candidate"] = gone["top_candidate"][1:]
    for event in (made.start(), made.token(0), made.token(1, flip=True), gone, {**made.token(3), "top_candidate": []}):
        view.feed(event)
    assert view.tokens.column("rank")[:3].tolist() == [0.0, 1.0, 9.0]
    assert np.isnan(view.tokens.column("rank")[3])
    view.measure = RANK
    view.thresholds[RANK] = 1
    statuses = [view.status(index) for index in range(4)]
    assert statuses == [TokenStatus.AGREE, TokenStatus.DRIFT, TokenStatus.DIVERGE, TokenStatus.UNDEFINED]


async def test_the_measure_and_its_threshold(shown, until, text_of):
    """`m` changed the title of the chart, and the colours, the marks and the worst token stayed those of tau-b."""
    app, ready = shown
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot)
        await pilot.press("m", "m", "m")
        await until(pilot, lambda: "Δrank around the cursor" in text_of(app))
        await pilot.press("home", "w")
        assert screen.cursor == 17, "the first of the flips, by KL"
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        app.screen.query_one(Input).value = "x"
        await pilot.press("enter")
        await until(pilot, lambda: "'x': a number is allowed" in text_of(app))
        app.screen.query_one(Input).value = "0.5"
        await pilot.press("enter")
        await until(pilot, lambda: "2 Δrank over .50" in text_of(app))
        await pilot.press("home", "n")
        assert screen.cursor == 17
        await pilot.press("m")
        await until(pilot, lambda: "3 under .60" in text_of(app))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        app.screen.query_one(Input).value = ""
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.view.threshold == 0.6


async def test_a_run_without_a_difference_says_so(app_of, made, until):
    """`w` moved to some token without a word, as if it were off."""
    app = app_of()
    with app.store.create("7f3a") as writer:
        writer.write([made.start(), *(made.token(index) for index in range(3)), *made.run()[-1:]])
    app.paths = [str(app.store.root / "7f3a")]
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        await pilot.press("w")
        await until(pilot, lambda: any("every token agrees" in n.message for n in app._notifications))


async def test_the_layers_are_offered_once_the_run_has_ended(app_of, until, text_of):
    """The footer of a live run offered the layers, and the key refused them."""
    app = app_of(("/models/a.gguf", "/models/b.gguf"), hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and app.screen.count == 64)
        assert "⏎ layers" not in text_of(app)
        app.jobs[-1].end()
        await until(pilot, lambda: not app.screen.busy and "⏎ layers" in text_of(app))


async def test_a_new_run_begins_with_the_sides_at_hand(shown, app_of, until):
    """`r` on Parity opened an empty form, over the very run that was to be made again."""
    app, ready = shown
    async with app.run_test(size=WIDE) as pilot:
        view = (await ready(pilot)).view
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        sides = [app.screen.query_one(f"#field-{side}", Input).value for side in ("reference", "candidate")]
        assert sides == [view.reference, view.candidate]
    app = app_of(["/models/a.gguf"])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.query("#tree") and app.screen.path)
        await pilot.press("2", "r")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        assert app.screen.query_one("#field-reference", Input).value == "/models/a.gguf"


async def test_the_table_and_the_list_of_what_differs(shown, until, text_of):
    """A failure was found by stepping through a thousand tokens that agree."""
    app, ready = shown
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot)
        await pilot.press("home", "c")
        await until(pilot, lambda: "|Δlogit|" in text_of(app) and screen.query_one(TokenRows).listed == 64)
        await pilot.press("down", "down", "up")
        assert screen.cursor == 1
        await pilot.press("b", "c")
        await until(pilot, lambda: "6 tokens that differ" in text_of(app) or "5 tokens that differ" in text_of(app))
        rows = screen.query_one(TokenRows)
        assert rows._rows.tolist() == [1, 17, 40, 41, 52]
        await pilot.press("home")
        for place in (1, 17, 40, 41, 52, 52):
            await pilot.press("down")
            assert screen.cursor == place
        await pilot.press("pageup")
        assert screen.cursor == 1
        assert "●" in text_of(app)
        await pilot.click(TokenRows, offset=(5, 4))
        assert screen.cursor == 40
        await pilot.press("end", "B")
        assert screen.cursor == 1
        await pilot.press("b", "B", "c")
        await until(pilot, lambda: screen.query_one("#strip").display)
        assert screen.view.bookmarks == set()


async def test_ranks_are_more_or_fewer(shown):
    """Ten ranks were shown, whoever wanted three."""
    app, ready = shown
    async with app.run_test(size=WIDE) as pilot:
        table = (await ready(pilot)).query_one(RankTable)
        await pilot.press(*["left_square_bracket"] * 3)
        assert table.most == 7
        assert " 8 ·Meuse" not in str(table.render())
        await pilot.press(*["right_square_bracket"] * 9)
        assert table.most == 10


async def test_the_command_that_measures_a_token_again(shown, until, text_of):
    """Nobody could tell which line of the failures was the token on the screen."""
    app, ready = shown
    folder = app.store.root / "7f3a"
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("p")
        await until(pilot, lambda: any("No such file" in n.message for n in app._notifications))
        lines = [{"document": "austen.txt", "position": index} for index in (17, 41)]
        (folder / "parity_failures.jsonl").write_text("\n".join(["torn {", *map(json.dumps, lines)]))
        await pilot.press("p")
        await until(pilot, lambda: app.clipboard.endswith("parity_failures.jsonl --row 3"))
        assert app.clipboard == replay_command(str(folder / "events.jsonl"), "austen.txt", 41)
    with pytest.raises(SettingError, match="no line for this token"):
        replay_command(str(folder), "austen.txt", 5)
