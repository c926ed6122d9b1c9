"""Which source a side on the command line means."""

import pytest

from bitnet_engine.errors import BitnetError, SettingError
from bitnet_parity.peers import failed, open_peer
from bitnet_parity.sources import KINDS, Side, parse_side


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("model.gguf", Side("model", "model.gguf")),
        ("recorded:runs/a", Side("recorded", "runs/a")),
        ("kld:base.kld", Side("kld", "base.kld")),
        ("hf:some/folder", Side("hf", "some/folder")),
        ("llama:m.gguf", Side("llama", "m.gguf")),
        ("./hf:x", Side("model", "./hf:x")),
        ("C:model.gguf", Side("model", "C:model.gguf")),
        ("hf:kld:x", Side("hf", "kld:x")),
    ],
)
def test_a_side_is_a_path_or_a_kind_and_a_path(text, side):
    """Red when a path with a colon is taken for a kind, or a kind for a path."""
    assert parse_side(text) == side
    assert str(side) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_without_a_path_is_refused(kind):
    """Red when an unset variable after the colon opens the current folder."""
    with pytest.raises(SettingError, match=f"{kind}:: no path follows the colon"):
        parse_side(f"{kind}:")


@pytest.mark.parametrize(("kind", "package"), [("hf", "torch"), ("llama", "llama_cpp")])
def test_a_missing_extra_is_one_line(kind, package, monkeypatch):
    """Red when a missing extra is an ImportError, or nobody says what to install."""
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(BitnetError, match=rf"{kind}:x: .*is not installed; pip install 'bitnet-tui\[{kind}\]'"):
        open_peer(Side(kind, "x"), context=32)


def test_a_peer_that_fails_leaves_its_last_lines():
    """Red when the reason of a failure, which stands last, is cut off."""
    said = "\n".join([*(f"line {i}" for i in range(40)), "", "CUDA out of memory"])
    error = failed(Side("hf", "x"), "failed", RuntimeError(said))
    assert error.exit_code == 6
    expected = "line 36 | line 37 | line 38 | line 39 | CUDA out of memory"
    assert str(error) == f"hf:x: transformers failed: RuntimeError: {expected}"
