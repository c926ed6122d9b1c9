"""The app in a real terminal: what a person does on the first day, and every way out."""

import os
import signal

import pytest

from tests.e2e.terminal import Terminal, available, children, gone

pytestmark = [pytest.mark.tmux, pytest.mark.skipif(not available, reason="tmux is not installed")]

PACKED, I2_S = "samples/nano/packed", "samples/nano/model-i2_s.gguf"


@pytest.fixture
def terminal(tmp_path):
    """Return `start(command, ...)`; whatever it started is ended."""
    started = []

    def start(command, *size, **env):
        started.append(Terminal(command, tmp_path, *size, **env))
        return started[-1]

    yield start
    for window in started:
        window.close()


def unchanged(folder):
    """Whether the terminal's settings are what they were before the program ran."""
    return (folder / "before").read_text() == (folder / "after").read_text()


@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24)])
def test_a_first_session(terminal, tmp_path, columns, rows):
    """Red when a screen, a step, a switch or the way out is broken at a common size of terminal."""
    window = terminal(f"{PACKED} {I2_S} --max-tokens 60", columns, rows)
    window.wait("PASS", "60/60")
    window.press("Left")
    window.wait("59/60")
    window.press("Left")
    window.wait("58/60")
    window.press("Right")
    window.wait("59/60")
    window.press("Home")
    window.wait(" 1/60")
    window.press("0")
    window.wait("recent runs", "model-i2_s.gguf")
    window.press("1")
    window.wait("expand")
    window.press("2")
    window.wait("PASS")
    window.press("q")
    screen = window.wait("EXIT=0")
    assert "PASS" in screen
    assert "events.jsonl" in screen
    assert unchanged(tmp_path)


def test_inspecting_a_model(terminal):
    """Red when the tree, the statistics of the child process or the filter do not arrive."""
    window = terminal(I2_S)
    window.wait("bitnet-b1.58", "68 tensors")
    window.press("/")
    window.wait("part of a name")
    for key in "attn_q":
        window.press(key)
    window.wait("blk.5", "attn_q", "68/68 tensors")
    window.press("Escape")
    window.wait("output_norm.weight")
    window.press("q")
    window.wait("EXIT=0")


def test_a_resize_keeps_the_place(terminal):
    """Red when a narrower window loses the token under the cursor."""
    window = terminal(f"{PACKED} {I2_S} --max-tokens 60")
    window.wait("PASS", "60/60")
    window.press("Left")
    window.wait("59/60")
    window.resize(70, 24)
    window.wait("59/60")
    window.resize(50, 12)
    window.wait("nlarge the terminal")
    window.resize(120, 40)
    window.wait("59/60", "PASS")
    window.press("q")
    window.wait("EXIT=0")


def test_cancelling_leaves_no_child(terminal):
    """Red when a cancelled run computes on in the background."""
    window = terminal(f"{PACKED} {I2_S}")
    window.wait("tok/s")
    worker = children(window.pid())
    assert worker
    window.press("C-x")
    window.wait("cancelled")
    assert all(gone(pid) for pid in worker)
    window.press("q")
    window.wait("EXIT=0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(terminal, tmp_path, number):
    """Red when a killed app leaves raw mode, the alternate screen or its worker behind."""
    window = terminal(f"{PACKED} {I2_S}")
    window.wait("tok/s")
    program = window.pid()
    worker = children(program)
    os.kill(program, number)
    window.wait("EXIT=")
    assert all(gone(pid) for pid in [program, *worker])
    assert unchanged(tmp_path)


def test_no_color(terminal):
    """Red when a screen needs colour to start, or crashes without it."""
    window = terminal(f"{PACKED} {I2_S} --max-tokens 60", NO_COLOR="1")
    window.wait("PASS", "60/60")
    window.press("0")
    window.wait("recent runs")
    window.press("q")
    window.wait("EXIT=0")


def test_ctrl_c_headless_exits_130_and_leaves_what_resume_goes_on_from(terminal, tmp_path):
    """Red when Ctrl-C shows a traceback, leaves a half-written artifact, or the worker runs on."""
    window = terminal(f"parity {PACKED} {I2_S} --export {tmp_path}/out")
    window.wait("tok/s")
    worker = children(window.pid())
    window.press("C-c")
    screen = window.wait("EXIT=130")
    assert "Traceback" not in screen
    assert all(gone(pid) for pid in worker)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".parity.journal"]
    assert unchanged(tmp_path)


def test_killing_the_program_ends_its_worker(terminal):
    """Red when the worker outlives a parent that had no chance to stop it."""
    window = terminal(f"parity {PACKED} {I2_S}")
    window.wait("tok/s")
    program = window.pid()
    worker = children(program)
    os.kill(program, signal.SIGKILL)
    assert worker
    assert all(gone(pid) for pid in worker)
