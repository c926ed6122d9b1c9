"""Recorded runs: the filter, comparing two, pruning, and the screen that does it."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_tui.core.parity_view import TokenStatus
from bitnet_tui.core.run_comparison import RunComparison
from bitnet_tui.core.run_filter import HELP, RunFilter
from bitnet_tui.core.session import SettingError
from bitnet_tui.core.store import RunInfo, Store
from bitnet_tui.core.text import GIB
from bitnet_tui.screens.compare import CompareScreen
from bitnet_tui.screens.confirm import ConfirmScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.widgets.pick_list import PickList

WIDE = (120, 40)
NOW = 1_900_000_000.0
DAY = 86400.0

RUN = RunInfo(
    "t5k2zx7f",
    Path("/runs/t5k2zx7f/events.jsonl"),
    NOW - 2 * DAY,
    kind="parity",
    reference="/models/Nano-bf16/model.safetensors",
    candidate="/models/nano-tq2_0.gguf",
    status="done",
    verdict="FAIL",
    tokens=38_014,
    tau_median=0.64,
    profile="quantized",
    nbytes=35_000_000,
)


# ---- the filter -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("nano", True),
        ("FAIL nano", True),
        ("nothere", False),
        ("verdict:fail", True),
        ("verdict:pass", False),
        ("-verdict:pass", True),
        ("-nano", False),
        ("kind:parity status:done profile:quant id:t5k", True),
        ("model:TQ2", True),
        ("reference:tq2", False),
        ("candidate:tq2", True),
        ("since:7d", True),
        ("since:1d", False),
        ("before:1d", True),
        ("before:1w", False),
        ("tau<.9", True),
        ("tau<=.64 tau>=.64", True),
        ("tau>0.64", False),
        ("tokens>500 size>30M size<1g", True),
        ("verdict:fail model:nano since:7d", True),
        ("verdict:fail model:nano since:7d tau>.9", False),
    ],
)
def test_a_filter_lets_through_what_it_says(text, holds):
    """`-verdict:pass` hid the runs that failed; `since:` was taken for a model's name."""
    assert RunFilter.parse(text).matches(RUN, NOW) is holds


