"""Model files byte by byte, right or wrong on purpose; nothing here uses the code under test.

gguf_file([("general.architecture", string("bitnet"))], [Tensor("w", 0, (4,), 0)], data=bytes(16))
safetensors_file({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(16))
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

ALIGNMENT = 32


@dataclass(frozen=True)
class Tensor:
    """An entry of a GGUF tensor table; `extents` in the file's order, the contiguous one first."""

    name: str
    type_id: int
    extents: tuple[int, ...]
    offset: int


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def string(value: str | bytes) -> bytes:
    return struct.pack("<I", 8) + text(value)


def u32(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def f32(value: float) -> bytes:
    return struct.pack("<If", 6, value)


def strings(values: list[str]) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def array_header(element: int, count: int) -> bytes:
    return struct.pack("<IIQ", 9, element, count)


def tensor_entry(tensor: Tensor) -> bytes:
    count = len(tensor.extents)
    return text(tensor.name) + struct.pack(f"<I{count}QIQ", count, *tensor.extents, tensor.type_id, tensor.offset)


def gguf_head(version: int = 3, tensors: int = 0, pairs: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def gguf_file(
    pairs: list[tuple[str, bytes]], tensors: list[Tensor], data: bytes = b"", *, alignment: int = ALIGNMENT
) -> bytes:
    """Return a GGUF file whose counts are those of its lists."""
    header = gguf_head(3, len(tensors), len(pairs))
    header += b"".join(text(key) + value for key, value in pairs)
    header += b"".join(map(tensor_entry, tensors))
    return header + bytes(-len(header) % alignment) + data


def small_gguf() -> bytes:
    """Return a sound file: every kind of metadata, a dense, a TQ2_0 and an I2_S tensor."""
    pairs = [
        ("general.architecture", string("bitnet-b1.58")),
        ("general.alignment", u32(32)),
        ("bitnet-b1.58.attention.layer_norm_rms_epsilon", f32(1e-5)),
        ("tokenizer.ggml.add_bos_token", struct.pack("<IB", 7, 1)),
        ("tokenizer.ggml.tokens", strings(["a", "b", "ab"])),
        ("tokenizer.ggml.token_type", array_header(5, 3) + struct.pack("<3i", 1, 1, 3)),
    ]
    dense, tq2_0 = struct.pack("<8f", *range(8)), bytes([0x55] * 64) + struct.pack("<e", 0.5)
    i2_s = bytes([0x55] * 64) + struct.pack("<f28x", 0.25)
    data = dense + tq2_0.ljust(96, b"\0") + i2_s
    tensors = [
        Tensor("output_norm.weight", 0, (8,), 0),
        Tensor("blk.0.attn_q.weight", 35, (256, 1), 32),
        Tensor("blk.0.attn_k.weight", 36, (128, 2), 128),
    ]
    return gguf_file(pairs, tensors, data)


def big_endian_gguf() -> bytes:
    """Return a sound big-endian file: numbers, strings, an array, a dense and a TQ2_0 tensor."""

    def name(value: str) -> bytes:
        return struct.pack(">Q", len(value)) + value.encode()

    def tensor(key: str, type_id: int, extents: tuple[int, ...], offset: int) -> bytes:
        count = len(extents)
        return name(key) + struct.pack(f">I{count}QIQ", count, *extents, type_id, offset)

    header = b"GGUF" + struct.pack(">IQQ", 3, 2, 3)
    header += name("general.alignment") + struct.pack(">II", 4, 32)
    header += name("tokenizer.ggml.tokens") + struct.pack(">IIQ", 9, 8, 2) + name("a") + name("bc")
    header += name("tokenizer.ggml.token_type") + struct.pack(">IIQ2i", 9, 5, 2, 1, 3)
    header += tensor("output_norm.weight", 0, (8,), 0) + tensor("blk.0.attn_q.weight", 35, (256, 1), 32)
    data = struct.pack(">8f", *range(8)) + bytes([0x55] * 64) + struct.pack(">e", 0.5)
    return header + bytes(-len(header) % ALIGNMENT) + data


def safetensors_raw(header: bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a SafeTensors file with any bytes for a header, and any length declared for them."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def safetensors_file(entries: dict[str, Any], data: bytes = b"") -> bytes:
    return safetensors_raw(json.dumps(entries).encode(), data)


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def small_safetensors() -> bytes:
    """Return a sound file: a packed matrix [8, 2] with its scale, and a norm."""
    entries = {
        "__metadata__": {"format": "pt"},
        "model.norm.weight": entry("F32", [2], 0, 8),
        "model.layers.0.self_attn.q_proj.weight": entry("U8", [2, 2], 8, 12),
        "model.layers.0.self_attn.q_proj.weight_scale": entry("BF16", [1], 12, 14),
    }
    return safetensors_file(entries, struct.pack("<2f", 1.0, 2.0) + b"\x55" * 4 + b"\x00\x3f")


def config(linear_class: str | None = "autobitlinear", **other: Any) -> dict[str, Any]:
    """Return the part of config.json that formats read."""
    quantization = {"quant_method": "bitnet"} | ({"linear_class": linear_class} if linear_class else {})
    return {"architectures": ["BitNetForCausalLM"], "quantization_config": quantization} | other
