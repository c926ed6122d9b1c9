"""The Bench screen: an artifact, a live run, earlier runs; and what a damaged artifact gets."""

import copy
import math
import os

import orjson
import pytest

from bitnet_tui.core.bench_report import BenchArtifact, artifact_events, is_bench
from bitnet_tui.core.bench_view import BenchView
from bitnet_tui.core.session import FormatError
from bitnet_tui.screens.bench import BenchScreen
from bitnet_tui.screens.new_bench import bench_request

NOW = 1_900_000_000.0


def write_run(app, id, events, age):
    """Record a run, `age` seconds old."""
    with app.store.create(id) as writer:
        writer.write(events)
    os.utime(writer.path, (NOW - age, NOW - age))
    return str(writer.path)


@pytest.fixture
def bench_file(made, tmp_path):
    path = tmp_path / "bench.json"
    path.write_bytes(orjson.dumps(made.bench_report(), option=orjson.OPT_INDENT_2))
    return str(path)


async def test_an_artifact_is_shown_whole(app_of, made, until, text_of, bench_file):
    """Red when a bench.json is taken for a model, or a measure, its limit, threads, parts or samples are not shown."""
    app = app_of([bench_file])
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen) and app.screen.view.state.value == "done")
        text = text_of(app)
        for words in (
            "decode@64",
            "21.9 tok/s",
            "42%",
            "by reading",
            "by threads",
            "where a token's time goes",
            "samples",
        ):
            assert words in text, words
        assert "1.8" in text  # times as fast as on one thread
        assert "~ prefill[512]" in text
        await pilot.press("down")
        await until(pilot, lambda: "disturbed (×)" in text_of(app))
        assert "steal 3.1%" in text_of(app)
        await pilot.press("m", "m")
        await until(pilot, lambda: "peak-memory" in text_of(app))
        await pilot.press("m")
        await until(pilot, lambda: "machine · bars" in text_of(app))
        await pilot.press("b")
        await until(pilot, lambda: any("no earlier run" in n.message for n in app._notifications))


async def test_earlier_runs_are_the_history(app_of, made, until, text_of):
    """Red when the run before is not found, another model's is, or a change within the noise is called one."""
    app = app_of(clock=lambda: NOW)
    write_run(app, "aa1", made.bench_run("aa1", 1.2), 7300)
    write_run(app, "bb2", made.bench_run("bb2", 1.1), 3700)
    write_run(app, "cc3", made.bench_run("cc3", 3.0, sha256="f" * 64), 1800)
    app.paths = [write_run(app, "dd4", made.bench_run("dd4", 1.0), 60)]
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen) and app.screen.view.baseline is not None)
        view = app.screen.view
        assert [run.id for run in view.history] == ["aa1", "bb2"]
        assert view.baseline.id == "bb2"
        text = text_of(app)
        assert "compared with bb2, one of 2 earlier runs" in text
        assert "▲ 10%" in text
        assert "2 h ago" in text
        assert "cc3" not in text
        await pilot.press("b")
        await until(pilot, lambda: "▲ 20%" in text_of(app))
        assert app.screen.view.baseline.id == "aa1"
        await pilot.press("m", "m")
        await until(pilot, lambda: "peak-memory" in text_of(app))
        line = next(line for line in text_of(app).splitlines() if "peak-memory" in line)
        assert "≈" in line


async def test_bars_by_powers_of_ten(app_of, made, until, text_of):
    """Red when a bar by powers of ten is as long as before, or a tenth is not two thirds of one."""
    app = app_of(clock=lambda: NOW)
    app.paths = [write_run(app, "dd4", made.bench_run("dd4", 1.0), 60)]
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen) and app.screen.view.artifact is not None)
        view = app.screen.view
        before = [row.fill for row in view.rows()]
        await pilot.press("l")
        await until(pilot, lambda: "by powers of ten to a thousandth" in text_of(app))
        assert [row.fill for row in view.rows()] == pytest.approx([1 + math.log10(fill) / 3 for fill in before])
        await pilot.press("l")
        assert [row.fill for row in view.rows()] == before


