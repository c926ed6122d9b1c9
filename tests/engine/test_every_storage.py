"""The sample in storages that it is not shipped in: each loads as the same model, to the bit."""

from collections.abc import Callable
from pathlib import Path

import gguf
import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import Checkpoint, I2SLayout, MetadataArray, OutTensor, QuantType, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s, pack_iq1_bn, pack_iq2_bn
from bitnet_engine.loading import load_checkpoint

Pack = Callable[[np.ndarray, float], bytes]


def leaves(model: engine.Model) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.weights)]


def rewrite(source: Checkpoint, path: Path, kind: QuantType, pack: Pack) -> Path:
    """Write `source` with its matrices as `kind`."""

    def tensor(name: str) -> OutTensor:
        info = source.tensors[name]
        if not source.is_ternary(name):
            return OutTensor(name, info.type, info.shape, lambda: source.read_bytes(name))
        trits = source.read_ternary(name)
        scale = trits.uniform_scale()
        assert scale is not None
        return OutTensor(name, kind, info.shape, lambda: pack(trits.values, scale))

    write_gguf(path, source.metadata, [tensor(name) for name in source.tensors])
    return path


STORAGES: list[tuple[QuantType, Pack, I2SLayout | None]] = [
    (QuantType.IQ1_BN, pack_iq1_bn, None),
    (QuantType.IQ2_BN, pack_iq2_bn, None),
    (QuantType.I2_S, lambda trits, scale: pack_i2_s(trits, scale, I2SLayout.B), I2SLayout.B),
    (QuantType.I2_S, lambda trits, scale: pack_i2_s(trits, scale, I2SLayout.C), I2SLayout.C),
]


@pytest.mark.parametrize(("kind", "pack", "layout"), STORAGES)
def test_other_packings(sample, samples, tmp_path, kind: QuantType, pack: Pack, layout: I2SLayout | None):
    """A storage that is listed as read, and whose shapes or scales the model cannot take."""
    with engine.open_checkpoint(samples / "nano" / "model-tq2_0.gguf") as source:
        path = rewrite(source, tmp_path / "x.gguf", kind, pack)
    with engine.open_checkpoint(path, i2s_layout=layout) as checkpoint:
        twin = load_checkpoint(checkpoint)
    assert twin.config == sample.config
    assert all(np.array_equal(a, b) for a, b in zip(leaves(sample), leaves(twin), strict=True))


def big_endian(source: Checkpoint, path: Path) -> Path:
    """Write `source`, whose tensors are F32, F16 or TQ2_0, through gguf-py's big-endian writer."""
    writer = gguf.GGUFWriter(path, str(source.metadata["general.architecture"]), endianess=gguf.GGUFEndian.BIG)
    for key, value in source.metadata.items():
        if isinstance(value, MetadataArray):
            writer.add_array(key, value.tolist())
        elif key != "general.architecture":
            kind = gguf.GGUFValueType.UINT32 if type(value) is int else gguf.GGUFValueType.get_type(value)
            writer.add_key_value(key, value, kind)
    for name, info in source.tensors.items():
        data = np.frombuffer(source.read_bytes(name), np.uint8)
        if info.type is QuantType.TQ2_0:
            blocks = data.reshape(info.shape[0], -1, 66)
            swapped = np.concatenate([blocks[..., :64], blocks[..., :63:-1]], axis=2).reshape(info.shape[0], -1)
            writer.add_tensor(name, swapped, raw_dtype=gguf.GGMLQuantizationType.TQ2_0)
        else:
            dtype = np.dtype("<f4" if info.type is QuantType.F32 else "<f2")
            writer.add_tensor(name, data.view(dtype).reshape(info.shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_big_endian(sample, samples, tmp_path):
    """A big-endian model whose header reads well and whose weights are noise."""
    with engine.open_checkpoint(samples / "nano" / "model-tq2_0.gguf") as source:
        path = big_endian(source, tmp_path / "big.gguf")
    assert path.read_bytes()[4:8] == b"\0\0\0\3"
    twin = engine.load(path)
    assert twin.config == sample.config
    assert twin.tokenizer.fingerprint() == sample.tokenizer.fingerprint()
    assert all(np.array_equal(a, b) for a, b in zip(leaves(sample), leaves(twin), strict=True))
