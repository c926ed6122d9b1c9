"""The layers behind a token: the map, its cursor, the finding, the way to the weights and back."""

import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitnet_tui.core.command_line import command
from bitnet_tui.core.layers_view import Grid, Operation, diagnosis_of
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.layers import LayersScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.widgets.heat_map import HeatMap

WIDE = (120, 40)


@pytest.fixture
def open_layers(app_of, made, until):
    """Return a function that opens the layers of the worst token of a recorded run; `more` are for the app."""

    async def go(pilot):
        await until(pilot, lambda: isinstance(pilot.app.screen, ParityScreen) and not pilot.app.screen.view.live)
        await pilot.press("w", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LayersScreen))

    def make(**more):
        app = app_of(**{"diagnosis": made.diagnosis(), **more})
        with app.store.create("t5k2zx7f") as writer:
            writer.write(made.run())
        app.paths = [str(writer.path)]
        return app

    return make, go


async def test_from_the_worst_token_to_the_weights_and_back(open_layers, until, text_of):
    """Red when the cursor is not on the first bad operation, a finding is not in words, or back forgets the place."""
    make, go = open_layers
    app = make()
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await go(pilot)
        await until(pilot, lambda: app.screen.view.report is not None and not app.screen.busy)
        heat = app.screen.query_one(HeatMap)
        assert app.screen.view.grid.at(heat.cursor) == Operation(3, "attn_v", 0.41, 2e-6, "scale-of-tensor")
        text = text_of(app)
        assert "t5k2zx7f › token 42" in text
        assert "› layer 3 › attn_v" in text
        assert "2 differ · . exact  : rounding  = … @ off" in text
        said = ("layer 3, attn_v:", "10,816", "convert again", "with every", "residual")
        assert [words for words in said if words not in text] == []
        await pilot.press("n")
        assert app.screen.view.grid.at(heat.cursor).name == "attention"
        await pilot.press("n")
        await until(pilot, lambda: any("no further" in n.message for n in app._notifications))
        await pilot.press("N", "left", "up", "f", "enter")
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.path)
        assert app.screen.path == "/models/nano-tq2_0.gguf"
        await until(pilot, lambda: any("no weight of its own" in n.message for n in app._notifications))
        await pilot.press("escape")
        assert isinstance(app.screen, LayersScreen)
        await pilot.press("down", "down", "down", "down", "enter")  # blk.3.attn_output
        await until(pilot, lambda: "blk.3.attn_output.weight" in text_of(app))
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, ParityScreen)
        begun = len(app.jobs)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LayersScreen) and "attn_v" in text_of(app))
        assert len(app.jobs) == begun  # what was found is kept


async def test_a_diagnosis_tells_its_progress_and_ends_with_its_screen(open_layers, made, until, text_of):
    """Red when it seems stuck, a run may begin beside it, or it computes on when nobody looks."""
    make, go = open_layers
    app = make(diagnosis=made.diagnosis()[:-2], hold=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.busy)
        await go(pilot)
        await until(pilot, lambda: app.screen.view.count == 3)
        text = text_of(app)
        assert "diagnosing  replay layer 0" in text
        assert "12/68  blk.3.attn_v.weight" in text
        await pilot.press("r")
        await until(pilot, lambda: any("a run is live" in n.message for n in app._notifications))
        await pilot.press("escape")
        await until(pilot, lambda: app.jobs[-1].cancelled == 1)
        assert isinstance(app.screen, ParityScreen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LayersScreen) and app.screen.view.count == 3)
        await pilot.press("ctrl+x")
        await until(pilot, lambda: not app.screen.busy)
        assert "cancelled" in text_of(app)


async def test_the_repaired_file_is_asked_for_and_told(open_layers, made, until, text_of, tmp_path):
    """Red when the key writes over a file, asks for something else than the command, or nobody hears of the file."""
    *events, report, end = made.diagnosis()
    written = {"path": "/new/b.gguf", "says": "its logits are the reference's", "tensors": ["blk.3.attn_v.weight"]}
    told = {"event": "report", "report": {**report["report"], "repaired": written}}
    make, go = open_layers
    app = make(diagnosis=[*events, told, end])
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await go(pilot)
        await until(pilot, lambda: app.screen.view.report is not None and not app.screen.busy)
        await pilot.press("W", "enter")
        await until(pilot, lambda: "no such folder" in text_of(app))
        box = app.screen.query_one("#field-file")
        assert box.value == "/models/nano-tq2_0-repaired.gguf"
        box.value = str(tmp_path / "fixed.gguf")
        await until(pilot, lambda: "--write-repaired" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LayersScreen) and not app.screen.busy)
        assert app.jobs[-1].request["write_repaired"] == str(tmp_path / "fixed.gguf")
        assert app.screen.view.grid.at(app.screen.query_one(HeatMap).cursor).name == "attn_v"
        assert any("/new/b.gguf (1 weight of the reference)" in n.message for n in app._notifications)


