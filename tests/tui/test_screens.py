"""The whole program with made-up jobs: every key, every screen, hostile names, resizing, cancelling."""

import pytest
from textual.widgets import Input

from bitnet_tui.core.run_state import RunState
from bitnet_tui.core.settings import load_config
from bitnet_tui.screens.confirm import ConfirmScreen
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.help import HelpScreen
from bitnet_tui.screens.home import HomeScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.pick_list import PickList
from bitnet_tui.widgets.tensor_tree import Part, TensorTree
from bitnet_tui.widgets.token_strip import TokenStrip

SIDES = ("/models/a.gguf", "/models/b.gguf")
WIDE = (120, 40)


class Failure(Exception):
    """Stands for the engine's own error, which carries its exit code."""

    exit_code = 3


def parity_ended(app):
    return lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live


def inspected(app):
    return lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31


@pytest.fixture
def recorded(app_of, made):
    """Return a function that makes an app replaying the recorded run."""

    def make(events=None, **more):
        app = app_of(**more)
        with app.store.create("7f3a") as writer:
            writer.write(events or made.run())
        app.paths = [str(app.store.root / "7f3a")]
        return app

    return make


# ---- home -------------------------------------------------------------------------------------------


async def test_home_names_the_folders_it_searched_in_vain(app_of, until, text_of, tmp_path):
    """An empty list said nothing about where a model could be put."""
    app = app_of()
    async with app.run_test(size=(300, 40)) as pilot:
        await until(pilot, lambda: "No model was found in" in text_of(app))
        assert str(tmp_path / "here") in text_of(app)


async def test_home_opens_a_model_and_a_run(app_of, made, until, tmp_path):
    """Enter on a list did nothing while the scan went on."""
    (tmp_path / "here" / "a.gguf").touch()
    app = app_of()
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    async with app.run_test(size=WIDE) as pilot:
        models, runs = app.screen.query_one("#models", PickList), app.screen.query_one("#runs", PickList)
        await until(pilot, lambda: models.picks and runs.picks)
        models.focus()
        await pilot.press("enter")
        await until(pilot, inspected(app))
        assert app.screen.path == str(tmp_path / "here" / "a.gguf")
        await pilot.press("0")
        runs.focus()
        await pilot.press("enter")
        await until(pilot, parity_ended(app))
        assert len(app.screen.view.tokens) == 64


async def test_home_marks_a_run_that_cannot_be_read(app_of, until, text_of):
    """One damaged run hid the others."""
    app = app_of()
    with app.store.create("torn"):
        pass
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "no event in it" in text_of(app))


# ---- inspect ----------------------------------------------------------------------------------------


async def test_inspect_shows_what_the_file_says(app_of, until, text_of):
    """A model opened to an empty pane until its statistics had come."""
    app = app_of(["/models/x.gguf"])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        text = text_of(app)
        assert "31 tensors" in text
        assert "! 1 finding" in text
        assert "statistics 31/31 tensors, 100% of the bytes" in text
        assert app.jobs[0].request == {"kind": "stats", "path": "/models/x.gguf"}


async def test_the_tree_opens_filters_and_copies(app_of, until):
    """After a filter was cleared the selection was at the top of the file."""
    app = app_of(["/models/x.gguf"])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        tree = app.screen.query_one(TensorTree)
        await pilot.press("down", "down", "down", "space", "down", "down", "y")
        assert tree.cursor_node.data == Part("tensor", "blk.0.attn_q.weight")
        assert app.clipboard == "blk.0.attn_q.weight"
        await pilot.press("slash", *"DOWN", "enter")
        await pilot.pause()
        names = [leaf.data.key for node in tree.root.children for leaf in node.children]
        assert names == [f"blk.{block}.ffn_down.weight" for block in range(6)]
        tree.move_cursor(tree.root.children[2].children[0])
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert not app.screen.query_one(Input).display
        assert tree.cursor_node.data == Part("tensor", "blk.2.ffn_down.weight")
        await pilot.press("left", "left", "right", "right")
        assert tree.cursor_node.data == Part("tensor", "blk.2.attn_norm.weight")


