"""Compiled programs on disk, as a user meets them: kept, found again, never in the way."""

import json
import os
from pathlib import Path

import pytest

from bitnet_engine import compile_cache
from bitnet_engine.errors import StorageError
from bitnet_tui.core import compiled
from tests.e2e.program import run


def generated(folder, i2_s):
    """Run `generate` with programs kept in `folder`."""
    done = run("generate", i2_s, "The people of", "-n", 3, "--json", BITNET_TUI_COMPILED=str(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["tokens"], done.stderr


def programs(folder: Path) -> dict[str, int]:
    """Return the kept programs and when each was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*-cache")}


def test_a_second_start_finds_what_the_first_compiled(tmp_path, i2_s):
    """Red when programs are not kept, kept again each time, or found and give another answer."""
    tokens, narration = generated(tmp_path, i2_s)
    kept = programs(tmp_path)
    assert any("prefill" in name for name in kept)
    assert any("decode" in name for name in kept)
    assert {Path(name).parent.name for name in kept} == {compile_cache.machine()}
    assert "compile" in narration
    again, _ = generated(tmp_path, i2_s)
    assert again == tokens
    assert programs(tmp_path) == kept


def test_a_damaged_program_is_compiled_again(tmp_path, i2_s):
    """Red when a torn file ends a run, or is run."""
    tokens, _ = generated(tmp_path, i2_s)
    for name in programs(tmp_path):
        Path(name).write_bytes(Path(name).read_bytes()[:100])
    assert generated(tmp_path, i2_s)[0] == tokens


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, i2_s):
    """Red when a read-only home ends every command, or is complained of at each program."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    _, narration = generated(blocked, i2_s)
    assert narration.count("compiled programs cannot be kept here") == 1
    assert "BITNET_TUI_COMPILED names another folder, or off" in narration


def test_nothing_is_kept_where_it_is_off(tmp_path, i2_s):
    """Red when a switched-off cache still writes to the user's folder."""
    done = run("generate", i2_s, "The people of", "-n", 2, BITNET_TUI_COMPILED="off", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())
    assert run("locate", "compiled", BITNET_TUI_COMPILED="off").returncode == 2


def test_the_oldest_programs_go(tmp_path):
    """Red when the folder grows for ever, or the newest is deleted first."""
    for age, name in enumerate(("new", "old", "older")):
        path = tmp_path / name / "program"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, ns=(10**18, 10**18 - age))
    compile_cache._prune(tmp_path, 200)
    assert sorted(path.parent.name for path in tmp_path.rglob("program")) == ["new", "old"]


def test_machines_do_not_share_programs(monkeypatch):
    """Red when a program with instructions that a processor lacks is found there: it ends in SIGILL."""
    here = compile_cache.machine()
    assert compile_cache.machine() == here
    monkeypatch.setattr(compile_cache, "cpu_flags", lambda: ["sse2"])
    assert compile_cache.machine() != here
    monkeypatch.setattr(compile_cache, "cpu_flags", list)
    assert compile_cache.machine() != here


def test_what_is_timed_or_proved_is_compiled_anew(tmp_path, monkeypatch):
    """Red when bench times a program that was found, or verify compares one program with itself."""
    monkeypatch.setenv(compiled.VARIABLE, str(tmp_path))
    for kind in ("bench", "verify"):
        assert not list(compiled.keep(kind))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    """Red when an error of the system comes out as a traceback."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compile_cache.tempfile, "TemporaryFile", full)
    with pytest.raises(StorageError, match="cannot be kept here: No space left on device"):
        compile_cache.keep_compiled(tmp_path)
