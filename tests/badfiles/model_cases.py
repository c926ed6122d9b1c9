"""Bad model files, which no command opens: GGUF, SafeTensors, folders and their indices.

Declared sizes are huge and files are small: what reads or reserves before it compares is caught by the memory
that the tests allow.
"""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

from tests.badfiles.builders import (
    Tensor,
    array_header,
    config,
    entry,
    gguf_file,
    gguf_head,
    safetensors_file,
    safetensors_raw,
    small_gguf,
    small_safetensors,
    string,
    tensor_entry,
    text,
    u32,
)
from tests.badfiles.case import BAD, IO, Case, file, files

HUGE = 2**40


def _gguf(name: str, data: bytes, says: str) -> Case:
    return Case(f"gguf-{name}", file("model.gguf", data), BAD, says)


def _pair(name: str, value: bytes, says: str) -> Case:
    """A file of one metadata pair."""
    return _gguf(name, gguf_head(pairs=1) + text("key") + value + bytes(64), says)


def _tensor(name: str, tensor: Tensor, says: str, data: int = 64) -> Case:
    """A file of one tensor."""
    return _gguf(name, gguf_file([], [tensor], bytes(data)), says)


def _safe(name: str, data: bytes, says: str) -> Case:
    return Case(f"safetensors-{name}", file("model.safetensors", data), BAD, says)


def _header(name: str, entries: dict[str, Any], says: str, data: int = 16) -> Case:
    return _safe(name, safetensors_file(entries, bytes(data)), says)


def _folder(name: str, contents: dict[str, bytes], says: str) -> Case:
    return Case(name, files(contents), BAD, says)


def _part(name: str, parts: dict[int, bytes], says: str) -> Case:
    """A folder of parts of a GGUF, by their numbers from 1."""
    return _folder(f"part-{name}", {f"m-{number:05}-of-00002.gguf": data for number, data in parts.items()}, says)


def _index(name: str, weight_map: Any, says: str, **extra: bytes) -> Case:
    """A folder of two shards, a.safetensors of wa and b.safetensors of wb, with this weight_map."""
    shards = {f"{shard}.safetensors": _one(f"w{shard}") for shard in "ab"}
    shards |= {f"{shard}.safetensors": data for shard, data in extra.items()}
    shards["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return _folder(f"index-{name}", shards, says)


def _config(name: str, data: bytes, says: str) -> Case:
    return _folder(f"config-{name}", {"model.safetensors": small_safetensors(), "config.json": data}, says)


def _one(name: str) -> bytes:
    return safetensors_file({name: entry("F32", [4], 0, 16)}, bytes(16))


def _missing(folder: Path) -> Path:
    return folder / "absent.gguf"


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file" / "model.gguf"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "model.gguf")
    return folder / "model.gguf"


def _fifo_config(folder: Path) -> Path:
    (folder / "model.safetensors").write_bytes(small_safetensors())
    os.mkfifo(folder / "config.json")
    return folder


def _link_loop(folder: Path) -> Path:
    (folder / "model.gguf").symlink_to(folder / "model.gguf")
    return folder / "model.gguf"


def _sparse(folder: Path) -> Path:
    """Four terabytes of hole behind a header that wants a string of one."""
    path = folder / "model.gguf"
    path.write_bytes(gguf_head(pairs=1) + text("key") + struct.pack("<IQ", 8, HUGE))
    os.truncate(path, 4 * HUGE)
    return path


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), b"")
    return stream.getvalue()


F32_8 = Tensor("w", 0, (8,), 0)
_PARTS = gguf_file([("split.no", u32(0)), ("split.count", u32(2))], [F32_8], bytes(32))
MAP = {"wa": "a.safetensors", "wb": "b.safetensors"}

