"""Writing in a hostile world: a full disk, a kill at any moment, a target that is somebody else's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import PROGRAM

ROOT = Path(__file__).parents[2]


BOUND = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


def small_disk(*arguments: object, limit: int) -> subprocess.CompletedProcess[str]:
    """Run a command, and its worker, that may write no file of more than `limit` bytes."""
    # Not by preexec_fn: it forks this process, which jax's threads forbid.
    command = [sys.executable, "-c", BOUND, str(limit), *PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_convert_without_space_keeps_the_old_file(packed: Path, tmp_path: Path):
    """Half a model under the right name, or the old one gone, because the disk was full."""
    target = tmp_path / "model.gguf"
    target.write_bytes(b"old")
    done = small_disk("convert", packed, target, "--type", "I2_S", "--force", limit=200_000)
    assert done.returncode == 4, done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_export_without_space_keeps_the_old_file(i2_s: Path, tmp_path: Path):
    """An artifact cut where the disk ended, which a later step of CI reads."""
    (tmp_path / "info.json").write_bytes(b"{}")
    done = small_disk("info", i2_s, "--export", tmp_path, limit=1000)
    assert done.returncode == 4, done.stderr
    assert "not written: File too large; an older file is unchanged" in done.stderr
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("info.json", b"{}")]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root; RLIMIT_FSIZE tests the same above")
    yield place
    subprocess.run(["umount", place], check=True)


def test_convert_onto_a_full_disk(tiny_disk: Path, packed: Path):
    """A limit and a full disk fail in different calls: the write, or the last flush."""
    target = tiny_disk / "model.gguf"
    target.write_bytes(b"old")
    command = [*PROGRAM, "convert", packed, target, "--type", "I2_S", "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "No space left on device" in done.stderr
    assert [(file.name, file.read_bytes()) for file in tiny_disk.iterdir()] == [("model.gguf", b"old")]


KILLED = """
import hashlib, json, os, random, signal, sys
from pathlib import Path
from bitnet_engine.conversion import convert_steps
from bitnet_engine.files import write_atomic
from bitnet_engine.formats import QuantType

source, target, artifact = map(Path, sys.argv[1:])

def convert():
    for _ in convert_steps(source, target, QuantType.I2_S, allow_lossy=True, force=True):
        pass

def export():
    write_atomic(artifact, b"new" * 500_000)

def run(work, moment):
    # A child that kills itself at its `moment`-th call of a function; returns how many calls it made.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0
        def count(frame, event, argument):
            nonlocal calls
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(count)
        work()
        sys.setprofile(None)
        os.write(writer, str(calls).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    calls = int(os.read(reader, 99) or 0)
    os.close(reader)
    return calls, os.WIFSIGNALED(status)

def state(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()

states = {}
for name, work, path in (("convert", convert, target), ("export", export, artifact)):
    path.write_bytes(b"old")
    old = state(path)
    total, _ = run(work, -1)
    new = state(path)
    seen = []
    # The last calls are where names change hands; half of the moments are there.
    some = random.Random(7).sample(range(1, total), min(10, total - 1)) + list(range(max(1, total - 40), total, 4))
    for moment in some:
        path.write_bytes(b"old")
        _, killed = run(work, moment)
        seen.append("old" if state(path) == old else "new" if state(path) == new else "neither")
        assert killed
    states[name] = seen
print(json.dumps(states))
"""


def test_kill_9_leaves_the_old_file_or_the_new_one(packed: Path, tmp_path: Path):
    """A third state: an empty file, half a file, a file that was not yet read back."""
    target, artifact = tmp_path / "model.gguf", tmp_path / "report.json"
    command = [sys.executable, "-c", KILLED, packed, target, artifact]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert all(len(seen) >= 19 and set(seen) <= {"old", "new"} for seen in states.values()), states
    assert "old" in states["convert"]
