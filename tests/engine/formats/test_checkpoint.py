"""An open checkpoint: the shipped sample in two formats, and a file that changes under our hands."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitnet_engine import formats
from bitnet_engine.errors import FormatError, StorageError, UnsupportedError
from bitnet_engine.formats import Checkpoint, cursor, open_checkpoint
from bitnet_engine.formats.cursor import SourceFile
from tests.badfiles.builders import Tensor, gguf_file, small_gguf, small_safetensors

GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(small_gguf())
    return path


@pytest.mark.parametrize("file", ["model-tq2_0.gguf", "model-i2_s.gguf"])
def test_the_sample_is_the_same_in_every_format(samples: Path, packed: Path, file: str):
    """A decoder that is right by its own encoder and wrong by the files of the world."""
    with open_checkpoint(packed) as folder, open_checkpoint(samples / "nano" / file) as other:
        layers = other.metadata["bitnet-b1.58.block_count"]
        for layer in range(layers):
            for hf_name, gguf_name in GGUF_NAMES.items():
                ours = folder.read_ternary(f"model.layers.{layer}.{hf_name}.weight")
                theirs = other.read_ternary(f"blk.{layer}.{gguf_name}.weight")
                assert np.array_equal(ours.values, theirs.values)
                assert ours.uniform_scale() == theirs.uniform_scale() is not None
        embedding = folder.read_dense("model.embed_tokens.weight")
        assert np.array_equal(embedding, other.read_dense("token_embd.weight"))
        assert folder.findings == other.findings == ()


def test_public_names():
    """A name exported by accident, or lost."""
    assert sorted(formats.__all__) == [
        "Array", "ByteOrder", "Checkpoint", "DEFAULT_LIMITS", "Finding", "I2SLayout", "Limits", "MetadataArray",
        "OutTensor", "QuantType", "Reading", "Scalar", "StoredTrits", "TERNARY_TYPES", "TensorInfo", "Trits",
        "open_checkpoint", "part_names", "write_gguf",
    ]  # fmt: skip
    assert all(hasattr(formats, name) for name in formats.__all__)


def test_sha256_of_one_file_is_the_files(small: Path):
    """A hash that no other tool prints."""
    with open_checkpoint(small) as checkpoint:
        assert checkpoint.sha256() == hashlib.sha256(small.read_bytes()).hexdigest()


def overwrite(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    # The clock of a file system may be too coarse to show a write this soon after the first one.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def cut(path: Path) -> None:
    os.truncate(path, 100)


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [overwrite, cut, replace, remove])
def test_a_file_that_changes_while_it_is_open(small: Path, change: Callable[[Path], None]):
    """SIGBUS from a map, or new weights read by the offsets of an old header."""
    with open_checkpoint(small) as checkpoint:
        checkpoint.read_dense("output_norm.weight")
        change(small)
        for read in (
            lambda: checkpoint.read_dense("output_norm.weight"),
            lambda: checkpoint.read_ternary("blk.0.attn_q.weight"),
            lambda: checkpoint.metadata["tokenizer.ggml.tokens"].tolist(),
            checkpoint.sha256,
        ):
            with pytest.raises(StorageError, match=f"^{small}: (changed while it was read|cannot be read)"):
                read()


def test_reading_after_close(small: Path):
    """A descriptor that another file has taken over, read as this one."""
    with open_checkpoint(small) as checkpoint:
        pass
    with pytest.raises(StorageError, match="cannot be read at byte"):
        checkpoint.read_bytes("output_norm.weight")
    checkpoint.close()


def test_errors_close_what_was_opened(tmp_path: Path):
    """A descriptor leaked for each bad file, until none is left."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(small_gguf()[:200])
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FormatError):
        open_checkpoint(path)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("data", "name"),
    [(small_gguf(), "model.safetensors"), (small_safetensors(), "model.GGUF"), (small_gguf(), "m.bin")],
)
def test_the_bytes_decide_and_the_name_earns_a_finding(tmp_path: Path, data: bytes, name: str):
    """A file refused, or misread, for its name."""
    path = tmp_path / name
    path.write_bytes(data)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == ("gguf" if data == small_gguf() else "safetensors")
        assert "extension" in [finding.code for finding in checkpoint.findings]


def test_a_folder_of_one_gguf(small: Path):
    """A folder that holds a model, and only that, refused."""
    with open_checkpoint(small.parent) as checkpoint:
        assert checkpoint.files == (small,)


def refuse(checkpoint: Checkpoint, name: str) -> str:
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        checkpoint.read_ternary(name)
    return str(caught.value)


def test_what_cannot_be_read_as_trits(tmp_path: Path):
    """Floats, lookup-table types, vectors and uneven rows decoded to something."""
    size = 1280 * 2560 // 4 + 32
    tensors = [
        Tensor("floats", 0, (8,), 0),
        Tensor("lut", 38, (2560, 1280), 32),
        Tensor("vector", 35, (256,), 32 + size),
        Tensor("uneven", 36, (64, 4), 128 + size),
    ]
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_file([], tensors, bytes(224 + size)))
    with open_checkpoint(path) as checkpoint:
        assert (
            refuse(checkpoint, "floats") == f"{path}: tensor 'floats' is F32, which holds no trits; read it as floats"
        )
        assert "'lut' is TL1, whose tile sizes are not stored in the file; pass --kernel-config" in refuse(
            checkpoint, "lut"
        )
        assert "'vector' is TQ2_0 of shape (256,); a matrix was expected" in refuse(checkpoint, "vector")
        assert "'uneven' has rows of 64; I2_S allows multiples of 128" in refuse(checkpoint, "uneven")
        assert "has no tensor 'absent' among its 4" in refuse(checkpoint, "absent")


def test_more_than_one_read_makes_a_tensor(small: Path, monkeypatch: pytest.MonkeyPatch):
    """A tensor of more than 2 GiB, which Linux returns in pieces, taken for a file that was cut."""
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: whole(fd, min(count, 7), offset))
    source = SourceFile.open(small)
    assert source.read(3, 50) == small.read_bytes()[3:53]
    source.close()


def test_opening_reads_the_header_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A whole model read to list its tensors."""
    path = tmp_path / "large.gguf"
    path.write_bytes(gguf_file([], [Tensor("w", 0, (2**30,), 0)]))
    os.truncate(path, 96 + 2**32)
    amounts: list[int] = []
    whole = os.pread

    def pread(fd: int, count: int, offset: int) -> bytes:
        amounts.append(count)
        return whole(fd, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    open_checkpoint(path).close()
    assert sum(amounts) < 2**20


def test_a_fifo_in_the_place_of_a_file(small: Path, monkeypatch: pytest.MonkeyPatch):
    """A wait for a writer that never comes: the file was looked at, and swapped before it was opened."""
    before = small.stat()
    small.unlink()
    os.mkfifo(small)
    monkeypatch.setattr(cursor, "stat_path", lambda path: before)
    with pytest.raises(FormatError, match="is a FIFO"):
        SourceFile.open(small)


@pytest.mark.parametrize("call", ["open", "pread"])
def test_what_the_system_refuses(small: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    """A traceback, or exit 3, for a file without rights or a disk that fails."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(StorageError, match=f"^{small}: cannot be .*: Permission denied"):
        open_checkpoint(small)


def test_a_folder_that_cannot_be_listed(small: Path, monkeypatch: pytest.MonkeyPatch):
    """A traceback, or exit 3, for a folder without rights."""

    def refuse(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(StorageError, match="cannot be listed: Permission denied"):
        open_checkpoint(small.parent)