def test_a_number_that_is_missing_holds_nothing():
    """A run without a median passed `tau<.9` as if it were 0."""
    assert not RunFilter.parse("tau<.9").matches(replace(RUN, tau_median=None), NOW)
    assert RunFilter.parse("-verdict:fail").matches(replace(RUN, verdict=None), NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("verdit:fail", "there is no field 'verdit'. Did you mean 'verdict'? Fields: verdict, status"),
        ("verdict:", "a value has to follow"),
        ("verdict<fail", "written verdict:x"),
        ("tau:.9", "written tau<1"),
        ("tau<much", "a number such as .9"),
        ("tau<1k", "a number such as .9"),
        ("size>big", "a number such as 30M"),
        ("since:yesterday", "a time such as 30m, 2h, 7d or 4w"),
        ("nano -since:x", "a time such as"),
    ],
)
def test_a_filter_that_cannot_be_read_says_why(text, said):
    """A mistyped field filtered by nothing, and the wrong run was deleted."""
    with pytest.raises(SettingError) as raised:
        RunFilter.parse(text)
    assert said in str(raised.value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_filter(text):
    """The filter is parsed at every key; an exception ended the program."""
    try:
        wanted = RunFilter.parse(text)
    except SettingError:
        return
    assert wanted.matches(RUN, NOW) in (True, False)


def test_the_example_in_the_help_is_valid():
    """The placeholder showed a term that was refused."""
    RunFilter.parse(HELP.replace("or any word", ""))


# ---- two runs ---------------------------------------------------------------------------------------


def test_two_runs_are_compared_token_by_token(made):
    """The screen that compares runs showed their two medians, and not one token."""
    tokens = made.tokens()
    tokens[5] = made.token(5, tau=0.2)
    tokens[41] = made.token(41, text="\u0301", tau=0.99)
    both = RunComparison.of(made.run(), [*made.preparation(), *tokens, *made.ending("FAIL")])
    assert both.compared == 64
    assert [(change.index, change.statuses) for change in both.changes] == [
        (5, (TokenStatus.AGREE, TokenStatus.DIVERGE)),
        (41, (TokenStatus.UNDEFINED, TokenStatus.AGREE)),
    ]
    rows = {name: values for name, *values in both.rows()}
    assert rows["verdict"] == ["INCONCLUSIVE", "FAIL", "≠"]
    assert rows["tokens"] == ["64", "64", "="]
    assert rows["diverging"] == ["3", "3", "="]
    assert both.summary() == "2 of 64 tokens changed status"


def test_runs_of_different_texts_are_compared_as_far_as_they_agree(made):
    """Token 17 of one text was compared with token 17 of another."""
    other = [*made.preparation(), *made.tokens()[:10], made.token(10, text=" Emma"), *made.tokens()[11:]]
    both = RunComparison.of(made.run(), other)
    assert both.compared == 10
    assert both.summary() == "0 of 10 tokens changed status; the runs score different tokens from 11 on"
    nothing = RunComparison.of([], made.run())
    assert nothing.compared == 0
    assert nothing.rows()[3][::3] == ("median τ-b", "—")


# ---- deleting ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def fill(store, made, ages, size=1000):
    """Record a run of about `size` bytes for each age in seconds."""
    for id, age in ages.items():
        with store.create(id) as writer:
            writer.write([made.start(id=id), {"event": "log", "text": "x" * size}])
        os.utime(writer.path, (NOW - age, NOW - age))


def test_pruning_takes_the_oldest_until_the_rest_fits(store, made):
    """The limit deleted the run that had just ended."""
    fill(store, made, {"new": 700, "mid": 3 * DAY, "old": 9 * DAY, "older": 20 * DAY})
    each = store.list()[0].nbytes
    assert [run.id for run in store.prune(int(2.5 * each), NOW, dry_run=True)] == ["older", "old"]
    assert len(store.list()) == 4
    assert [run.id for run in store.prune(int(2.5 * each), NOW, keep=["older"])] == ["old", "mid"]
    assert [run.id for run in store.list()] == ["new", "older"]
    assert [run.id for run in store.prune(0, NOW)] == ["older"]
    assert [run.id for run in store.list()] == ["new"]


def test_pruning_leaves_what_may_still_be_written(store, made):
    """A second program deleted the run that the first was recording."""
    fill(store, made, {"a": 1, "b": 60, "c": 300})
    assert store.prune(0, NOW) == []


def test_deleting_a_run_leaves_other_files_alone(store, made):
    """BITNET_TUI_RUNS pointed at a project, and deleting a run deleted a folder of it."""
    fill(store, made, {"a": 0, "b": 0})
    (store.root / "a" / "notes.txt").write_text("mine")
    for run in store.list():
        store.delete(run)
    assert [path.name for path in store.root.rglob("*")] == ["a", "notes.txt"]


def test_the_list_tells_what_was_asked_for(store, made):
    """A run could not be made again: what had been asked for was not read."""
    with store.create("a") as writer:
        writer.write([made.start(request={"kind": "parity", "corpus": "x"}), *made.run()[1:]])
    (run,) = store.list()
    assert run.request == {"kind": "parity", "corpus": "x"}
    assert run.profile == "quantized"
    assert run.nbytes == writer.path.stat().st_size
    assert run.gates == (("tokenizer", "PASS"), ("belief", "PASS"), ("probability", "INCONCLUSIVE"))


# ---- the screen -------------------------------------------------------------------------------------

REQUEST = {"kind": "parity", "reference": "/a", "candidate": "/b", "profile": "fp32", "export": "/out"}


@pytest.fixture
def listed(app_of, made):
    """Return an app at Runs with three runs of three verdicts."""

    def make(clock=lambda: NOW, **more):
        app = app_of(clock=clock, **more)
        for age, id, verdict in ((1, "t5k2zx7f", "FAIL"), (2, "t5k1aa01", "PASS"), (9, "t5i0bb02", "INCONCLUSIVE")):
            with app.store.create(id) as writer:
                writer.write([made.start(id=id, request=REQUEST), *made.run()[1:-3], *made.ending(verdict)])
            os.utime(writer.path, (clock() - age * DAY,) * 2)
        return app

    return make


def ids(app):
    return [Path(pick.value).parent.name for pick in app.screen.query_one(PickList).picks]


async def at_runs(app, pilot, until):
    await pilot.press("4")
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.runs) == 3)


