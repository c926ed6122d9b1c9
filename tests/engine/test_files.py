"""Writing one file: what is unfinished is its writer's while that lives, and nobody's after."""

import subprocess
import sys

import pytest

from bitnet_engine import files
from bitnet_engine.errors import StorageError
from bitnet_engine.files import atomic_file, sweep, unfinished_folder, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_goes_with_the_next_writing(tmp_path):
    """Red when every kill leaves a file, or the sweep takes that of another target."""
    for name in (".report.json.abcdefgh.part", ".report.json.x.abcdefgh.part", ".report.json", "report.json.part"):
        (tmp_path / name).write_text("x")
    write_atomic(tmp_path / "report.json", b"{}")
    assert names(tmp_path) == [".report.json", ".report.json.x.abcdefgh.part", "report.json", "report.json.part"]
    assert sweep(tmp_path) == 0
    assert names(tmp_path) == [".report.json", "report.json", "report.json.part"]


def test_what_somebody_writes_stays(tmp_path):
    """Red when two writers of one file take each other's bytes: both are whole, and the last stays."""
    with atomic_file(tmp_path / "a.json") as stream:
        stream.write(b"first")
        assert sweep(tmp_path, "a.json") == 1
        write_atomic(tmp_path / "a.json", b"second")
        assert (tmp_path / "a.json").read_bytes() == b"second"
    assert (tmp_path / "a.json").read_bytes() == b"first"
    assert names(tmp_path) == ["a.json"]


def test_a_file_swept_before_it_was_locked_is_begun_again(tmp_path, monkeypatch):
    """Red when a sweep between the making of a temporary file and its lock loses what is written."""
    hold, swept = files._hold, []

    def late(descriptor):
        if not swept:
            swept.append(sweep(tmp_path))
        hold(descriptor)

    monkeypatch.setattr(files, "_hold", late)
    write_atomic(tmp_path / "a.json", b"{}")
    assert swept == [0]
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert names(tmp_path) == ["a.json"]


HOLDER = """
import sys
from pathlib import Path
from bitnet_engine.files import unfinished_folder
with unfinished_folder(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_process(tmp_path):
    """Red when a target stays locked after its writer was killed."""
    command = [sys.executable, "-c", HOLDER, tmp_path / "model"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StorageError, match="model: is being written by another process"):
            unfinished_folder(tmp_path / "model").__enter__()
        holder.kill()
    with unfinished_folder(tmp_path / "model") as folder:
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []
