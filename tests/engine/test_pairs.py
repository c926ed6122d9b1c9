"""Two files of one model: an I2_S layout that one leaves open is proved by the other, told, or said to be assumed."""

from pathlib import Path

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import I2SLayout, OutTensor, QuantType, Reading, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s
from tests.engine import tiny


def relaid(source: Path, target: Path, layout: I2SLayout) -> Path:
    """Write the GGUF file `source` again with its I2_S matrices in `layout`, as another build would have."""
    with open_checkpoint(source) as checkpoint:
        tensors = []
        for name, info in checkpoint.tensors.items():
            data = checkpoint.read_bytes(name)
            if info.type is QuantType.I2_S:
                trits = checkpoint.read_ternary(name)
                data = pack_i2_s(trits.values, float(trits.scale), layout)
            tensors.append(OutTensor(name, info.type, info.shape, lambda data=data: data))
        write_gguf(target, checkpoint.metadata, tensors)
    return target


@pytest.fixture
def arm(tmp_path: Path, i2_s: Path) -> Path:
    """The sample as a build for ARM writes it."""
    return relaid(i2_s, tmp_path / "arm.gguf", I2SLayout.B)


@pytest.mark.parametrize("layout", [I2SLayout.B, I2SLayout.C])
def test_the_reference_decides(tmp_path: Path, packed: Path, i2_s: Path, layout: I2SLayout):
    """Red when a file of another layout differs from its own model in half of its trits."""
    other = relaid(i2_s, tmp_path / "x.gguf", layout)
    for reference in (packed, i2_s):
        result = engine.diff(reference, other)
        assert result.identical, reference
        assert (result.candidate_reading.i2s_layout, result.candidate_reading.i2s_basis) == (layout, "detected")
        assert f"{layout} 1.0000" in result.candidate_reading.i2s_evidence
    assert result.reference_reading.i2s_basis == "assumed"
    assert engine.diff(other, packed).to_json()["reference_reading"]["i2s_basis"] == "detected"


def test_a_float_master_decides_too(tmp_path: Path, tokenizer_json: Path):
    """Red when only a ternary reference can tell, and not the master that the file was made from."""
    plain = tiny.plain_model(seed=9)
    master = tiny.write_master(plain, tmp_path / "master", tokenizer_json)
    engine.convert(master, tmp_path / "a.gguf", QuantType.I2_S, allow_lossy=True)
    relaid(tmp_path / "a.gguf", tmp_path / "b.gguf", I2SLayout.B)
    with engine.open_pair(master, tmp_path / "b.gguf") as (reference, candidate):
        assert reference.reading == Reading()
        assert candidate.reading.i2s_layout is I2SLayout.B


def test_what_the_caller_says_stands(packed: Path, arm: Path):
    """Red when a detection overrules the caller, or a layout is forced on a side that has none."""
    given = engine.diff(packed, arm, candidate_i2s_layout=I2SLayout.A)
    assert (given.candidate_reading.i2s_basis, given.identical) == ("given", False)
    shared = engine.diff(packed, arm, i2s_layout=I2SLayout.B)
    assert (shared.reference_reading, shared.identical) == (Reading(), True)
    with engine.open_pair(arm, arm, i2s_layout=I2SLayout.B, candidate_i2s_layout=I2SLayout.C) as (first, second):
        assert (first.reading.i2s_layout, second.reading.i2s_layout) == (I2SLayout.B, I2SLayout.C)


def test_a_layout_of_no_tensor_is_refused(packed: Path, arm: Path):
    """Red when a setting that changes nothing is taken in silence."""
    with pytest.raises(engine.SettingError, match="no I2_S tensor, so no I2_S layout \\(B\\) either; leave it out"):
        engine.diff(packed, packed, i2s_layout=I2SLayout.B)
    both = {"i2s_layout": I2SLayout.B, "candidate_i2s_layout": I2SLayout.A}
    with pytest.raises(engine.SettingError, match="packed: no I2_S tensor"), engine.open_pair(packed, arm, **both):
        pass


def test_where_nothing_is_proved_it_says_why(tmp_path: Path, i2_s: Path, arm: Path):
    """Red when a layout stays assumed and nobody is told that a detection failed."""
    with open_checkpoint(i2_s) as source:
        random = np.random.default_rng(1)
        tensors = [
            OutTensor(t.name, t.type, t.shape, lambda t=t: pack_i2_s(random.integers(-1, 2, t.shape, np.int8), 1.0))
            for t in source.tensors.values()
            if t.type is QuantType.I2_S
        ]
        write_gguf(tmp_path / "other.gguf", {}, tensors)
    write_gguf(tmp_path / "none.gguf", {}, [OutTensor("x", QuantType.F32, (1,), lambda: bytes(4))])
    for reference, why in (("other", "no layout matches"), ("none", "not detected: ")):
        with engine.open_pair(tmp_path / f"{reference}.gguf", arm) as (_, candidate):
            assert (candidate.reading.i2s_layout, candidate.reading.i2s_basis) == (I2SLayout.A, "assumed")
            assert candidate.reading.i2s_evidence.startswith(why)


def test_load_and_convert_read_as_told(tmp_path: Path, packed: Path, arm: Path):
    """Red when the option stops at the door: a conversion then carries scrambled trits and verifies against them."""
    done = engine.convert(arm, tmp_path / "tq2.gguf", QuantType.TQ2_0, i2s_layout=I2SLayout.B)
    assert done.to_json()["reading"]["i2s_basis"] == "given"
    assert engine.diff(packed, tmp_path / "tq2.gguf").identical
    tokens = [4088, 17, 230]
    told = engine.load(arm, i2s_layout=I2SLayout.B).logits(tokens)
    assert np.array_equal(told, engine.load(packed).logits(tokens))
    assert not np.array_equal(told, engine.load(arm).logits(tokens))