async def test_runs_are_filtered_as_one_types(listed, until, text_of):
    """A term half typed emptied the list."""
    app = listed()
    async with app.run_test(size=WIDE) as pilot:
        await at_runs(app, pilot, until)
        await pilot.press("slash", *"verdict:f")
        await pilot.pause()
        assert ids(app) == ["t5k2zx7f"]
        await pilot.press("space", *"tau")
        assert ids(app) == []
        await pilot.press("less_than_sign")
        await pilot.pause()
        assert "a value has to follow" in text_of(app)
        await pilot.press("1", "enter")
        await pilot.pause()
        assert ids(app) == ["t5k2zx7f"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(ids(app)) == 3


async def test_a_run_is_opened_and_made_again(listed, until):
    """Running again exported over the artifacts of the first time."""
    app = listed()
    async with app.run_test(size=WIDE) as pilot:
        await at_runs(app, pilot, until)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and app.screen.view.verdict == "PASS")
        await pilot.press("4", "R")
        await until(pilot, lambda: len(app.jobs) == 1)
        assert app.jobs[0].request == {**REQUEST, "export": None}


async def test_two_marked_runs_are_compared(listed, until, text_of):
    """Comparing took the run under the cursor for one of the two that were marked."""
    app = listed()
    async with app.run_test(size=WIDE) as pilot:
        await at_runs(app, pilot, until)
        await pilot.press("c")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("space", "down", "down", "space", "up", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.comparison is not None)
        await pilot.pause()
        assert "A t5i0bb02" in text_of(app)
        assert "B t5k2zx7f" in text_of(app)
        assert "0 of 64 tokens changed status" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_compared_run_that_is_gone_is_a_card(listed, until, text_of):
    """A run deleted by another program ended this one."""
    app = listed()
    async with app.run_test(size=WIDE) as pilot:
        await at_runs(app, pilot, until)
        await pilot.press("space", "down")
        app.screen.runs[0].path.unlink()
        await pilot.press("c")
        await until(pilot, lambda: "exit code 4" in text_of(app))


async def test_deleting_asks_and_then_deletes_what_is_marked(listed, until):
    """One key took a run away for good."""
    app = listed()
    async with app.run_test(size=WIDE) as pilot:
        await at_runs(app, pilot, until)
        await pilot.press("D")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        assert len(app.store.list()) == 3
        await pilot.press("space", "down", "space", "D", "y")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and ids(app) == ["t5i0bb02"])
        assert [run.id for run in app.store.list()] == ["t5i0bb02"]
        assert app.screen.marked == []


async def test_a_live_run_is_not_deleted(listed, made, until):
    """Deleting the run that was going on left its recorder writing into nothing."""
    app = listed(events=made.run()[:30], hold=True)
    async with app.run_test(size=WIDE) as pilot:
        app.start_run(REQUEST)
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and len(app.screen.view.tokens) == 23)
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected is not None)
        live = app.live_run
        app.screen.marked = [live]
        await pilot.press("D")
        assert isinstance(app.screen, RunsScreen)


async def test_a_new_run_makes_room_for_itself(listed, until, text_of):
    """The folder of runs grew until the disk was full."""
    app = listed(clock=time.time)
    half = sum(run.nbytes for run in app.store.list()) / 2
    app.config = replace(app.config, settings=replace(app.settings, runs_limit_gib=half / GIB))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        app.start_run(REQUEST)
        await until(pilot, lambda: not {"t5k1aa01", "t5i0bb02"} & {run.id for run in app.store.list()})
        # Two or three: whether the new run is there already when the folder is read is left to chance.
        await until(pilot, lambda: "old runs deleted, " in text_of(app))


async def test_no_run_at_all(app_of, until, text_of):
    """An empty folder was an empty screen, and every key on it an error."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: "none yet: r makes the first" in text_of(app))
        for key in ("space", "c", "R", "D", "y", "enter"):
            await pilot.press(key)
        assert isinstance(app.screen, RunsScreen)
