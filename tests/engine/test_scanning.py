"""Each known bug that only the weights show: found where it is, silent where it is not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitnet_engine import scanning
from bitnet_engine.formats import Finding, OutTensor, QuantType, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s, pack_tq2_0
from bitnet_engine.scanning import scan_findings
from tests.badfiles.builders import Tensor, config, entry, gguf_file, safetensors_file

Q, EMBEDDING = "blk.0.attn_q.weight", "token_embd.weight"


def trits(rows: int = 128, columns: int = 256) -> np.ndarray:
    return np.random.default_rng(5).integers(-1, 2, (rows, columns), np.int8)


def scan(path: Path, *tensors: OutTensor) -> list[Finding]:
    write_gguf(path, {}, tensors)
    with open_checkpoint(path) as checkpoint:
        return list(scan_findings(checkpoint))


def floats(name: str, values: np.ndarray) -> OutTensor:
    return OutTensor(name, QuantType.F32, values.shape, values.astype("<f4").tobytes)


def ternary(data: bytes, shape: tuple[int, int], kind: QuantType = QuantType.I2_S, name: str = Q) -> OutTensor:
    return OutTensor(name, kind, shape, lambda: data)


def test_a_sound_model_earns_nothing(packed: Path, samples: Path):
    """An inspector that cries wolf, whom nobody believes when it matters."""
    for path in (packed, samples / "nano" / "model-i2_s.gguf", samples / "nano" / "model-tq2_0.gguf"):
        with open_checkpoint(path) as checkpoint:
            assert scan_findings(checkpoint) == ()


def test_a_scale_in_a_tensor_of_its_own_is_not_lost(tmp_path: Path):
    """A first conversion of mainline, whose every matrix has the scale 1 beside a factor, called damaged."""
    matrix = ternary(pack_i2_s(trits(), 1.0), (128, 256))
    factor = floats("blk.0.attn_q.scale", np.array([0.25]))
    assert [finding.code for finding in scan(tmp_path / "a.gguf", matrix)] == ["scale-one"]
    assert scan(tmp_path / "b.gguf", matrix, factor) == []


def with_scale(scale: float) -> bytes:
    return pack_i2_s(trits(), scale)


def two_scales() -> bytes:
    return pack_tq2_0(trits(64), 0.5) + pack_tq2_0(trits(64), 0.25)


def zero_scales() -> bytes:
    return pack_tq2_0(trits(64), 0.5) + pack_tq2_0(trits(64), 0.0)


BUGS: list[tuple[str, Callable[[], bytes], QuantType, str]] = [
    ("scale-one", lambda: with_scale(1.0), QuantType.I2_S, "has a scale of exactly 1.0"),
    ("scale-zero", lambda: with_scale(0.0), QuantType.I2_S, "has non-zero trits and a scale of 0"),
    ("scale-zero", zero_scales, QuantType.TQ2_0, "has blocks with non-zero trits and a scale of 0"),
    ("scale-negative", lambda: with_scale(-0.5), QuantType.I2_S, "has a scale of -0.5"),
    ("scale-not-finite", lambda: with_scale(float("inf")), QuantType.I2_S, "has 1 scales of 1 that are NaN"),
    ("several-scales", two_scales, QuantType.TQ2_0, "has 2 scales; one for the whole matrix would be wrong"),
    ("code-3", lambda: b"\xff\xff" + with_scale(0.5)[2:], QuantType.I2_S, "no trit, 8 times in 32768"),
    ("zero-filled", lambda: bytes(4096) + with_scale(0.5)[4096:], QuantType.I2_S, "holds 1 runs of 4096 zero bytes"),
    ("density", lambda: pack_i2_s(trits() | 1, 0.5), QuantType.I2_S, "has 100.0% non-zero weights"),
]


@pytest.mark.parametrize(("code", "data", "kind", "says"), BUGS)
def test_bugs_of_ternary_tensors(tmp_path: Path, code: str, data: Callable[[], bytes], kind: QuantType, says: str):
    """A corrupt or wrongly converted matrix that looks like any other."""
    (finding,) = scan(tmp_path / "x.gguf", ternary(data(), (128, 256), kind))
    assert (finding.code, finding.subject) == (code, Q)
    assert says in finding.message
    assert finding.advice


def test_one_finding_a_kind(tmp_path: Path):
    """Two hundred lines that say one thing."""
    names = [f"blk.{layer}.attn_q.weight" for layer in range(5)]
    (finding,) = scan(tmp_path / "x.gguf", *(ternary(with_scale(1.0), (128, 256), name=name) for name in names))
    assert finding.subject == names[0]
    assert finding.message.endswith("; so it is with 4 more")


def test_floats_that_are_ternary_already(tmp_path: Path):
    """A dequantised model run through absmean again, which shrinks its scale (bug 2), and TriLM's many scales (21)."""
    values = trits() * np.float32(0.75)
    (finding,) = scan(tmp_path / "x.gguf", floats(Q, values))
    share = np.count_nonzero(values) / values.size
    assert finding.code == "already-ternary"
    assert f"one magnitude, {share:.1%} non-zero" in finding.message
    values[64:] *= 2
    (finding,) = scan(tmp_path / "x.gguf", floats(Q, values))
    assert (finding.code, finding.message) == (
        "several-scales", "is stored as floats and ternary already, with 2 magnitudes",
    )  # fmt: skip
    master = np.random.default_rng(6).normal(size=(128, 256))
    assert scan(tmp_path / "x.gguf", floats(Q, master)) == []
    assert scan(tmp_path / "x.gguf", floats("other.weight", trits().astype(np.float32))) == []