async def test_a_live_run_is_measured_recorded_and_cancelled(app_of, made, until, text_of):
    """Red when progress is not told, a second run may start, cancelling leaves it, or the run is not recorded."""
    events = made.bench_run("ee5", 1.0)
    app = app_of(events=events[:-2], hold=True)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, BenchScreen))
        assert "measures a model" in text_of(app)
        app.start_run({"kind": "bench", "path": "/models/x.gguf"})
        await until(pilot, lambda: app.screen.view.count == 3)
        text = text_of(app)
        assert "samples so far · decode@64 on 2 threads" in text
        assert "3/40 samples  eta 1 m 14 s" in text
        assert "ctrl+x cancels" in text
        assert app.live_run == "ee5"
        await pilot.press("r")
        await until(pilot, lambda: any("a run is live" in n.message for n in app._notifications))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: not app.screen.busy)
        assert app.jobs[-1].cancelled == 1
        assert "cancelled" in text_of(app)
        recorded = app.store.list()
        assert [(run.kind, run.status) for run in recorded] == [("bench", "cancelled")]
        await pilot.press("4")
        await until(pilot, lambda: "bench ggml-model" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, BenchScreen))
    assert app.summary == ["bench ee5: /models/ggml-model-i2_s.gguf", "cancelled, 3 samples"]


async def test_the_form_starts_what_the_command_says(app_of, until, text_of, tmp_path):
    """Red when the form of the Bench screen starts another kind of run, or its preview is another command."""
    model = tmp_path / "here" / "m.gguf"
    model.write_bytes(b"x")
    app = app_of(events=[])
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3", "r")
        await until(pilot, lambda: "new benchmark" in text_of(app))
        for key in str(model.name):
            await pilot.press({".": "full_stop"}.get(key, key))
        await until(pilot, lambda: "bitnet-tui bench m.gguf --iterations 10 --warmup 2 --quick" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: any(job.request["kind"] == "bench" for job in app.jobs))
        request = app.jobs[-1].request
        assert request["command"] == "bitnet-tui bench m.gguf --iterations 10 --warmup 2 --quick"
        assert (request["threads"], request["peers"], request["baseline"]) == ([], False, None)


def test_a_bad_answer_of_the_form_is_left_at_its_default():
    """Red when a preview of half-typed answers raises."""
    blank = dict.fromkeys(("path", "quick", "iterations", "threads", "peers", "numerics", "baseline"), "")
    assert bench_request({**blank, "threads": "1,x"})["threads"] == []
    assert bench_request({**blank, "threads": "1,2"})["threads"] == [1, 2]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("measures", 0, "value"), "fast", "measures[0].value is 'fast'; a number"),
        (("measures", 0, "kind"), "sleep", "measures[0].kind is 'sleep'"),
        (("measures", 1, "interval"), [1], "measures[1].interval is [1]; a list of 2"),
        (("measures",), None, "measures is None; a list"),
        (("model",), [], "model is []; an object"),
        (("schema_version",), 2, "is no bitnet-tui/bench of version 1"),
        (("versus",), [{"case": 1, "threads": 2, "theirs": {}}], "versus.case is 1"),
    ],
)
def test_a_damaged_artifact_is_one_line(made, where, value, said):
    """Red when a stranger's artifact crashes the screen, or the error does not say where it is wrong."""
    report = copy.deepcopy(made.bench_report())
    report["peer"] = {"name": "x"}
    into = report
    for name in where[:-1]:
        into = into[name]
    into[where[-1]] = value
    with pytest.raises(FormatError) as caught:
        BenchArtifact.of(report, "b.json")
    assert str(caught.value).startswith("b.json: ")
    assert said in str(caught.value)
    view = BenchView()
    view.feed({"event": "report", "report": report})
    assert view.errors[0][0] == 3


async def test_a_file_that_is_no_benchmark_is_a_card(app_of, until, text_of, tmp_path):
    """Red when a run without its report, or a torn artifact, is shown as an empty list without a word."""
    path = tmp_path / "bench.json"
    path.write_bytes(b'{"schema": "bitnet-tui/bench", "schema_version": 1, "model"')
    assert is_bench(path)
    app = app_of([str(path)])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen) and "exit code 3" in text_of(app))
        assert "is no JSON" in text_of(app)


def test_what_is_a_benchmark(made, tmp_path, bench_file):
    """Red when a model's folder, or any JSON file, is opened as a benchmark."""
    from pathlib import Path

    assert is_bench(Path(bench_file))
    assert is_bench(tmp_path)  # the folder that --export wrote
    (tmp_path / "config.json").write_text("{}")
    assert not is_bench(tmp_path)
    assert not is_bench(tmp_path / "config.json")
    assert [event["event"] for event in artifact_events(Path(bench_file))] == ["run.start", "report", "run.end"]