SPECIAL = [
    Case("missing", _missing, BAD, "no such file or folder"),
    Case("below-a-file", _below_a_file, BAD, "no such file or folder"),
    Case("nul-in-path", lambda folder: folder / "a\0b", BAD, "no such file or folder"),
    Case("fifo", _fifo, BAD, "is a FIFO"),
    Case("device", lambda _: Path("/dev/zero"), BAD, "is a character device"),
    Case("link-loop", _link_loop, IO, "cannot be opened"),
    Case("sparse", _sparse, BAD, "past the header limit of 268435456 bytes; raise it with --limit header_bytes=N"),
    Case("empty-folder", lambda folder: folder, BAD, "holds no model: looked for model.safetensors"),
    _folder("pytorch-folder", {"pytorch_model.bin": _zip()}, "holds no model"),
    _folder("two-ggufs", {"a.gguf": b"", "b.gguf": b""}, "holds 'a.gguf', 'b.gguf'; pass one of them"),
    _folder("shards-without-index", {"a.safetensors": b"", "b.safetensors": b""}, "and no model.safetensors.index"),
    Case("empty", file("x.gguf", b""), BAD, "is empty (0 bytes)"),
    Case("one-byte", file("x.gguf", b"G"), BAD, "has 1 bytes (47)"),
    Case("seven-bytes", file("x.safetensors", bytes(7)), BAD, "has 7 bytes"),
    Case(
        "text",
        file("x.gguf", b"not a model at all"),
        BAD,
        "found 6e 6f 74 20 61 20 6d 6f 64 65 6c 20 61 74 20 61",
    ),
    Case("gzip", file("x.gguf", gzip.compress(small_gguf(), mtime=0)), BAD, "looks like gzip data"),
    Case("zip", file("x.bin", _zip()), BAD, "looks like a zip archive, as PyTorch's .bin and .pt are"),
    Case(
        "pickle",
        file("x.pt", pickle.dumps({"a": list(range(99))}, protocol=4)),
        BAD,
        "a Python pickle, which is never loaded",
    ),
    Case("lfs", file("x.gguf", b"version https://git-lfs.github.com/spec/v1\n"), BAD, "run git lfs pull"),
    Case("html", file("x.gguf", b"<!DOCTYPE html><html>404</html>"), BAD, "looks like a web page"),
    Case("json", file("x.json", b'{"weight_map": {"a": "b"}}'), BAD, "looks like JSON: pass the folder"),
    Case("zeros", file("x.gguf", bytes(4096)), BAD, "looks like zeros, an unfinished download"),
    Case("ggjt", file("x.bin", b"tjgg" + bytes(64)), BAD, "looks like ggjt of before August 2023"),
]

