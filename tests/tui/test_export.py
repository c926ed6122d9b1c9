"""Exporting what is shown: the dialog, its command, the formats, and the picture made without a terminal."""

import csv
import io
import json
import shlex

import pytest
from textual.widgets import Input, Static

from bitnet_tui.core.exporting import FORMATS, SUFFIXES, Table, export_run, export_table, model_table, runs_table
from bitnet_tui.core.session import FormatError, SettingError
from bitnet_tui.core.store import Store
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.home import HomeScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.screens.parity import ParityScreen
from bitnet_tui.screens.picture import picture
from bitnet_tui.screens.runs import RunsScreen

WIDE = (120, 40)


def inspected(app):
    return lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31


async def asked(pilot, until, file):
    """Open the dialog, type a name, return the command it shows."""
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen))
    form = pilot.app.screen
    form.query_one(Input).value = str(file)
    await pilot.pause()
    return str(form.query_one("#command", Static).render())


@pytest.mark.parametrize("suffix", FORMATS)
async def test_inspect_is_exported(app_of, made, until, tmp_path, suffix):
    """A model's tensors could be read in the app, and taken along only as JSON of another command."""
    app = app_of(["/models/x.gguf"], reading={"i2s_layout": "B"})
    file = tmp_path / f"out{suffix}"
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, inspected(app))
        command = await asked(pilot, until, file)
        assert shlex.split(command)[:6] == ["bitnet-tui", "/models/x.gguf", "--i2s-layout", "B", "--export", str(file)]
        assert ("--size 120x40 --theme bitnet-dark" in command) is (suffix == ".svg")
        await pilot.press("enter")
        await until(pilot, lambda: [n.message for n in app._notifications] == [f"written: {file}"])
    text = file.read_text(encoding="utf-8")
    assert "blk.0" in text.replace("\\", "")


async def test_what_the_dialog_refuses(app_of, until, text_of, tmp_path):
    """A name that is taken was written over; a typing slip in the suffix was found after the dialog had gone."""
    app = app_of(["/models/x.gguf"])
    (tmp_path / "there.csv").write_text("mine")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        for name, said in (
            (tmp_path / "a.pdf", "'.pdf' is no format; .json"),
            (tmp_path / "none" / "a.csv", "no such"),
            (tmp_path / "there.csv", "name another"),
        ):
            await asked(pilot, until, name)
            await pilot.press("enter")
            await until(pilot, lambda said=said: said in text_of(app))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, InspectScreen))
    assert (tmp_path / "there.csv").read_text() == "mine"


async def test_runs_are_exported_as_they_are_filtered(app_of, made, until, tmp_path):
    """All runs were written, or the command listed others than the screen."""
    app = app_of()
    for id, events in (("7f3a", made.run()), ("8aaa", made.run()[:9])):
        with app.store.create(id) as writer:
            writer.write(events)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(app.screen.runs) == 2)
        await pilot.press("slash", *"-id:8", "enter")
        file = tmp_path / "runs.csv"
        assert await asked(pilot, until, file) == f"bitnet-tui runs list --export {file} -- -id:8"
        await pilot.press("enter")
        await until(pilot, file.exists)
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert [(row["id"], row["verdict"]) for row in rows] == [("7f3a", "INCONCLUSIVE")]


async def test_home_offers_its_picture(app_of, until, tmp_path):
    """Home has no data, and the dialog promised some."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        command = await asked(pilot, until, tmp_path / "h.svg")
        assert command == f"bitnet-tui --export {tmp_path}/h.svg --size 120x40 --theme bitnet-dark"
        await pilot.press("enter")
        await until(pilot, (tmp_path / "h.svg").exists)


async def test_a_run_without_a_report_says_so(app_of, made, until, tmp_path):
    """An interrupted run was exported as an empty file."""
    app = app_of()
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    app.paths = [str(app.store.root / "7f3a")]
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        await asked(pilot, until, tmp_path / "r.md")
        await pilot.press("enter")
        await until(pilot, lambda: any("holds no report" in n.message for n in app._notifications))
    assert not (tmp_path / "r.md").exists()


def test_a_damaged_report_is_refused(made, tmp_path):
    """A stranger's run ended the export with a KeyError."""
    events = [{"event": "report", "report": {"schema": "bitnet-tui/parity", "judgement": 3}}]
    with pytest.raises(FormatError):
        export_run(events, "runs/7f3a", tmp_path / "r.md")


def test_hostile_names_are_harmless_in_every_format(made, tmp_path):
    """A tensor named =cmd() was run by a spreadsheet, one named <script> by a browser."""
    bad = f"=cmd()|<script>{made.hostile}"
    model = made.summary(path=bad, tensors=[{"name": bad, "type": "F32", "shape": [1], "nbytes": 4, "offset": 0}])
    for suffix in SUFFIXES:
        file = tmp_path / f"x{suffix}"
        export_table(model_table(model), file)
        text = file.read_text(encoding="utf-8")
        if suffix in (".json", ".jsonl"):  # data is the file's own, escaped by JSON
            assert "\x1b" not in text
            continue
        for character in "\x1b\x9b\u202e\u200b":
            assert character not in text, suffix
        assert "<script>" not in text or suffix == ".csv"
        assert "\n=cmd" not in text


def test_no_format_is_refused(tmp_path):
    """A suffix that is none was written as JSON."""
    table = Table("x", [], (), [], {}, "x")
    with pytest.raises(SettingError, match=r"'\.pdf' is no format; \.json, "):
        export_table(table, tmp_path / "x.pdf")


def test_runs_as_a_table(made, tmp_path):
    """A run without a median was written as NaN, which is no JSON."""
    store = Store(tmp_path / "runs")
    with store.create("7f3a") as writer:
        writer.write(made.run()[:9])
    export_table(runs_table(store.list()), tmp_path / "r.json")
    (run,) = json.loads((tmp_path / "r.json").read_text())["runs"]
    assert (run["id"], run["tau_median"], run["tokens"]) == ("7f3a", None, 2)


def test_the_picture_is_the_same_twice(app_of, made, monkeypatch, tmp_path):
    """Two pictures of one screen differed in numbers that Textual draws at random, or were taken before the end."""
    drawn = []
    for _ in range(2):
        app = app_of(["/models/x.gguf"])
        drawn.append(picture(app, (90, 70), ["down", "down", "question_mark"]))
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith("<svg")
    assert "Zoom" in drawn[0]


def test_a_key_that_leaves_the_app_is_an_error(app_of):
    """`--press q` wrote an empty picture."""
    with pytest.raises(SettingError, match="a key left the app"):
        picture(app_of(), (80, 24), ["q"])
