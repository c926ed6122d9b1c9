"""Finding the order of an I2_S file: right for each, and an open answer where nothing is proved."""

from pathlib import Path

import numpy as np
import pytest

from bitnet_engine.errors import FormatError
from bitnet_engine.formats import Checkpoint, I2SLayout, OutTensor, QuantType, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s
from bitnet_engine.i2s_detection import detect_i2s_layout


def i2_s_of(source: Checkpoint, path: Path, layout: I2SLayout, *, zeros: bool = False) -> Path:
    """Write the matrices of the first two layers of `source`, a GGUF file, as I2_S of `layout`."""
    tensors = []
    for name, info in source.tensors.items():
        if source.is_ternary(name) and name.startswith(("blk.0.", "blk.1.")):
            trits = source.read_ternary(name).values * np.int8(0 if zeros else 1)
            data = pack_i2_s(trits, 0.5, layout)
            tensors.append(OutTensor(name, QuantType.I2_S, info.shape, lambda data=data: data))
    write_gguf(path, {}, tensors)
    return path


@pytest.mark.parametrize("layout", I2SLayout)
def test_finds_the_layout(tmp_path: Path, packed: Path, samples: Path, layout: I2SLayout):
    """An ARM file run as an official one: fluent nonsense, and no error anywhere (microsoft/BitNet#585)."""
    with open_checkpoint(samples / "nano" / "model-tq2_0.gguf") as source:
        path = i2_s_of(source, tmp_path / "x.gguf", layout)
    with open_checkpoint(path) as candidate, open_checkpoint(packed) as reference:
        match = detect_i2s_layout(candidate, reference)
        assert candidate.reading.i2s_layout is I2SLayout.A, "looking must not change what the caller has opened"
    assert match.layout is layout
    assert match.rates[layout] == 1
    assert all(0.2 < rate < 0.7 for other, rate in match.rates.items() if other is not layout)
    assert match.tensors > 1
    assert match.describe().startswith(f"layout {layout} (share of equal codes in {match.tensors} matrices: A ")
    assert match.to_json()["layout"] == layout.value


def test_the_shipped_file_is_a(packed: Path, i2_s: Path):
    """Layout A, the one of every published file, not recognised."""
    with open_checkpoint(i2_s) as candidate, open_checkpoint(packed) as reference:
        assert detect_i2s_layout(candidate, reference).layout is I2SLayout.A


def test_says_so_where_nothing_is_proved(tmp_path: Path, packed: Path, samples: Path):
    """A layout claimed for matrices that read alike in each, or for another model's."""
    with open_checkpoint(samples / "nano" / "model-tq2_0.gguf") as source:
        zeros = i2_s_of(source, tmp_path / "zeros.gguf", I2SLayout.B, zeros=True)
        other = i2_s_of(source, tmp_path / "b.gguf", I2SLayout.B)
    with open_checkpoint(zeros) as candidate, open_checkpoint(packed) as reference:
        match = detect_i2s_layout(candidate, reference)
        assert match.layout is None
        assert match.describe().startswith("no layout matches: the reference is another model")
    with open_checkpoint(zeros) as candidate, open_checkpoint(zeros) as reference:
        match = detect_i2s_layout(candidate, reference)
        assert match.layout is None
        assert match.describe().startswith("ambiguous: A, B, C match alike")
    with (
        open_checkpoint(packed) as candidate,
        open_checkpoint(other) as reference,
        pytest.raises(FormatError, match="has no I2_S matrix that"),
    ):
        detect_i2s_layout(candidate, reference)