GGUF = [
    _gguf("magic-alone", b"GGUF\3\0\0\0", "the GGUF header at byte 0 needs 24 bytes, 8 are left"),
    _gguf("v1", b"GGUF" + struct.pack("<III", 1, 0, 0) + bytes(16), "is GGUF version 1"),
    _gguf("v4", gguf_head(4), "declares GGUF version 4 at byte 4; versions 2 and 3 are read"),
    _gguf("big-endian-v1", b"GGUF" + struct.pack(">IQQ", 1, 0, 0), "is GGUF version 1"),
    _gguf("big-endian-v9", b"GGUF" + struct.pack(">IQQ", 9, 0, 0), "declares GGUF version 9 at byte 4"),
    _gguf(
        "big-endian-pairs",
        b"GGUF" + struct.pack(">IQQ", 3, 0, 60_000),
        "the metadata of 60000 keys at byte 24 needs 780000 bytes",
    ),
    _gguf(
        "big-endian-key",
        b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + struct.pack(">Q", HUGE) + bytes(16),
        "metadata key 0 at byte 32 needs 1099511627776 bytes",
    ),
    _gguf("pairs", gguf_head(pairs=60_000), "the metadata of 60000 keys at byte 24 needs 780000 bytes"),
    _gguf("pairs-limit", gguf_head(pairs=2**63), "metadata keys, the limit is 65536"),
    _gguf("tensors", gguf_head(tensors=100_000), "the table of 100000 tensors at byte 24 needs 2400000 bytes"),
    _gguf("tensors-limit", gguf_head(tensors=2**64 - 1), "tensors, the limit is 200000"),
    _gguf(
        "key-length",
        gguf_head(pairs=1) + struct.pack("<Q", 2**64 - 1) + bytes(16),
        "metadata key 0 at byte 32",
    ),
    _gguf("key-utf8", gguf_head(pairs=1) + text(b"\xff\xfe") + u32(1), "is not UTF-8: ff fe"),
    _gguf("key-twice", gguf_file([("key", u32(1)), ("key", u32(2))], []), "'key' at byte 43 appears twice"),
    _pair("value-type", struct.pack("<I", 13), "metadata 'key' has the unknown value type 13"),
    _pair("string-length", struct.pack("<IQ", 8, HUGE), "needs 1099511627776 bytes, 64 are left"),
    _pair("string-utf8", string(b"\xc3\x28"), "is not UTF-8: c3 28"),
    _pair("bool", struct.pack("<IB", 7, 7), "is a bool of value 7"),
    _pair("array-length", array_header(0, HUGE), "needs 1099511627776 bytes"),
    _pair("array-wraps", array_header(12, 2**61), "needs 18446744073709551616 bytes"),
    _pair("array-strings", array_header(8, HUGE), "needs 8796093022208 bytes"),
    _pair(
        "array-string-length",
        array_header(8, 1) + struct.pack("<Q", 2**63),
        "needs 9223372036854775808 bytes",
    ),
    _pair("array-nested", array_header(9, 1), "is an array of arrays"),
    _pair("array-type", array_header(77, 1), "has the unknown value type 77"),
    _gguf("header-cut", small_gguf()[:150], "are left; the file is cut or corrupt"),
    _gguf(
        "name-length",
        gguf_head(tensors=1) + struct.pack("<Q", 2**62) + bytes(32),
        "the name of tensor 0 at byte 32",
    ),
    _gguf(
        "name-utf8",
        gguf_head(tensors=1) + text(b"\x80") + bytes(32),
        "the name of tensor 0 at byte 24 is not UTF-8",
    ),
    _gguf("name-twice", gguf_file([], [F32_8, F32_8], bytes(64)), "tensor 'w' at byte 57 is declared twice"),
    _gguf(
        "dimensions",
        gguf_head(tensors=1) + text("w") + struct.pack("<I", 2**31) + bytes(64),
        "tensor 'w' has 2147483648 dimensions; up to 8 are allowed",
    ),
    _tensor("shape-wraps", Tensor("w", 0, (2**32, 2**32), 0), "more elements than 60 bits can count"),
    _tensor("shape-wraps-with-zero", Tensor("w", 0, (2**63, 0), 0), "no element, and extents beyond 16777216"),
    # numpy counts an empty array without its zeros; what is kept for each of its columns no byte of the file bounds.
    _tensor("shape-wraps-in-bytes", Tensor("w", 0, (2**61, 0), 0), "no element, and extents beyond 16777216"),
    _tensor("shape-empty-and-wide", Tensor("w", 35, (2**40, 0), 0), "no element, and extents beyond 16777216"),
    _tensor("shape-large", Tensor("w", 0, (2**20, 2**20), 0), "truncated: its tensors end at byte 4398046511200"),
    _tensor("shape-block", Tensor("w", 8, (33,), 0), "the shape (33,), which Q8_0 (type id 8) cannot store"),
    _tensor("shape-i2_s", Tensor("w", 36, (3,), 0), "the shape (3,), which I2_S (type id 36) cannot store"),
    _tensor("offset-unaligned", Tensor("w", 0, (8,), 33), "data byte 33, which is no multiple of the alignment 32"),
    _tensor("offset-wraps", Tensor("w", 0, (8,), 2**64 - 32), "past the end of any file"),
    _tensor("offset-past-end", Tensor("w", 0, (8,), HUGE), "truncated: its tensors end at byte 1099511627872"),
    _gguf(
        "overlap",
        gguf_file([], [Tensor("left", 0, (16,), 0), Tensor("right", 0, (8,), 32)], bytes(64)),
        "tensors 'left' (bytes 128 to 192) and 'right' (from 160) overlap",
    ),
    _gguf(
        "same-place",
        gguf_file([], [Tensor("left", 0, (8,), 0), Tensor("right", 0, (8,), 0)], bytes(64)),
        "tensors 'left' (bytes 128 to 160) and 'right' (from 128) overlap",
    ),
    _gguf(
        "truncated",
        gguf_file([], [Tensor("whole", 0, (8,), 0), Tensor("cut", 0, (8,), 32)], bytes(63)),
        "its tensors end at byte 160, the file has 159 bytes; the first one cut is 'cut' at byte 128",
    ),
    _gguf("no-data", gguf_head(tensors=1) + tensor_entry(F32_8), "the first one cut is 'w' at byte 64"),
    _gguf("alignment-0", gguf_file([("general.alignment", u32(0))], []), "general.alignment is 0"),
    _gguf(
        "alignment-48",
        gguf_file([("general.alignment", u32(48))], []),
        "general.alignment is 48; a power of two",
    ),
    _gguf(
        "alignment-large",
        gguf_file([("general.alignment", u32(2**31))], []),
        "general.alignment is 2147483648",
    ),
    _gguf("alignment-text", gguf_file([("general.alignment", string("32"))], []), "general.alignment is '32'"),
    _tensor("hostile-name", Tensor("a\n\x1b[31m\u202e[/nope]", 0, (8,), 33), r"tensor 'a\n\x1b[31m\u202e[/nope]'"),
    _tensor("long-name", Tensor("n" * 5000, 0, (8,), 33), "... (5000 characters)"),
]

