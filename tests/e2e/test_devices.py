"""Commands on several devices and by several processes: the same answers as by one, and who may say them."""

import json
import os
import socket
import subprocess

import pytest

from .program import PROGRAM, run

FOUR = {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
TEXT = ("--max-tokens", 60, "--context", 32)


def scored(*arguments, **env):
    """Run `eval` and return its report without the stamp."""
    done = run("eval", *arguments, *TEXT, "--json", **FOUR, **env)
    assert done.returncode == 0, done.stderr
    return _answer(done.stdout)


def _answer(text):
    report = json.loads(text)
    return {name: value for name, value in report.items() if name != "stamp"}


@pytest.fixture(scope="module")
def alone(packed):
    """What one device answers."""
    return scored(packed)


def test_a_shared_model_scores_what_one_device_scores(packed, alone):
    """Red when --mesh is dropped on its way to the worker, or moves a bit; the narration says who shares."""
    done = run("eval", packed, *TEXT, "--json", "--mesh", 2, "--data-parallel", 2, **FOUR)
    assert _answer(done.stdout) == alone
    assert "shared by 2 devices, matrices by rows, attention whole on each" in done.stderr
    assert json.loads(done.stdout)["stamp"]["mesh"].startswith("2 devices")


def test_data_parallel_changes_no_byte_of_an_export(tmp_path, packed, i2_s):
    """Red when an id, an order or a sum depends on how many windows are scored at once."""
    for count in (1, 3):
        options = ("--export", tmp_path / str(count), "--data-parallel", count, "--noise-floor", 2)
        done = run("parity", packed, i2_s, *TEXT, *options, **FOUR)
        assert done.returncode in (0, 5), done.stderr
    one, three = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("1", "3"))
    assert one == three


def test_two_processes_answer_as_one_and_the_first_speaks(tmp_path, packed, alone):
    """Red when a process keeps its devices to itself, both print, or the second writes an artifact."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    processes = []
    for index in range(2):
        command = [*PROGRAM, "eval", packed, *TEXT, "--json", "--export", tmp_path / str(index), "--mesh", 2]
        command += ["--coordinator", coordinator, "--processes", 2, "--process", index]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(list(map(str, command)), **streams, env=environment, text=True))
    (first, narration), (second, _) = (process.communicate(timeout=300) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], narration
    assert _answer(first) == alone
    assert second == ""
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_more_devices_than_there_are_is_one_line(packed):
    """Red when a mesh that is too large is a traceback, or runs on fewer devices without a word."""
    done = run("generate", packed, "The", "--mesh", 5, **FOUR)
    assert done.returncode == 2
    assert "5 devices are asked for, 5 for a model and 1 models: jax sees 4 here" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--processes", 2), "go together"),
        (("--coordinator", "here", "--processes", 2, "--process", 0), "'here' is not HOST:PORT"),
        (("--coordinator", "a:1", "--processes", 2, "--process", 2), "0 to 1 is allowed"),
        (("--coordinator", "a:1", "--processes", 2, "--process", 0, "--resume", "--export", "x"), "for one process"),
    ],
)
def test_half_a_description_of_the_processes_is_refused(packed, options, said):
    """Red when a process that cannot find the others waits for them instead of saying so."""
    done = run("parity", packed, packed, *options)
    assert done.returncode == 2
    assert said in done.stderr