async def test_a_bad_file_is_a_card(app_of, until, text_of):
    """A truncated model ended the program with a traceback."""

    def refuse(path):
        raise Failure(f"{path}: truncated at byte 17 [/nope]")

    app = app_of(["/models/x.gguf"], inspect=refuse)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.query(ErrorCard) and app.screen.query_one(ErrorCard).display)
        assert "exit code 3: bad model or corpus file" in text_of(app)
        assert "truncated at byte 17 [/nope]" in text_of(app)
        assert app.jobs == []
        app.inspect = lambda path: {"path": path}
        app.open_path("/models/y.gguf")
        await until(pilot, lambda: not app.screen.query_one(ErrorCard).display)


async def test_another_model_stops_the_statistics_of_the_first(app_of, until):
    """Two children read two models, and the tree got the numbers of both."""
    app = app_of(["/models/x.gguf"], hold_stats=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        app.open_path("/models/y.gguf")
        await until(pilot, lambda: len(app.jobs) == 2 and app.jobs[0].cancelled == 1)
        assert app.screen.path == "/models/y.gguf"
        await pilot.press("ctrl+x")
        await until(pilot, lambda: app.jobs[1].cancelled == 1)


def scan_events(made, *findings):
    steps = [
        {"event": "tensor", "work": "scan", "name": f"blk.{i}.attn_q.weight", "index": i, "count": 31} for i in (1, 2)
    ]
    return [made.start(kind="scan"), *steps, {"event": "report", "report": {"findings": list(findings)}}]


async def test_a_scan_adds_what_only_the_weights_show(app_of, made, until, text_of):
    """What `info --scan` finds could not be seen in the app, or a second press scanned a second time."""
    found = {
        "code": "scale-one",
        "severity": "warning",
        "subject": "blk.1.attn_q.weight",
        "message": "has a scale of exactly 1.0, as where the real one was lost [/nope]",
        "advice": "compare with the model it was made from",
    }
    app = app_of(["/models/x.gguf"], events=scan_events(made, found), reading={"i2s_layout": "B"})
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        assert "header; s scans the weights too" in text_of(app)
        await pilot.press("s")
        await until(pilot, lambda: "scanned, 1 finding in the weights" in text_of(app))
        assert app.jobs[1].request == {"kind": "scan", "path": "/models/x.gguf", "i2s_layout": "B"}
        assert "! 2 findings" in text_of(app)
        assert "2, header and weights" in text_of(app)
        tree = app.screen.query_one(TensorTree)
        await pilot.press("home", "down", "space", "down", "down")
        assert tree.cursor_node.data == Part("finding", "1")
        assert "scale of exactly 1.0" in text_of(app)
        await pilot.press("s")
        await pilot.pause()
        assert len(app.jobs) == 2


async def test_a_scan_shows_how_far_it_is_and_can_be_stopped(app_of, made, until, text_of):
    """A scan of a large model looked hung, and its child read on after ctrl+x."""
    app = app_of(["/models/x.gguf"], events=scan_events(made)[:-1], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("s")
        await until(pilot, lambda: "scan 2/31 blk.2.attn_q.weight · ctrl+x stops" in text_of(app))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: app.jobs[1].cancelled == 1)
        assert "not scanned: stopped" in text_of(app)
        await pilot.press("s")
        await until(pilot, lambda: len(app.jobs) == 3)


async def test_a_scan_that_fails_says_why(app_of, made, until, text_of):
    """A file that changed under a scan left `scan 2/31` on the screen for ever."""
    error = {"event": "error", "exit_code": 4, "message": "x.gguf: changed while it was read"}
    app = app_of(["/models/x.gguf"], events=[made.start(kind="scan"), error])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("s")
        await until(pilot, lambda: "not scanned: x.gguf: changed while it was read" in text_of(app))


async def test_quitting_ends_the_statistics(app_of, until):
    """The child that reads the weights outlived the program."""
    app = app_of(["/models/x.gguf"], hold_stats=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("q")
    assert app.jobs[0].cancelled == 1
    assert app.summary == []


# ---- parity -----------------------------------------------------------------------------------------


async def test_a_replay_lands_on_the_worst_token(recorded, until, text_of):
    """A recorded run opened on its first token, and the reader searched for what failed."""
    app = recorded()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        assert app.screen.cursor == 41
        assert "replay  ? INCONCLUSIVE  64 tokens" in text_of(app)
        assert "about 19 more documents are needed" in text_of(app)


async def test_keys_of_the_parity_screen(recorded, until):
    """Each key of the screen moves to the one place its help promises."""
    app = recorded()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        screen = app.screen
        for key, place in [
            ("home", 0),
            ("left", 0),
            ("right", 1),
            ("f", 17),
            ("n", 40),
            ("n", 41),
            ("n", 52),
            ("n", 52),
            ("N", 41),
            ("w", 41),
            ("end", 63),
            ("right", 63),
            ("left", 62),
        ]:
            await pilot.press(key)
            assert screen.cursor == place, key
        await pilot.press("up")
        above = screen.cursor
        await pilot.press("down")
        lines = screen.query_one(TokenStrip)._lines
        assert lines.line_of(above) == lines.line_of(62) - 1
        assert lines.line_of(screen.cursor) == lines.line_of(62)
        await pilot.press("pageup")
        assert lines.line_of(screen.cursor) == 0
        await pilot.press("pagedown")
        assert lines.line_of(screen.cursor) == lines.line_of(62)


async def test_a_live_run_follows_until_the_reader_moves(app_of, made, until):
    """The cursor ran away from the token being read."""
    app = app_of(SIDES, events=[*made.preparation(), *made.tokens()[:20]], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 20)
        screen = app.screen
        assert screen.cursor == 19
        await pilot.press("left")
        app.jobs[0].push(*made.tokens()[20:30])
        await until(pilot, lambda: screen.query_one(TokenStrip).count == 30)
        assert screen.cursor == 18
        await pilot.press("end")
        app.jobs[0].push(*made.tokens()[30:40])
        await until(pilot, lambda: screen.query_one(TokenStrip).count == 40)
        assert screen.cursor == 39


async def test_pause_freezes_the_view_not_the_run(app_of, made, until, text_of):
    """Pausing stopped the reading, the pipe filled, and the engine stood still."""
    app = app_of(SIDES, events=[*made.preparation(), *made.tokens()[:20]], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 20)
        screen = app.screen
        await pilot.press("space")
        app.jobs[0].push(*made.tokens()[20:30])
        await until(pilot, lambda: len(screen.view.tokens) == 30)
        assert screen.query_one(TokenStrip).count == 20
        assert "view paused" in text_of(app)
        await pilot.press("end", "space")
        await pilot.pause()
        assert screen.query_one(TokenStrip).count == 30


async def test_cancel_keeps_what_arrived(app_of, made, until, text_of):
    """A cancelled run vanished from the screen and from the store."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        await pilot.press("ctrl+x")
        await until(pilot, parity_ended(app))
        assert app.screen.view.state is RunState.CANCELLED
        assert len(app.screen.view.tokens) == 23
        assert "cancelled" in text_of(app)
        await pilot.press("ctrl+x")
        assert app.jobs[0].cancelled == 1
    (run,) = app.store.list()
    assert run.status == "cancelled"


async def test_quit_asks_while_a_run_is_live_and_cancels_it(app_of, made, until):
    """`q` left an engine computing without a program to read it."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        await pilot.press("q")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        assert app.is_running
        await pilot.press("q", "y")
    assert app.jobs[0].cancelled == 1
    assert app.store.list()[0].status == "cancelled"
    assert app.summary[1] == "no verdict (cancelled, 23 tokens)"
    assert "recorded in" in app.summary[-1]
    assert len(app.summary) <= 5


async def test_a_cancelled_run_is_not_asked_about(app_of, made, until, text_of):
    """`q` right after ctrl+x asked whether to cancel what was being cancelled."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        asked, end = [], app.jobs[0].cancel
        app.jobs[0].cancel = lambda: asked.append(1) if not asked else end()  # it takes its time to end
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "cancelling" in text_of(app))
        await pilot.press("ctrl+x", "q")
        assert not isinstance(app.screen, ConfirmScreen)
        assert not app.is_running
    assert len(asked) == app.jobs[0].cancelled == 1


async def test_the_question_goes_with_the_run(app_of, made, until):
    """The box asked about a run that had ended, and the next `q` did nothing."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        await pilot.press("q")
        assert isinstance(app.screen, ConfirmScreen)
        app.jobs[0].cancel()
        await until(pilot, lambda: isinstance(app.screen, ParityScreen))
        await pilot.press("q")
        assert not app.is_running


async def test_a_crash_of_the_program_ends_the_child(app_of, made, until):
    """A traceback of the program left its child behind."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the app raises when its context ends
        async with app.run_test(size=WIDE) as pilot:
            await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
            app.screen.call_later(lambda: 1 / 0)
            await pilot.pause(0.1)
    assert app.jobs[0].cancelled == 1


async def test_stages_show_until_the_first_token(app_of, made, until, text_of):
    """Minutes of compilation were an empty screen."""
    app = app_of(SIDES, events=made.preparation()[:4], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and app.screen.view.active_stage)
        assert "✔ load reference  1.2 s" in text_of(app)
        assert "load candidate" in text_of(app)
        app.jobs[0].push({"event": "stage", "name": "load candidate", "status": "done", "seconds": 0.5})
        app.jobs[0].push(*made.tokens()[:5])
        await until(pilot, lambda: "tokens ─" in text_of(app))


async def test_an_error_is_a_card_with_its_exit_code(app_of, made, until, text_of):
    """The engine died and the screen said `live`."""
    error = {"event": "error", "exit_code": 6, "message": "the engine ended by signal 11 [/nope]\x1b[2J"}
    end = {"event": "run.end", "status": "failed", "verdict": None}
    app = app_of(SIDES, events=[*made.preparation()[:4], error, end])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        assert "exit code 6: engine or environment" in text_of(app)
        assert "signal 11 [/nope]␛[2J" in text_of(app)
        assert "✘ load candidate" in text_of(app)


async def test_a_replay_of_nothing_is_a_card(app_of, until, text_of, tmp_path):
    """A run deleted while Home showed it ended the program."""
    app = app_of([str(tmp_path / "gone.jsonl")])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        assert "No such file or directory" in text_of(app)


async def test_one_run_at_a_time(app_of, made, until):
    """Two runs fed one screen."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        await pilot.press("r")
        assert isinstance(app.screen, ParityScreen)
        app.start_run({"kind": "parity"})
        await pilot.pause()
        assert len(app.jobs) == 1


async def test_a_run_goes_on_behind_another_screen(app_of, made, until):
    """Looking at Home lost the tokens that came meanwhile."""
    app = app_of(SIDES, events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        parity = app.screen
        await pilot.press("0")
        assert isinstance(app.screen, HomeScreen)
        app.jobs[0].push(*made.run()[30:])
        app.jobs[0].end()
        await until(pilot, lambda: not parity.view.live)
        await pilot.press("escape")
        assert app.screen is parity
        assert len(parity.view.tokens) == 64


# ---- forms, help, themes ----------------------------------------------------------------------------


async def test_open_checks_its_path(app_of, until, text_of, tmp_path):
    """A mistyped path closed the form and opened an error screen."""
    (tmp_path / "m.gguf").touch()
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("o", *"nope[", "enter")
        assert isinstance(app.screen, FormScreen)
        assert "nope[: no such file or folder" in text_of(app)
        await pilot.press("x")  # what was wrong may be right by now
        assert "no such file or folder" not in text_of(app)
        app.screen.query_one(Input).value = str(tmp_path / "m.gguf")
        await pilot.press("enter")
        await until(pilot, inspected(app))


async def test_a_new_run_starts_what_was_asked_for(app_of, until, text_of, tmp_path):
    """The profile typed into the form was ignored."""
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("r")
        fields = {box.id: box for box in app.screen.query(Input)}
        fields["field-reference"].value = str(tmp_path / "a.gguf")
        fields["field-candidate"].value = str(tmp_path / "b.gguf")
        fields["field-profile"].value = "exact"
        fields["field-max_tokens"].value = "many"
        fields["field-max_tokens"].focus()
        await pilot.press("enter")
        assert "'exact': one of lossless" in text_of(app)
        fields["field-profile"].value = "fp32"
        fields["field-max_tokens"].focus()
        await pilot.press("enter")
        assert "'many': a whole number from 1 is allowed" in text_of(app)
        fields["field-max_tokens"].value = "500"
        fields["field-candidate_numerics"].value = "float"
        await pilot.press("ctrl+y")
        assert app.clipboard == (
            f"bitnet-tui parity {tmp_path}/a.gguf {tmp_path}/b.gguf --profile fp32 --max-tokens 500 "
            "--candidate-numerics float"
        )
        assert "--candidate-numerics float" in text_of(app)
        fields["field-reference"].focus()
        await pilot.press("down", "up", "down", "enter")
        await until(pilot, parity_ended(app))
        assert app.jobs[0].request == {
            "kind": "parity",
            "reference": str(tmp_path / "a.gguf"),
            "candidate": str(tmp_path / "b.gguf"),
            "corpus": None,
            "profile": "fp32",
            "numerics": "exact-int8",
            "candidate_numerics": "float",
            "max_tokens": 500,
        }


async def test_escape_closes_forms_and_help(app_of):
    """A modal without a way out."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        for key, screen in (("o", FormScreen), ("r", FormScreen), ("question_mark", HelpScreen), ("f1", HelpScreen)):
            await pilot.press(key)
            assert isinstance(app.screen, screen)
            await pilot.press("escape")
            assert isinstance(app.screen, HomeScreen)


async def test_help_lists_every_shown_key(recorded, until, text_of):
    """A key was added and its help forgotten."""
    app = recorded()
    async with app.run_test(size=(120, 60)) as pilot:
        await until(pilot, parity_ended(app))
        wanted = [b.binding.description for b in app.screen.active_bindings.values() if not b.binding.system]
        await pilot.press("question_mark")
        text = text_of(app).casefold()
        assert [name for name in wanted if name and name.casefold() not in text] == []


async def test_themes_turn(recorded, until):
    """A theme without the app's own colours broke the style sheet."""
    app = recorded()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        seen = []
        for _ in range(5):
            await pilot.press("T")
            await pilot.pause()
            seen.append(app.theme)
        assert seen == ["bitnet-light", "colorblind-safe", "high-contrast", "phosphor", "bitnet-dark"]
        for name in ("textual-light", "dracula"):
            app.theme = name
            await pilot.pause()


async def test_a_bad_theme_is_one_notification(app_of, tmp_path, until, text_of):
    """A user's theme with a typing slip kept the program from starting."""
    folder = tmp_path / "config" / "bitnet-tui" / "themes"
    folder.mkdir(parents=True)
    for name in ("one.toml", "two.toml"):
        (folder / name).write_text('name = "[/x]"')
    app = app_of()
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "themes left out" in text_of(app))
        assert len(app._notifications) == 1
        assert app.theme == "bitnet-dark"


async def test_a_theme_is_read_again_when_its_file_changes(app_of, tmp_path, until, text_of, root):
    """Each try of a colour cost a restart; a half-written file took the theme away without a word."""
    folder = tmp_path / "config" / "bitnet-tui" / "themes"
    folder.mkdir(parents=True)
    mine, text = folder / "mine.toml", (root / "themes" / "phosphor.toml").read_text(encoding="utf-8")
    mine.write_text(text.replace('"phosphor"', '"mine"'))
    app = app_of(config=load_config({"theme": "mine"}))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: app.theme == "mine")
        await app._look_at_themes()
        assert len(app._notifications) == 0
        mine.write_text(text.replace('"phosphor"', '"mine"').replace("#030a05", "#112233"))
        await app._look_at_themes()
        await pilot.pause()
        assert app.screen.styles.background.hex == "#112233"
        mine.write_text('name = "mine"\ndark = 3')
        await app._look_at_themes()
        await until(pilot, lambda: "mine.toml: dark is 3; true or false is allowed" in text_of(app))
        assert len(app._notifications) == 1


async def test_a_theme_that_is_not_there_is_said(app_of, until, text_of):
    """A mistyped theme showed the default one, and nobody knew why."""
    app = app_of(config=load_config({"theme": "phosfor"}))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "Did you mean 'phosphor'?" in text_of(app))
        assert app.theme == "bitnet-dark"


