"""Model files and folders: bytes in, `Checkpoint` out. numpy only, so that `info` answers at once.

    from bitnet_engine.formats import open_checkpoint

    with open_checkpoint("model-TQ2_0.gguf") as checkpoint:
        print(checkpoint.format, len(checkpoint.tensors), checkpoint.findings)

    opening.py       which files, opened     checkpoint.py    tensors read, the model hashed
    gguf_parts.py    a GGUF in parts         hf.py            config.json, shards, scale meaning
    sniff.py         what a file is          strict_json.py   JSON that two parsers agree on
    gguf.py          GGUF header             safetensors.py   SafeTensors header
    gguf_layout.py   offsets and sizes       ternary.py       trits in and out
    metadata.py      GGUF key-values         dense.py         floats out
    ggml_types.py    type ids and sizes      gguf_writer.py   GGUF out
    cursor.py        positional reads        types.py         the nouns
    byte_order.py    big-endian tensors      lookup_tables.py  TL1 and TL2 by their kernel config
    floats.py        floats in and rounded   safetensors_writer.py  SafeTensors out
    limits.py        what a header may ask

Nothing here knows an architecture or a tokenizer.
"""

from bitnet_engine.formats.checkpoint import Checkpoint
from bitnet_engine.formats.gguf_parts import part_names
from bitnet_engine.formats.gguf_writer import Array, OutTensor, Scalar, write_gguf
from bitnet_engine.formats.metadata import MetadataArray
from bitnet_engine.formats.opening import open_checkpoint
from bitnet_engine.formats.types import (
    DEFAULT_LIMITS,
    TERNARY_TYPES,
    ByteOrder,
    Finding,
    I2SLayout,
    Limits,
    QuantType,
    Reading,
    StoredTrits,
    TensorInfo,
    Trits,
)

__all__ = [
    "DEFAULT_LIMITS",
    "TERNARY_TYPES",
    "Array",
    "ByteOrder",
    "Checkpoint",
    "Finding",
    "I2SLayout",
    "Limits",
    "MetadataArray",
    "OutTensor",
    "QuantType",
    "Reading",
    "Scalar",
    "StoredTrits",
    "TensorInfo",
    "Trits",
    "open_checkpoint",
    "part_names",
    "write_gguf",
]
