"""`bitnet-tui runs` as a user runs it."""

import json
import os
import time

import pytest

from bitnet_tui.core.store import Store
from tests.e2e.program import run


@pytest.fixture
def store(tmp_path):
    """Two recorded runs, a day and ten days old."""
    store = Store(tmp_path / "runs")
    for id, days, verdict in (("new", 1, "PASS"), ("old", 10, "FAIL")):
        start = {"event": "run.start", "id": id, "kind": "parity", "reference": "a.gguf", "candidate": "\x1b[2Jb.gguf"}
        with store.create(id) as writer:
            writer.write([start, {"event": "run.end", "status": "done", "verdict": verdict}])
        os.utime(writer.path, (time.time() - days * 86400,) * 2)
    return store


def test_runs_are_listed_and_filtered(store):
    """Red when a script has to start the app to find the runs that failed."""
    env = {"BITNET_TUI_RUNS": str(store.root)}
    lines = run("runs", "list", **env).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["new", "old"]
    assert "a.gguf → ␛[2Jb.gguf" in lines[0]
    listing = json.loads(run("runs", "list", "--json", "verdict:fail", "since:4w", **env).stdout)
    assert [found["id"] for found in listing["runs"]] == ["old"]
    none = run("runs", "list", "verdict:maybe", **env)
    assert (none.returncode, none.stdout) == (0, "")
    assert "none of the 2 runs in" in none.stderr
    done = run("runs", "list", "verdit:fail", **env)
    assert done.returncode == 2
    assert "Did you mean 'verdict'?" in done.stderr


def test_a_group_alone_shows_its_help_as_a_page():
    """Red when the help of `runs` comes out as one long line."""
    done = run("runs")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) > 5


def test_pruning_without_the_app(store):
    """Red when the folder of runs can only be kept small by hand."""
    env = {"BITNET_TUI_RUNS": str(store.root), "BITNET_TUI_RUNS_LIMIT_GIB": "0"}
    assert run("runs", "prune", **env).returncode == 2
    tried = run("runs", "prune", "--limit-gib", "1e-9", "--dry-run", **env)
    assert "1 run would be deleted" in tried.stdout
    assert len(store.list()) == 2
    listed = json.loads(run("runs", "prune", "--limit-gib", "1e-9", "--dry-run", "--json", **env).stdout)
    assert ([found["id"] for found in listed["runs"]], listed["dry_run"], listed["limit_bytes"]) == (["old"], True, 1)
    assert listed["nbytes"] == listed["runs"][0]["nbytes"] > 0
    done = run("runs", "prune", "--limit-gib", "1e-9", **env)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("old")
    assert [left.id for left in store.list()] == ["new"]
