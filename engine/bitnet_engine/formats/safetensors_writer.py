"""Writing SafeTensors: the header first, then one tensor at a time, in the bytes that the safetensors library gives.

    for tensor in writing_safetensors(path, [OutTensor("model.norm.weight", QuantType.BF16, (256,), read)]):
        ...                                  # written so far

    for tensor in writing_shards(folder, tensors, max_bytes=5 * 10**9):
        ...

Tensors lie as that library lays them: the wider type first, then by name; shards and their index as transformers has
them. Knows no scales and no config.
"""

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import orjson

from bitnet_engine.files import atomic_file, write_atomic
from bitnet_engine.formats.gguf_writer import OutTensor
from bitnet_engine.formats.hf import INDEX, SINGLE
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


def writing_shards(folder: Path, tensors: Iterable[OutTensor], max_bytes: int | None) -> Iterator[OutTensor]:
    """Write a folder's tensors, yielding each once it is written, in files of at most `max_bytes` of them.

    One file where all fit or `max_bytes` is None; else model-00001-of-0000N.safetensors, filled in the order given, and
    their index. A tensor larger than `max_bytes` has a file of its own (huggingface_hub's
    split_state_dict_into_shards_factory).

    Raises:
        ValueError, StorageError: as `writing_safetensors`.
    """
    shards = _shards(list(tensors), max_bytes)
    if len(shards) == 1:
        yield from writing_safetensors(folder / SINGLE, shards[0])
        return
    stem, suffix = SINGLE.split(".")
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"{stem}-{number:05}-of-{len(shards):05}.{suffix}"
        weight_map |= {tensor.name: name for tensor in shard}
        yield from writing_safetensors(folder / name, shard)
    total = sum(_size(tensor) for shard in shards for tensor in shard)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    write_atomic(folder / INDEX, orjson.dumps(index, option=options))


def _shards(tensors: list[OutTensor], max_bytes: int | None) -> list[list[OutTensor]]:
    shards: list[list[OutTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        size = _size(tensor)
        if max_bytes is not None and shards[-1] and filled + size > max_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += size
    return shards


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
