"""Writing SafeTensors: the header first, then one tensor at a time, in the bytes that the safetensors library gives.

    for tensor in writing_safetensors(path, [OutTensor("model.norm.weight", QuantType.BF16, (256,), read)]):
        ...                                  # written so far

Tensors lie as that library lays them: the wider type first, then by name. Knows no scales and no config.
"""

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import orjson

from bitnet_engine.files import atomic_file
from bitnet_engine.formats.gguf_writer import OutTensor
from bitnet_engine.formats.safetensors import DTYPES
from bitnet_engine.formats.types import quoted

_SPELLING = {kind: (name, width) for name, (kind, width) in DTYPES.items()}


def writing_safetensors(path: Path, tensors: Iterable[OutTensor]) -> Iterator[OutTensor]:
    """Write a SafeTensors file, yielding each tensor once it is written; left early, no file appears.

    Raises:
        ValueError: a name twice, or data whose length is not its shape's.
        StorageError: the file cannot be written; an older one is unchanged.
    """
    ordered = sorted(tensors, key=lambda tensor: (-_SPELLING[tensor.type][1], tensor.name))
    with atomic_file(path) as stream:
        stream.write(_header(ordered))
        for tensor in ordered:
            data, written = tensor.data(), 0
            for piece in [data] if isinstance(data, bytes) else data:
                stream.write(piece)
                written += len(piece)
            del data
            if written != _size(tensor):
                raise ValueError(
                    f"tensor {quoted(tensor.name)}: {written} bytes given, its shape takes {_size(tensor)}"
                )
            yield tensor


def _header(tensors: list[OutTensor]) -> bytes:
    # transformers asks for the format of every file; pt is what it writes itself.
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        if tensor.name in entries:
            raise ValueError(f"two tensors have the name {quoted(tensor.name)}; a name may appear once")
        end = offset + _size(tensor)
        dtype = _SPELLING[tensor.type][0]
        entries[tensor.name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = orjson.dumps(entries)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _size(tensor: OutTensor) -> int:
    return prod(tensor.shape) * _SPELLING[tensor.type][1]