def test_bugs_of_floats(tmp_path: Path):
    """A norm that overflowed in float16, or a tensor that was never filled."""
    broken = np.array([1, np.inf, np.nan], np.float32)
    found = scan(tmp_path / "x.gguf", floats("a", broken), floats("b", np.zeros(9)), floats("c", np.zeros((0, 4))))
    assert [(finding.code, finding.subject) for finding in found] == [("not-finite", "a"), ("all-zero", "b")]
    assert "holds 2 values of 3" in found[0].message


def test_heads_beside_embeddings(tmp_path: Path):
    """A head that was rounded apart from the embedding it is tied to (bug 19), or an untied one called wrong."""
    embedding = np.random.default_rng(7).normal(size=(64, 32)).astype(np.float32)
    head = embedding.copy()
    path = tmp_path / "x.gguf"
    assert [f.code for f in scan(path, floats(EMBEDDING, embedding), floats("output.weight", head))] == [
        "duplicate-head"
    ]
    head[3, 4] += 0.01
    (finding,) = scan(path, floats(EMBEDDING, embedding), floats("output.weight", head))
    assert finding.code == "head-differs"
    assert "differs from token_embd.weight in 1 of 2048 values" in finding.message
    assert scan(path, floats(EMBEDDING, embedding), floats("output.weight", -head)) == []


def test_a_tied_folder_with_another_head(tmp_path: Path):
    """Engines that read the head and engines that read the flag, and so run two models."""
    entries = {"lm_head.weight": entry("F32", [2, 1], 0, 8), "model.embed_tokens.weight": entry("F32", [2, 1], 8, 16)}
    data = np.array([1, 2, -5, 9], "<f4").tobytes()
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(entries, data))
    for tied in (True, False):
        (tmp_path / "config.json").write_text(json.dumps(config(tie_word_embeddings=tied)))
        with open_checkpoint(tmp_path) as checkpoint:
            found = scan_findings(checkpoint)
        assert [finding.code for finding in found] == (["head-differs"] if tied else [])
    (tmp_path / "config.json").write_text("{}")


def test_what_cannot_be_read_is_said(tmp_path: Path):
    """A scan that says nothing of the tensors it did not look at."""
    path = tmp_path / "x.gguf"
    lut = 1280 * 2560 // 4 + 32
    tensors = [Tensor("lut", 38, (2560, 1280), 0), Tensor("uneven", 36, (64, 4), lut)]
    path.write_bytes(gguf_file([], tensors, bytes(lut + 96)))
    with open_checkpoint(path) as checkpoint:
        found = {finding.code: finding for finding in scan_findings(checkpoint)}
    assert found["not-scanned"].message == "is TL1, which is not decoded"
    assert "has rows of 64; I2_S allows multiples of 128" in found["unreadable"].message


def test_pieces_say_what_the_whole_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An embedding read in pieces of which only the first or the last counts: its one NaN, or number, missed."""
    values = np.zeros((40, 8), np.float32)
    values[7, 3], nan = 1.5, values.copy()
    nan[39, 7] = np.nan
    head = values.copy()
    head[21, 0] = 0.01
    files = {"sound": (EMBEDDING, values), "nan": (EMBEDDING, nan), "zeros": (EMBEDDING, values * 0)}
    found = {}
    for piece in (8, 24, 1 << 21):
        monkeypatch.setattr(scanning, "PIECE", piece)
        found[piece] = {name: scan(tmp_path / name, floats(*file)) for name, file in files.items()}
        found[piece]["head"] = scan(tmp_path / "head", floats(EMBEDDING, values), floats("output.weight", head))
    assert found[8] == found[24] == found[1 << 21]
    codes = {name: [finding.code for finding in findings] for name, findings in found[8].items()}
    assert codes == {"sound": [], "nan": ["not-finite"], "zeros": ["all-zero"], "head": ["head-differs"]}
