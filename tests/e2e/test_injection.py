"""Names, tokens, metadata and artifacts full of escape sequences, through every screen.

What is read is what reaches the terminal, byte for byte: after our own control sequences are taken out of it, nothing
may be left that a terminal obeys or that reorders what a person reads. The commands are tried in test_plain_injection.
"""

import os

import pytest

from tests.e2e.hostile import CORPUS, left_over, write_model, write_runs
from tests.e2e.terminal import Terminal, available


@pytest.fixture
def world(tmp_path):
    """Return a folder with the model, the runs and a theme, and what the program is told of it."""
    models = tmp_path / "models"
    models.mkdir()
    model = write_model(models)
    for name in ("config", "state", "runs"):
        (tmp_path / name).mkdir()
    write_runs(tmp_path / "runs", model)
    for age, id in enumerate(("second", "third", "first")):
        os.utime(tmp_path / "runs" / id / "events.jsonl", (1_700_000_000 - age, 1_700_000_000 - age))
    (tmp_path / "config.toml").write_text(f"models_dirs = [{str(models)!r}]\n")
    return tmp_path, {"BITNET_TUI_RUNS": str(tmp_path / "runs"), "BITNET_TUI_CONFIG": str(tmp_path / "config.toml")}


@pytest.mark.tmux
@pytest.mark.skipif(not available, reason="tmux is not installed")
def test_no_screen_passes_a_byte_on(world, tmp_path):
    """Red when a widget, a title, a notification or the program itself writes what a file says as it stands."""
    folder, env = world
    window = Terminal(f"{folder}/models/*.gguf", folder, **env, BITNET_MODELS=str(folder / "models"))
    written = folder / "written"
    try:
        window.record(written)
        visit(window)
        window.press("q")
        window.wait("EXIT=0")
    finally:
        window.close()
    data = written.read_bytes()
    assert len(data) > 50_000
    assert left_over(data) == []


GONE = "no more: "


def visit(window):
    """Go to every screen, and open what hides behind a key."""
    for keys, awaited in (
        ((), f"{len(CORPUS)} tensors"),
        (("Down", "Down", "Down", "Down", "v", "S", "End", "s"), "scanned"),
        (("?",), "Everything here"),
        (("?", "e"), "file ("),
        (("Escape",), GONE + "file ("),
        (("4",), "3 of 3 · "),
        (("Enter",), "replay"),
        (("n", "c", "c", "m", "c", "w", "z", "z", "Enter"), "exit code"),
        (("Escape",), GONE + "operations by layer"),
        (("4", "Space", "Down", "Down", "Space", "c"), "changed tokens"),
        (("Escape",), GONE + "changed tokens"),
        (("Up", "Enter"), "bars of what"),
        (("Down", "m", "m", "a", "x", "b", "Tab", "y"), "copied"),
        ((",",), "what for"),
        (("Escape",), GONE + "what for"),
        (("0",), "recent runs"),
    ):
        for key in keys:
            window.press(key)
        if awaited.startswith(GONE):
            # An escape that is followed at once by a key is another key: alt and it.
            window.wait_until_gone(awaited.removeprefix(GONE))
        else:
            window.wait(awaited)


def test_what_the_corpus_would_do():
    """Red when the reader of this file takes a payload for a sequence of ours."""
    caught = [text for text in CORPUS if left_over(text.encode())]
    assert len(caught) >= 21
    assert left_over(b"\x1b[1;38;2;224;175;104;48;2;35;40;56me\x1b[0m\x1b[40;51H\x1b[?25l") == []