# ---- every screen, every key, every size ------------------------------------------------------------


async def bound_keys(app, pilot):
    """Return every key that is bound on the screen, but those that leave the program."""
    return [
        key
        for key, active in app.screen.active_bindings.items()
        if active.binding.action not in ("quit", "app.quit", "suspend_process") and key not in ("ctrl+q", "ctrl+c")
    ]


async def test_ctrl_c_quits_as_q_does(app_of, until):
    """Pressing ctrl+c showed a note that another key would quit, as often as it was pressed."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running)


async def test_the_palette_lists_the_keys_of_the_screen(recorded, until):
    """The palette promised every command and knew three."""
    app = recorded()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Worst", "Difference", "Open a model or a run", "Inspect"} <= titles
        worst = next(command for command in app.get_system_commands(app.screen) if command.title == "Worst")
        await pilot.press("home")
        worst.callback()
        await pilot.pause()
        assert app.screen.cursor == app.screen.view.worst()


@pytest.mark.parametrize("place", ["home", "inspect", "parity", "runs"])
async def test_every_bound_key_can_be_pressed(recorded, app_of, until, place):
    """A binding whose action had been renamed raised when somebody pressed it; each is a command of the palette too."""
    makers = {"home": app_of, "inspect": lambda: app_of(["/models/x.gguf"]), "parity": recorded, "runs": recorded}
    app = makers[place]()
    ready = {"home": lambda: isinstance(app.screen, HomeScreen), "inspect": inspected(app)}
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, ready.get(place, parity_ended(app)))
        await app.action_show(place)
        for key in await bound_keys(app, pilot):
            await pilot.press(key)
            await pilot.pause()
            for _ in range(3):
                if app.screen.is_modal:
                    await pilot.press("escape")
                    await pilot.pause()
            await app.action_show(place)
        assert app.is_running


@pytest.mark.parametrize(("size", "no_color"), [((120, 40), False), ((120, 40), True), ((60, 18), True)])
async def test_hostile_names_on_every_screen(app_of, made, until, text_of, monkeypatch, size, no_color):
    """Names with markup, escapes and overrides ended the app or rewrote the terminal; NO_COLOR crashed it."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    bad = made.hostile
    tensor = {"name": bad, "type": bad, "shape": [1], "offset": 0, "nbytes": 4, "file": bad}
    finding = dict.fromkeys(("code", "severity", "subject", "message", "advice"), bad)
    model = made.summary(
        path=bad, architecture=bad, tensors=[tensor], metadata={bad: bad}, tokenizer={bad: bad}, findings=[finding]
    )
    tops = [[1, bad, 2.0], [2, bad, 1.0]]
    events = [
        made.start(reference=bad, candidate=bad, profile=bad, id="hostile"),
        {"event": "stage", "name": bad, "status": "start"},
        made.gate(bad, bad, 1.0, 1.0, bad),
        made.gate("tokenizer", "FAIL", 0.1, 0.95, bad),
        made.token(0, text=bad, document=bad, top_reference=tops, top_candidate=tops),
        {"event": "error", "exit_code": 3, "message": bad},
        {"event": "run.end", "status": bad, "verdict": bad},
    ]
    app = app_of(SIDES, events=events, inspect=lambda path: model)
    seen = []
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, parity_ended(app))
        assert app.no_color is no_color
        seen.append(text_of(app))
        for keys in ("c", "c", "c", "m", "z", "z", "e", "escape", "comma", "escape"):
            await pilot.press(keys)
            await pilot.pause()
            seen.append(text_of(app))
        app.say(bad, title=bad)
        app.open_path("/models/x.gguf")
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.path == bad)
        tree = app.screen.query_one(TensorTree)
        tree.root.expand_all()
        await pilot.pause()
        for _ in range(7):
            await pilot.press("down", "y")
            seen.append(text_of(app))
        for key in ("end", "S", "v", "d", "escape"):
            await pilot.press(key)
            await pilot.pause()
            seen.append(text_of(app))
        await pilot.press("0")
        await until(pilot, lambda: "hostile" in text_of(app))
        seen.append(text_of(app))
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected is not None)
        seen.append(text_of(app))
    for text in seen:
        for character in "\x1b\x9b\u202e\u2028\u200b":
            assert character not in text
    assert "[/nope]␛[2J" in seen[0] or "[/nope]" in "".join(seen)