async def test_nothing_is_repaired_where_nothing_is_harmed(open_layers, made, until, text_of):
    """`W repair` was offered beside HARMLESS, and then refused."""
    *events, report, end = made.diagnosis()
    told = {"event": "report", "report": {**report["report"], "verdict": "HARMLESS"}}
    make, go = open_layers
    app = make(diagnosis=[*events, told, end])
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot)
        await until(pilot, lambda: app.screen.view.report is not None and not app.screen.busy)
        await until(pilot, lambda: "HARMLESS" in text_of(app))
        assert "W repair" not in text_of(app)
        await pilot.press("W")
        assert isinstance(app.screen, LayersScreen)


async def test_an_error_is_a_card(open_layers, until, text_of):
    """Red when a model that has moved since the run leaves an empty map."""
    make, go = open_layers
    error = {"event": "error", "exit_code": 3, "message": "/models/a: no such file"}
    app = make(diagnosis=[error, {"event": "run.end", "status": "failed", "verdict": None}])
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot)
        await until(pilot, lambda: "exit code 3" in text_of(app))
        assert "no such file" in text_of(app)


def test_the_map_has_a_place_for_each_operation():
    """Red when embedding and head fall into a layer, or next and previous leave the order of the graph."""
    operations = [Operation(None, "token_embd", 1.0, 0.0, None)]
    operations += [Operation(i, name, 1.0 if i == 1 else 0.0, 1e-6, None) for i in (0, 1) for name in ("a", "b")]
    grid = Grid([*operations, Operation(None, "output", 0.0, 1e-6, None)])
    assert (grid.names, grid.columns) == (["token_embd", "a", "b", "output"], ["in", "0", "1", "out"])
    assert grid.differing() == [(0, 0), (1, 2), (2, 2)]
    assert grid.at((3, 3)).name == "output"
    assert grid.at((3, 0)) is None
    assert grid.after((0, 0), 1) == (1, 2)
    assert grid.after((3, 3), -1) == (2, 2)
    assert grid.after((0, 2), 1) == (1, 2)  # from a place without an operation
    assert grid.after((2, 2), 1) is None


def test_heat_rises_with_what_is_off():
    """Red when agreement glows, or a result that is not finite is cold."""
    heat = [Operation(0, "a", residual, 1e-6, None).heat for residual in (0.0, 1e-7, 1e-5, 1e-2, 1e3, None)]
    assert heat == sorted(heat)
    assert heat[1] < 0.3 < heat[2]
    assert heat[-1] == 1.0


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
@example("Chapter 12\n\n'It's' \\ \t \u202e\x1b\x80")
@settings(max_examples=20, deadline=None)
def test_a_shell_reads_the_words_of_a_command(word):
    """A text of two lines stood in the dialog as `␊␊`, and pasted gave another text."""
    line = command("diagnose", word)
    assert line.isprintable()
    shell = ["bash", "-c", f"printf '%s' {line.removeprefix('bitnet-tui diagnose ')}"]
    found = subprocess.run(
        shell, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    )
    assert found.stdout.decode() == word


def test_what_is_asked_at_a_token(made):
    """Red when the text of another document is run, or a side that is no model is diagnosed."""
    view = ParityView()
    request = {"reference": "a", "candidate": "b.gguf", "candidate_numerics": "hf-bf16", "candidate_i2s_layout": "B"}
    view.feed(made.start(request=request))
    for i in range(40):
        view.feed(made.token(i, text=f" {i}", document="one" if i < 38 else "two"))
    asked = diagnosis_of(view, 39)
    assert asked["text"] == " 38 39"
    assert diagnosis_of(view, 37)["text"].split() == [str(i) for i in range(6, 38)]
    assert (asked["numerics"], asked["candidate_i2s_layout"]) == ("hf-bf16", "B")
    view.request["reference"] = "recorded:x"
    assert "layers need the model itself" in diagnosis_of(view, 39)
    view.request = {}
    assert "does not say" in diagnosis_of(view, 39)
