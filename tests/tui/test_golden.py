"""The screens as text, line by line. `--update-golden` writes them anew; read the difference."""

import difflib
import html
import re

import pytest

from bitnet_tui.screens.bench import BenchScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.runs import RunsScreen
from bitnet_tui.widgets.pick_list import PickList

SIZES = [(120, 40), (80, 24)]
NOW = 1_900_000_000.0


def compare(text, path, update):
    """Hold `text` against the file at `path`; the difference is the message."""
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
        return
    expected = path.read_text(encoding="utf-8")
    difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), "expected", "actual", lineterm="")
    assert text + "\n" == expected, "\n".join(difference)


@pytest.fixture
def frozen(monkeypatch, tmp_path):
    """Keep animations, and the names of temporary folders, out of the pictures."""
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setattr("bitnet_tui.screens.home.search_folders", lambda named: [tmp_path / "here"])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_home(app_of, made, until, text_of, update_golden, frozen, tmp_path, size):
    """A user starts the program beside two models and three runs."""
    import os

    for name, count in (("nano/nano-tq2_0.gguf", 3_481_600), ("nano/nano-i2_s.gguf", 3_449_856)):
        (tmp_path / "here" / name).parent.mkdir(exist_ok=True)
        with (tmp_path / "here" / name).open("wb") as stream:
            stream.truncate(count)
    app = app_of(clock=lambda: NOW)
    for age, id, events in (
        (120, "t5k2zx7f", made.run()),
        (7300, "t5k1aa01", [*made.preparation(), *made.tokens(), *made.ending("PASS")]),
        (190_000, "t5i0bb02", made.run()[:30]),
    ):
        with app.store.create(id) as writer:
            writer.write(events)
        os.utime(writer.path, (NOW - age, NOW - age))
    async with app.run_test(size=size) as pilot:
        models, runs = app.screen.query_one("#models", PickList), app.screen.query_one("#runs", PickList)
        await until(pilot, lambda: len(models.picks) == 2 and len(runs.picks) == 3)
        await until(pilot, lambda: "2 in 2 folders" in text_of(app) and "⠋" not in text_of(app))
        compare(text_of(app), made.golden / f"home_{size[0]}x{size[1]}.txt", update_golden)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_runs(app_of, made, until, text_of, update_golden, frozen, monkeypatch, size):
    """A user marks two of three recorded runs, and compares them."""
    import os

    app = app_of(clock=lambda: NOW)
    tokens = [*made.tokens()[:30], *(made.token(i, tau=0.5) for i in range(30, 34)), *made.tokens()[34:]]
    for age, id, events in (
        (120, "t5k2zx7f", [*made.preparation(), *tokens, *made.ending("FAIL")]),
        (7300, "t5k1aa01", [*made.preparation(), *made.tokens(), *made.ending("PASS")]),
        (190_000, "t5i0bb02", made.run()[:30]),
    ):
        with app.store.create(id) as writer:
            writer.write(events)
        os.utime(writer.path, (NOW - age, NOW - age))
    monkeypatch.setattr("bitnet_tui.screens.runs.shown_path", lambda run: f"/state/runs/{run.id}/events.jsonl")
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.runs) == 3)
        await pilot.press("space", "down", "space")
        await pilot.pause()
        compare(text_of(app), made.golden / f"runs_{size[0]}x{size[1]}.txt", update_golden)
        await pilot.press("c")
        await until(pilot, lambda: "4 of 64 tokens changed" in text_of(app))
        compare(text_of(app), made.golden / f"compare_{size[0]}x{size[1]}.txt", update_golden)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_inspect(app_of, made, until, text_of, update_golden, frozen, size):
    """A user looks at one ternary tensor of a GGUF."""
    app = app_of(["/models/bitnet-2B/ggml-model-i2_s.gguf"])
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31)
        await pilot.press("down", "down", "down", "enter", "down", "down")
        await until(pilot, lambda: "100% of the bytes" in text_of(app) and "stops" not in text_of(app))
        compare(text_of(app), made.golden / f"inspect_{size[0]}x{size[1]}.txt", update_golden)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_bench(app_of, made, until, text_of, update_golden, frozen, size):
    """A user opens a benchmark, and the run before it is slower."""
    import os

    app = app_of(clock=lambda: NOW)
    for age, id, slower in ((90_000, "t5k1aa01", 1.1), (120, "t5k2zx7f", 1.0)):
        with app.store.create(id) as writer:
            writer.write(made.bench_run(id, slower))
        os.utime(writer.path, (NOW - age, NOW - age))
    app.paths = [str(writer.path)]
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen) and app.screen.view.baseline is not None)
        compare(text_of(app), made.golden / f"bench_{size[0]}x{size[1]}.txt", update_golden)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_parity(app_of, made, until, text_of, update_golden, frozen, size):
    """A user replays a run and steps to its first divergence, a near-tie."""
    app = app_of()
    with app.store.create("t5k2zx7f") as writer:
        writer.write(made.run())
    app.paths = [str(writer.path)]
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        # From the top, since how far the strip is scrolled depends on where the cursor came from.
        await pilot.press("home", "f")
        await pilot.pause()
        compare(text_of(app), made.golden / f"parity_{size[0]}x{size[1]}.txt", update_golden)


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