SAFETENSORS = [
    _safe("length", safetensors_raw(b"{}", length=HUGE), "declares 1099511627776 bytes, 2 are left"),
    _safe("length-wraps", safetensors_raw(b"{}", length=2**64 - 8), "bytes, 2 are left"),
    _safe("cut-in-header", small_safetensors()[:100], "the header at byte 8 declares"),
    _safe("no-header", safetensors_raw(b"", bytes(8)), "is neither GGUF nor SafeTensors"),
    _safe("not-json", safetensors_raw(b"{'a': 1}"), "the header is broken at character 1"),
    _safe("two-values", safetensors_raw(b"{}{}"), "the header is broken at character 2: Extra data"),
    _safe("bom", safetensors_raw(b"\xef\xbb\xbf{}"), "is neither GGUF nor SafeTensors"),
    _safe("utf8", safetensors_raw(b'{"\xff": 1}'), "the header is not UTF-8 at byte 2"),
    _safe("surrogate", safetensors_raw(b'{"__metadata__": {"a": "\\ud800"}}'), "half of a surrogate pair"),
    _safe("deep", safetensors_raw(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "is nested too deeply"),
    _safe("key-twice", safetensors_raw(b'{"a": 1, "a": 2}'), "the header holds the key 'a' twice"),
    _safe("nan", safetensors_raw(b'{"a": NaN}'), "the header holds NaN, which is not JSON"),
    _safe("infinite", safetensors_raw(b'{"a": 1e999}'), "holds '1e999', past the largest 64-bit float"),
    _safe("long-integer", safetensors_raw(b'{"a": ' + b"9" * 5000 + b"}"), "an integer of 5000 digits"),
    _safe("values", safetensors_raw(b'{"a":[' + b"1," * 1_750_000 + b"1]}"), "holds more than 1750000 values"),
    _safe(
        "json-limit",
        safetensors_raw(b"{" + bytes(17 << 20)),
        "of JSON, the limit is 16777216; raise it with --limit json_bytes=N",
    ),
    _safe("many", safetensors_raw(b'{"a":[' + b"{}," * 900_000 + b"{}]}"), "more than 200000 tensors"),
    _header("metadata", {"__metadata__": {"a": 1}}, "__metadata__ of the header must map strings to strings"),
    _header("entry", {"w": []}, "tensor 'w' must hold dtype, shape and data_offsets"),
    _header("no-dtype", {"w": {"shape": [4], "data_offsets": [0, 16]}}, "must hold dtype, shape and data_offsets"),
    _header("extra-field", {"w": entry("F32", [4], 0, 16) | {"x": 1}}, "and nothing else"),
    _header("dtype-number", {"w": entry("F32", [4], 0, 16) | {"dtype": 1}}, "must hold dtype"),
    _header("shape-negative", {"w": entry("F32", [-4], 0, 16)}, "has a shape that is no list"),
    _header("shape-bool", {"w": entry("U8", [True], 0, 1)}, "has a shape that is no list"),
    _header("shape-float", {"w": entry("F32", [], 0, 16) | {"shape": [4.0]}}, "has a shape that is no list"),
    _header("shape-long", {"w": entry("F32", [1] * 99, 0, 4)}, "up to 8 counts"),
    _header(
        "shape-wraps", {"w": entry("F32", [2**62, 4], 0, 16)}, "73786976294838206464 bytes, but data_offsets span 16"
    ),
    _header("offsets-reversed", {"w": entry("F32", [0], 16, 0)}, "has data_offsets that are no [begin, end]"),
    _header("offsets-three", {"w": entry("F32", [4], 0, 16) | {"data_offsets": [0, 1, 2]}}, "no [begin, end]"),
    _header("size", {"w": entry("F32", [5], 0, 16)}, "is F32 [5], 20 bytes, but data_offsets span 16"),
    _header("hole-first", {"w": entry("F32", [2], 8, 16)}, "8 bytes before tensor 'w' belong to no tensor"),
    _header("hole", {"a": entry("U8", [4], 0, 4), "b": entry("U8", [8], 8, 16)}, "4 bytes before tensor 'b'"),
    _header("overlap", {"a": entry("U8", [8], 0, 8), "b": entry("U8", [12], 4, 16)}, "tensors 'a' (up to byte"),
    _header("truncated", {"a": entry("U8", [8], 0, 8), "b": entry("U8", [12], 8, 20)}, "the first one cut is 'b'"),
    _header("unknown-huge", {"w": entry("F3", [2**62, 4], 0, 16)}, "more elements than 60 bits can count"),
    _header("shape-wraps-with-zero", {"w": entry("F32", [0, 2**61], 0, 0)}, "no element, and extents beyond 16777216"),
]

FOLDERS = [
    _index("parent", MAP | {"wa": "../a.safetensors"}, "'../a.safetensors'; a plain file name is allowed"),
    _index("absolute", MAP | {"wa": "/etc/passwd"}, "'/etc/passwd'; a plain file name is allowed"),
    _index("dots", MAP | {"wa": ".."}, "'..'; a plain file name is allowed"),
    _index("number", MAP | {"wa": 1}, "is said to be in 1; a plain file name is allowed"),
    _index(
        "missing-shard",
        MAP | {"wc": "c.safetensors"},
        "names the file 'c.safetensors', which is not beside it",
    ),
    _index("extra-shard", MAP, "'z.safetensors' is no shard", z=_one("wz")),
    _index("missing-tensor", MAP | {"wc": "b.safetensors"}, "puts tensor 'wc' in b.safetensors; no file holds it"),
    _index(
        "extra-tensor",
        {"wa": "a.safetensors", "x": "b.safetensors"},
        "b.safetensors holds tensor 'wb', which",
    ),
    _index(
        "other-shard",
        {"wa": "b.safetensors", "wb": "a.safetensors"},
        "in b.safetensors; it is in a.safetensors",
    ),
    _index("held-twice", MAP, "tensor 'wa' is held twice, by a.safetensors and b.safetensors", b=_one("wa")),
    _index("no-map", {}, "has no weight_map of tensors to files"),
    _index("list", ["wa"], "has no weight_map of tensors to files"),
    _index("gguf-shard", MAP, "its shards are not all SafeTensors", b=small_gguf()),
    _index("and-single", MAP, "holds both model.safetensors and model.safetensors.index.json", model=_one("w")),
    _part("missing", {1: _PARTS}, "is one of 2 parts, and 'm-00002-of-00002.gguf' is not beside it"),
    _part("misnamed", {1: _PARTS, 2: _PARTS}, "says it is part 0 (from 0) of 2, its name says 1 of 2"),
    _folder("index-broken", {"model.safetensors.index.json": b'{"weight_map": '}, "JSON is broken at character 15"),
    _config("broken", b'{"a": }', "config.json is broken at character 6"),
    _config("list", b"[1]", "config.json is an array; an object {...} was expected"),
    _config("empty", b"", "config.json is broken at character 0"),
    _config("utf8", b'{"a": "\xff"}', "config.json is not UTF-8 at byte 7"),
    _config("bom", b"\xef\xbb\xbf{}", "config.json is broken at character 0"),
    _config("key-twice", b'{"hidden_size": 1, "hidden_size": 2}', "holds the key 'hidden_size' twice; keep one"),
    _config("nan", b'{"rms_norm_eps": NaN}', "config.json holds NaN"),
    _config("long-integer", b'{"vocab_size": 18446744073709551616}', "config.json holds an integer of 20 digits"),
    _config("deep", json.dumps(config())[:-1].encode() + b', "x": ' + b"[" * 99_999, "is nested too deeply"),
    Case("config-fifo", _fifo_config, BAD, "is a FIFO"),
]

MODELS = [*SPECIAL, *GGUF, *SAFETENSORS, *FOLDERS]
