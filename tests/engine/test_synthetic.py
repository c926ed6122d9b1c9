"""The random model in the published shape: one model in every type, which loads, and a tokenizer that is one."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import QuantType, open_checkpoint
from bitnet_engine.synthetic import PUBLISHED, TYPES, Shape, write_synthetic
from bitnet_engine.synthetic_vocabulary import vocabulary

SMALL = Shape(layers=2, embed=256, ffn=512, heads=4, kv_heads=2, head_dim=64, positions=64, vocab=2048)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model in every type."""
    folder = tmp_path_factory.mktemp("synthetic")
    paths = {kind: folder / f"model-{kind.value}" for kind in TYPES}
    for kind, path in paths.items():
        assert write_synthetic(path, kind, shape=SMALL) > 1_000_000
    return paths


def test_every_type_holds_the_same_model(files):
    """Red when a seed depends on the type, a scale is not exact in one, or the tokenizers differ."""
    for kind in TYPES[1:]:
        result = engine.diff(files[TYPES[0]], files[kind])
        assert result.identical, kind
        assert len(result.tensors) == 2 + 2 * 11
    first, second = (engine.load(files[kind]) for kind in (QuantType.I2_S, QuantType.HF_PACKED))
    tokens = first.tokenizer.encode("the tone of it, then 42")
    assert tokens == second.tokenizer.encode("the tone of it, then 42")
    logits = first.logits(tokens)
    assert np.isfinite(logits).all()
    assert np.array_equal(logits, second.logits(tokens))


def test_a_seed_is_a_model(files, tmp_path):
    """Red when the same command gives other bytes, or another seed the same."""
    for name, seed in (("same", 0), ("other", 1)):
        write_synthetic(tmp_path / name, QuantType.TQ2_0, shape=SMALL, seed=seed)
    bytes_of = [path.read_bytes() for path in (files[QuantType.TQ2_0], tmp_path / "same", tmp_path / "other")]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


def test_the_other_architecture_is_the_same_weights_with_silu(files, tmp_path):
    """Red when the file that llama.cpp is measured on holds another model than the one it stands for."""
    write_synthetic(tmp_path / "b.gguf", QuantType.TQ2_0, shape=SMALL, architecture="bitnet")
    one, other = engine.load(files[QuantType.TQ2_0]), engine.load(tmp_path / "b.gguf")
    assert (one.config.activation, other.config.activation) == ("relu2", "silu")
    assert one.config == dataclasses.replace(other.config, activation="relu2")
    for mine, theirs in zip(*map(jax.tree.leaves, (one.weights, other.weights)), strict=True):
        assert np.array_equal(mine, theirs)
    with pytest.raises(ValueError, match="a folder has the published architecture"):
        write_synthetic(tmp_path / "f", QuantType.HF_PACKED, shape=SMALL, architecture="bitnet")


def test_no_tensor_looks_damaged(files):
    """Red when a scan takes noise for a bug: scales, densities and gains are of the usual kind."""
    for path in files.values():
        with open_checkpoint(path) as checkpoint:
            assert engine.scan_findings(checkpoint) == ()
        assert engine.inspect(path).findings == ()


def test_the_published_shape_is_published():
    """Red when a measurement is made on another size than the one it names."""
    matrices = sum(out * features for out, features in PUBLISHED.matrices().values())
    assert PUBLISHED.layers * matrices == 2_084_044_800  # trits: 521 MB at two bits, beside an embedding of 657 MB
    tokens, merges = vocabulary(PUBLISHED.vocab)
    assert (len(tokens), len(set(tokens)), len(merges)) == (128_256, 128_256, 280_147)
    known = set(tokens)
    assert all({first, second, first + second} <= known for first, second in (merge.split(" ") for merge in merges))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--type", "Q4_0"), 2, "invalid QuantType value|invalid choice"),
        (("--type", "I2_S", "--layers", "0"), 2, "1 or more are allowed"),
        (("--type", "HF_PACKED", "--architecture", "bitnet"), 2, "a folder has bitnet-b1.58 only"),
        (("--type", "HF_PACKED"), 4, "cannot make this folder: File exists; name a new one"),
    ],
)
def test_the_command_refuses(tmp_path, arguments, code, message):
    """Red when a typing slip ends in a traceback, or a folder is written into."""
    command = [sys.executable, "-m", "bitnet_engine.synthetic", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert any(part in done.stderr for part in message.split("|"))
    assert "Traceback" not in done.stderr


def test_json_is_all_that_is_printed(tmp_path, monkeypatch, capsysbinary):
    """Red when a script cannot read what was written."""
    from bitnet_engine import synthetic

    monkeypatch.setattr(synthetic, "Shape", lambda layers: SMALL)
    monkeypatch.setattr(sys, "argv", ["synthetic", str(tmp_path / "x.gguf"), "--type", "I2_S", "--layers", "2"])
    synthetic.main()
    written = json.loads(capsysbinary.readouterr().out)
    assert written["bytes"] == (tmp_path / "x.gguf").stat().st_size
    assert (written["type"], written["layers"], written["seed"]) == ("I2_S", 2, 0)
