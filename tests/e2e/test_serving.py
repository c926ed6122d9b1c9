"""`--serve` and `demo` as a user starts them."""

import importlib.util
import socket
import subprocess
import time
import urllib.request

import pytest

from tests.e2e.program import PROGRAM, run


def test_the_tour_needs_a_terminal():
    """Red when `demo` in a pipe hangs, or draws into it."""
    done = run("demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr


@pytest.mark.parametrize("arguments", [["--export", "x.json"], ["--json"], ["a", "b"]])
def test_what_serve_refuses(arguments, tmp_path):
    """Red when an option without meaning beside --serve is taken silently."""
    done = run("--serve", "8123", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("textual_serve") is None, reason="the [web] extra is not installed")
def test_the_page_is_served_to_this_machine_alone():
    """Red when the server listens on another address than localhost: it reads every file of its user."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([*PROGRAM, "--serve", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = b""
        deadline = time.monotonic() + 60
        while not page and time.monotonic() < deadline:
            try:
                page = urllib.request.urlopen(f"http://localhost:{port}/", timeout=5).read()
            except OSError:
                time.sleep(0.1)  # it is still starting
        assert b"bitnet-tui" in page
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex((_other_address(), port)) != 0
    finally:
        server.terminate()
        server.wait(20)


def _other_address() -> str:
    """Return an address of this machine that is not localhost; 127.0.0.2 where it has no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return probe.getsockname()[0]
