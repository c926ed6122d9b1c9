"""The summary of a model: its numbers, its findings, and how little it imports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from bitnet_engine.formats import OutTensor, QuantType, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s
from bitnet_engine.inspection import Summary, inspect, tensor_stats
from tests.badfiles.builders import Tensor, f32, gguf_file, small_gguf, string, u32

KEYS = {
    "path", "format", "version", "bytes", "architecture", "parameters", "ternary_parameters",
    "bits_per_weight", "body_bits_per_weight", "types", "tensors", "metadata", "tokenizer",
    "scale_meaning", "reading", "findings",
}  # fmt: skip


def codes(summary: Summary) -> list[str]:
    return [finding.code for finding in summary.findings]


def test_the_sample_in_two_formats(packed: Path, i2_s: Path):
    """Scales counted as parameters, padding as weights, or packed bytes as one weight each."""
    folder, gguf = inspect(packed), inspect(i2_s)
    assert folder.parameters == gguf.parameters
    assert folder.ternary_parameters == gguf.ternary_parameters > 0
    assert folder.scale_meaning == "multiply"
    assert gguf.scale_meaning is None
    for summary in (folder, gguf):
        assert summary.body_bits_per_weight == pytest.approx(2, abs=0.02)
        assert summary.bits_per_weight is not None
        assert summary.bits_per_weight > summary.body_bits_per_weight
        assert sum(count.bytes for count in summary.types) <= summary.bytes
        assert codes(summary) == []
    assert folder.architecture == "BitNetForCausalLM"
    assert gguf.architecture == "bitnet-b1.58"


def test_json_is_plain(packed: Path, i2_s: Path):
    """An enum, a path or a lazy array that the encoder of a run cannot write."""
    for path in (packed, i2_s):
        document = orjson.loads(orjson.dumps(inspect(path).to_json()))
        assert set(document) == KEYS
        assert document["path"] == str(path)
        assert set(document["tensors"][0]) == {"name", "type", "shape", "offset", "nbytes", "file"}
        assert set(document["types"][0]) == {"type", "tensors", "bytes"}
    tokens = document["metadata"]["tokenizer.ggml.tokens"]
    assert (tokens["array"], tokens["count"], len(tokens["head"])) == ("str", 4096, 3)
    tokenizer = document["tokenizer"]
    assert (tokenizer["model"], tokenizer["pre"], tokenizer["tokens"]) == ("gpt2", "llama-bpe", 4096)
    assert isinstance(tokenizer["bos"], int)


def test_tokenizer_of_a_folder(packed: Path):
    """A tokenizer beside the weights that the summary does not mention."""
    tokenizer = inspect(packed).tokenizer
    assert tokenizer.model == "tokenizer.json"
    assert tokenizer.bos == "<|begin_of_text|>"


def findings_of(tmp_path: Path, pairs: list[tuple[str, bytes]], tensors: list[Tensor], size: int) -> list[str]:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_file(pairs, tensors, bytes(size)))
    return codes(inspect(path))


def test_findings_of_known_bugs(tmp_path: Path):
    """The bugs 7, 9, 11 and 12 of docs/formats.md §5, each visible in a header, passed over."""
    arch = ("general.architecture", string("bitnet-b1.58"))
    norms = [
        Tensor("blk.0.attn_sub_norm.weight", 0, (8,), 0),
        Tensor("blk.0.ffn_sub_norm.weight", 0, (8,), 32),
    ]
    head = Tensor("output.weight", 36, (128, 4), 64)
    assert findings_of(tmp_path, [arch], norms, 64) == []
    assert findings_of(tmp_path, [arch], norms[:1], 32) == ["sub-norms"]
    assert findings_of(tmp_path, [("general.architecture", string("llama"))], norms[:1], 32) == []
    assert findings_of(tmp_path, [arch, ("general.file_type", u32(40))], norms, 64) == ["file-type"]
    assert findings_of(tmp_path, [arch, ("general.file_type", u32(0))], norms, 64) == []
    assert findings_of(tmp_path, [arch], [*norms, head], 64 + 160) == ["ternary-head"]
    gpt2 = ("tokenizer.ggml.model", string("gpt2"))
    assert findings_of(tmp_path, [arch, gpt2], norms, 64) == ["tokenizer-pre"]
    assert findings_of(tmp_path, [arch, gpt2, ("tokenizer.ggml.pre", string("llama-bpe"))], norms, 64) == []


def test_findings_of_names_and_fallbacks(tmp_path: Path):
    """The bugs 1, 16 and 22 of docs/formats.md §5 passed over, or claimed of a sound file."""
    small = ("general.architecture", string("bitnet-25"))
    norms = [
        Tensor("blk.0.attn_sub_norm.weight", 0, (8,), 0),
        Tensor("blk.0.ffn_sub_norm.weight", 0, (8,), 32),
    ]
    assert findings_of(tmp_path, [small], norms, 64) == ["architecture-name"]
    ternary = Tensor("blk.0.attn_q.weight", 36, (128, 4), 64)
    for type_id, size in ((1, 512), (2, 144)):
        other = Tensor("blk.0.ffn_down.weight", type_id, (64, 4), 64 + 160)
        path = tmp_path / "x.gguf"
        path.write_bytes(gguf_file([], [*norms, ternary, other], bytes(64 + 160 + size + -size % 32)))
        (finding,) = inspect(path).findings
        assert (finding.code, finding.subject) == ("fallback-type", "blk.0.ffn_down.weight")
        assert finding.severity == ("note" if type_id == 1 else "warning")
        assert "with rows of 64, as 1 of 2 matrices are no trits (1 " in finding.message
    heads = ("bitnet.attention.head_count_kv", u32(5))
    embedding = Tensor("token_embd.weight", 1, (2560, 128256), 64)
    path.write_bytes(gguf_file([("general.architecture", string("bitnet")), heads], [*norms, embedding]))
    with path.open("r+b") as stream:
        stream.truncate(stream.seek(0, 2) + 64 + 2560 * 128256 * 2)
    assert codes(inspect(path)) == ["activation"]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("tokenizer.ggml.pre", "falcon_e", "tokenizer-pre-name"),
        ("tokenizer.chat_template", "{{ 'Human: ' + m + 'BITNETAssistant: ' }}", "chat-template"),
    ],
)
def test_findings_of_tokenizers(tmp_path: Path, key: str, value: str, code: str):
    """The bugs 13 and 14 of docs/formats.md §5 passed over, or claimed of another value."""
    assert findings_of(tmp_path, [(key, string(value))], [], 0) == [code]
    assert findings_of(tmp_path, [(key, string("falcon3"))], [], 0) == []


def test_numbers_that_json_cannot_hold(tmp_path: Path):
    """NaN in an artifact."""
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_file([("eps", f32(float("nan")))], []))
    summary = inspect(path)
    assert summary.to_json()["metadata"] == {"eps": None}
    assert codes(summary) == ["metadata-not-finite"]
    assert summary.bits_per_weight is None


def test_stats_of_trits_and_floats(tmp_path: Path):
    """Counts that do not add up, or code 3 raised where it should be counted."""
    path = tmp_path / "small.gguf"
    path.write_bytes(small_gguf().replace(b"\x55" * 64 + b"\x00\x38", b"\x40" + b"\x55" * 62 + b"\xff\x00\x38"))
    with open_checkpoint(path) as checkpoint:
        stats = tensor_stats(checkpoint, "blk.0.attn_q.weight")
        assert (stats.neg, stats.zero, stats.pos, stats.code3) == (3, 249, 0, 4)
        assert (stats.scale, stats.bad_scales) == (0.5, 0)
        zeros = tensor_stats(checkpoint, "blk.0.attn_k.weight")
        assert (zeros.zero, zeros.entropy, zeros.scale) == (256, 0, 0.25)
        dense = tensor_stats(checkpoint, "output_norm.weight")
        assert (dense.min, dense.max, dense.nan) == (0, 7, 0)
        assert dense.rms == pytest.approx(np.sqrt(17.5))
        assert set(stats.to_json()) == {
            "name", "type", "neg", "zero", "pos", "code3", "scale", "bad_scales", "entropy", "zeros",
            "dead_rows", "dead_columns",
        }  # fmt: skip
        assert set(dense.to_json()) == {"name", "type", "rms", "min", "max", "nan", "histogram"}


def test_stats_of_what_is_not_finite(tmp_path: Path):
    """A NaN that swallows the minimum, or a scale of NaN that reaches JSON."""
    path = tmp_path / "x.gguf"
    trits = np.zeros((1, 128), np.int8)
    values = np.array([np.nan, np.inf, -2, 2], np.float32)
    write_gguf(
        path,
        {},
        [
            OutTensor("mixed", QuantType.F32, (4,), values.tobytes),
            OutTensor("none", QuantType.F32, (2,), values[:2].tobytes),
            OutTensor("trits", QuantType.I2_S, (1, 128), lambda: pack_i2_s(trits, float("inf"))),
        ],
    )
    with open_checkpoint(path) as checkpoint:
        mixed, none = tensor_stats(checkpoint, "mixed"), tensor_stats(checkpoint, "none")
        assert (mixed.rms, mixed.min, mixed.max, mixed.nan) == (2, -2, 2, 2)
        assert (none.rms, none.min, none.max, none.nan) == (None, None, None, 2)
        stats = tensor_stats(checkpoint, "trits")
        assert (stats.scale, stats.bad_scales) == (None, 1)


def test_inspecting_imports_little(packed: Path, i2_s: Path):
    """An `info` that waits seconds for jax, or megabytes for a tokenizer, to read a header."""
    program = (
        "import sys; from bitnet_engine.inspection import inspect; "
        "inspect(sys.argv[1]); inspect(sys.argv[2]); print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, packed, i2_s], capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"jax", "jaxlib", "tokenizers", "sentencepiece", "scipy", "numba", "gguf", "equinox", "jaxtyping"}
    assert not heavy & set(done.stdout.split())
