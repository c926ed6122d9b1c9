"""An export that is killed: what stays, who may write, and that it ends in the bytes of one that was not."""

import json
import os
import random
import signal
import subprocess

import pytest

from bitnet_engine.errors import StorageError
from bitnet_engine.folder_lock import locked_folder
from tests.e2e.program import PROGRAM, run

JOURNAL = ".parity.journal"
KILLS = 10


def command(packed, i2_s, corpus, out):
    numerics = ("--candidate-numerics", "float")  # so that there are failures, and numbers to get wrong
    settings = ("--corpus", corpus, "--context", 32, "--max-tokens", 400, "--profile", "lossless")
    return ["parity", packed, i2_s, *settings, *numerics, "--export", out]


def artifacts(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def killed_at(arguments, out, lines):
    """Start an export and kill its parent with SIGKILL once the journal has that many lines.

    Exit 4 is the folder still held by the last worker, on a machine too busy for it to end in time: start again.
    """
    while (code := _killed_once(arguments, out, lines)) == 4:
        pass
    return code


def _killed_once(arguments, out, lines):
    with subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        journal = out / JOURNAL
        while parent.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
                parent.kill()
                break
            try:
                parent.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        parent.communicate()
        return parent.returncode


@pytest.fixture(scope="module")
def whole(packed, i2_s, short_corpus, tmp_path_factory):
    """What an uninterrupted run writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(*command(packed, i2_s, short_corpus, out))
    assert done.returncode == 1, done.stderr
    assert sorted(artifacts(out)) == ["events.jsonl", "parity_failures.jsonl", "report.json"]
    return out


def test_kill_9_at_any_moment_then_resume_ends_in_the_same_bytes(packed, i2_s, short_corpus, tmp_path, whole):
    """Red when a byte depends on having been interrupted, on when, or on the folder's name; or a stray stays."""
    out = tmp_path / "elsewhere"
    arguments = [*command(packed, i2_s, short_corpus, out), "--resume"]
    moments = sorted(random.Random(11).sample(range(1, 14), KILLS))
    codes = [killed_at(arguments, out, lines) for lines in moments]
    assert codes == [-signal.SIGKILL] * KILLS
    assert not (out / "report.json").exists()
    done = run(*arguments)
    assert done.returncode == 1, done.stderr
    assert artifacts(out) == artifacts(whole)


def test_resume_refuses_another_run_and_says_in_what_it_differs(packed, i2_s, short_corpus, tmp_path):
    """Red when windows of two runs are mixed in one report."""
    out = tmp_path / "out"
    arguments = command(packed, i2_s, short_corpus, out)
    assert killed_at(arguments, out, 2) == -signal.SIGKILL
    done = run(*[64 if argument == 32 else argument for argument in arguments], "--resume")
    assert done.returncode == 2
    assert "begun by another run: settings.context is 32 there and 64 here" in done.stderr


def test_two_exports_into_one_folder_lock_each_other_out(packed, i2_s, short_corpus, tmp_path):
    """Red when two runs mix their artifacts, or the second waits without end."""
    out = tmp_path / "out"
    out.mkdir()
    with locked_folder(out):
        done = run(*command(packed, i2_s, short_corpus, out))
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].endswith("wait for its end, or export to another one.")
    assert artifacts(out) == {}


def test_a_lock_outlives_the_parent_that_took_it(tmp_path):
    """Red when a killed parent's worker still writes into a folder that a next run has taken."""
    with locked_folder(tmp_path) as lock:
        worker = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(lock,))
    with pytest.raises(StorageError, match="another run is writing"), locked_folder(tmp_path):
        pass
    worker.communicate()
    with locked_folder(tmp_path):
        pass


def test_strays_of_a_killed_writer_are_swept(tmp_path):
    """Red when every kill leaves a file of a gigabyte, or the sweep takes what is not ours."""
    for name in (".events.jsonl.abc.part", "model.part", ".hidden"):
        (tmp_path / name).write_text("x")
    os.symlink(tmp_path / "model.part", tmp_path / ".link.part")
    with locked_folder(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", ".link.part", "model.part"]


def test_resume_without_a_folder_is_a_usage_error(packed, i2_s):
    """Red when --resume alone silently begins anew."""
    done = run("parity", packed, i2_s, "--resume")
    assert done.returncode == 2
    assert "--export DIR" in done.stderr


def test_exports_hold_no_times(whole):
    """Red when two runs of one request can be told apart by their clocks."""
    events = [json.loads(line) for line in (whole / "events.jsonl").read_bytes().splitlines()]
    assert {event["seconds"] for event in events if "seconds" in event} == {None}
    assert events[0]["request"].keys().isdisjoint({"export", "resume", "report", "junit"})
    assert json.loads((whole / "report.json").read_bytes())["stamp"]["id"] == events[0]["id"]