@pytest.mark.parametrize("size", [(120, 40), (100, 30), (80, 24), (60, 18), (60, 15)])
async def test_the_parity_screen_keeps_its_parts_at_every_size(recorded, until, text_of, size):
    """At 80×24 the table pushed the verdict out of view."""
    app = recorded()
    async with app.run_test(size=size) as pilot:
        await until(pilot, parity_ended(app))
        text = text_of(app)
        for part in ("τ-b .912 ≥ .60", "42/64", "reference", "quit"):
            assert part in text, part


@pytest.mark.parametrize("size", [(59, 40), (120, 14), (20, 5)])
async def test_a_tiny_terminal_says_what_to_do(recorded, until, text_of, size):
    """A window of 40 columns showed a heap of borders."""
    app = recorded()
    async with app.run_test(size=size) as pilot:
        await until(pilot, parity_ended(app))
        assert "enlarge" in text_of(app)
        assert "╭" not in text_of(app)


async def test_resizing_keeps_what_is_selected(recorded, app_of, until):
    """120 → 70 → 120 columns lost the token, and closed the tree."""
    app = recorded()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, parity_ended(app))
        await pilot.press("home", "n", "n")
        for width in (70, 120):
            await pilot.resize_terminal(width, 40)
            await pilot.pause()
            assert app.screen.cursor == 40
            assert app.screen.query_one(TokenStrip).cursor == 40
        app.open_path("/models/x.gguf")
        await until(pilot, inspected(app))
        await pilot.press("down", "down", "down", "enter", "down", "down")
        for width in (70, 120):
            await pilot.resize_terminal(width, 40)
            await pilot.pause()
            assert app.screen.query_one(TensorTree).cursor_node.data == Part("tensor", "blk.0.attn_q.weight")


async def test_forty_thousand_tokens(app_of, made, until):
    """Each batch of a long run laid out every token anew, and the screen froze."""
    many = [{**made.token(0), "index": i} for i in range(3000)]
    app = app_of(SIDES, events=[*made.preparation(), *many, *made.ending()])
    async with app.run_test(size=WIDE) as pilot:
        rendered = []
        await until(pilot, lambda: isinstance(app.screen, ParityScreen))
        strip = app.screen.query_one(TokenStrip)
        add = strip._lines.__class__.add
        strip._lines.__class__.add = lambda self, *args: (rendered.append(1), add(self, *args))[1]
        try:
            await until(pilot, parity_ended(app))
        finally:
            strip._lines.__class__.add = add
        assert strip.count == 3000
        # Once when they arrive, and once more if the first layout had another width.
        assert len(rendered) <= 2 * 3000
