"""A checkpoint that is cut or overwritten while a command reads it: exit 4, or the answer of the file as it was.

The moment is a read of the file, chosen at random among all that the command makes, so that each run of a test
meets the same ones. Reading is positional and nothing is mapped: there is no SIGBUS to be had.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bitnet_engine as engine
from bitnet_engine.errors import StorageError
from bitnet_engine.formats import cursor
from bitnet_tui.core import session
from tests.engine import tiny

MOMENTS = {"convert": 7}
"""Of each kind of change; 20 where nothing is said. A conversion writes, reads back and compares each time."""


def cut(path: Path) -> None:
    """Take the second half of a file away."""
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    """Change every byte of a file in place; the clock is moved for file systems whose own is coarse."""
    before = path.stat()
    path.write_bytes(bytes(byte ^ 0xFF for byte in path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace(path: Path) -> None:
    """Put a file of zeros in the place of another."""
    other = path.with_suffix(".new")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


def scan(path: Path, _: Path) -> Any:
    """`info --scan`, without its stamp."""
    return {key: value for key, value in session.inspect(str(path), scan=True).items() if key != "stamp"}


def stats(path: Path, _: Path) -> Any:
    """What Inspect shows of the weights."""
    return [event for event in session.run({"kind": "stats", "path": str(path)}) if event["event"] == "stats"]


def diff(path: Path, folder: Path) -> Any:
    """`diff` with an untouched copy."""
    events = list(session.run({"kind": "diff", "reference": str(folder / "copy"), "candidate": str(path)}))
    return events[-1]["report"]["identical"], events[-1]["report"]["tensors"]


def convert(path: Path, folder: Path) -> Any:
    """`convert`: the bytes that it wrote."""
    target = folder / "out.gguf"
    target.unlink(missing_ok=True)
    request = {"kind": "convert", "path": str(path), "target": str(target), "type": "I2_S", "allow_lossy": True}
    for _ in session.run(request):
        pass
    return target.read_bytes()


def load(path: Path, _: Path) -> Any:
    """What `generate`, `eval` and `parity` do before they compute."""
    with engine.open_checkpoint(path) as checkpoint:
        model = engine.load(path)
        return checkpoint.sha256(), model.weights.token_embd.sum().item()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Path:
    """A tiny packed model."""
    folder = tmp_path_factory.mktemp("sound") / "model"
    return tiny.write_packed(tiny.plain_model(seed=3), folder, packed / "tokenizer.json")


@pytest.mark.parametrize("change", [cut, overwrite, replace], ids=lambda change: change.__name__)
@pytest.mark.parametrize("command", [scan, stats, diff, convert, load], ids=lambda command: command.__name__)
def test_a_file_that_changes_under_a_command(
    command: Callable[[Path, Path], Any],
    change: Callable[[Path], None],
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A number out of a file that was half another: what is not refused must be the answer of the untouched file."""
    model = tmp_path / "model"
    victim, moment, reads = model / "model.safetensors", -1, []
    inode = -1

    def pread(descriptor: int, count: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode:
            if len(reads) == moment:
                change(victim)
            reads.append(offset)
        return os.pread(descriptor, count, offset)

    shutil.copytree(sound, model)
    shutil.copytree(sound, tmp_path / "copy")
    right = command(model, tmp_path)
    monkeypatch.setattr(cursor, "os", _Reads(pread))
    inode = victim.stat().st_ino
    assert command(model, tmp_path) == right
    total, refused = len(reads), 0
    for moment in random.Random(9).sample(range(total), min(MOMENTS.get(command.__name__, 20), total)):  # noqa: B007
        shutil.rmtree(model)
        shutil.copytree(sound, model)
        inode = victim.stat().st_ino
        reads.clear()
        refused += refuses(command, model, tmp_path, right)
    assert refused > 0


def refuses(command: Callable[[Path, Path], Any], model: Path, folder: Path, right: Any) -> bool:
    """Return whether a command refused the file as changed; its answer, if it gave one, must be `right`."""
    try:
        answer = command(model, folder)
    except StorageError as error:
        return "model.safetensors: changed while it was read" in str(error)
    assert answer == right
    return False


class _Reads:
    """The module `os` with another `pread`."""

    def __init__(self, pread: Callable[[int, int, int], bytes]) -> None:
        self.pread = pread

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)
