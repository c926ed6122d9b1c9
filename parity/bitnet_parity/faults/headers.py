"""Faults of a file and not of its weights: what its header says, what was left out, cut off, or stored as another type.

The graph that comes of one may be right (a wrong file_type), wrong (a scale divided for multiplied), or refused by a
loader that looks. `Fault.refused` says where this engine refuses.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bitnet_engine.errors import SettingError
from bitnet_engine.formats import QuantType, Trits, open_checkpoint
from bitnet_engine.naming import canonical
from bitnet_engine.tokenizer import load_tokenizer
from bitnet_parity.faults.draft import Draft, Place, split
from bitnet_parity.faults.fault import (
    FILE,
    GGUF,
    HF_PACKED,
    I2_S,
    LOADED,
    MASTER,
    STORAGES,
    TQ1_0,
    TQ2_0,
    Fault,
    Fingerprint,
    Kind,
)
from bitnet_parity.faults.rewrite import Rewrite

FILE_TYPES = {I2_S: 36, TQ1_0: 40, TQ2_0: 40}
"""general.file_type as the writers of another type number it (docs/formats.md §2.3)."""
WRONG_TEMPLATE = "{% for m in messages %}{{ 'Human: ' + m['content'] + '\\n\\nBITNETAssistant: ' }}{% endfor %}"
"""As in the official GGUF of 2B-4T, which was trained with another."""
TL1_ID = 38
"""The forks' type of the same length as I2_S, with other codes."""


def _place(detail: str, tensor: str | None = None) -> Place:
    layer = split(tensor)[0] if tensor and tensor.startswith("blk.") else None
    return Place(layer, "file", tensor, (), detail)


def _no_bos(draft: Draft) -> Place:
    draft.drops_bos = True
    return Place(None, "tokenizer", None, (), "no text begins with BOS")


def _bos_dropped(rewrite: Rewrite) -> Place:
    if load_tokenizer(rewrite.checkpoint).bos is None:
        raise SettingError(f"{rewrite.checkpoint.path}: its tokenizer puts no BOS before a text.")
    if rewrite.gguf:
        rewrite.metadata["tokenizer.ggml.add_bos_token"] = False
    else:
        tokenizer = _tokenizer(rewrite)
        tokenizer["post_processor"] = None
        rewrite.files["tokenizer.json"] = orjson.dumps(tokenizer)
    return Place(None, "tokenizer", None, (), "no text begins with BOS")


def _bos_twice(rewrite: Rewrite) -> Place:
    tokenizer = _tokenizer(rewrite)
    found = tokenizer["post_processor"] or {}
    template = next((step for step in found.get("processors", [found]) if "single" in step), None)
    if template is None:
        raise SettingError(f"{rewrite.checkpoint.path}: its tokenizer puts nothing before a text.")
    template["single"].insert(0, template["single"][0])
    rewrite.files["tokenizer.json"] = orjson.dumps(tokenizer)
    return Place(None, "tokenizer", None, (), "every text begins with BOS twice")


def _tokenizer(rewrite: Rewrite) -> dict[str, Any]:
    if "tokenizer.json" not in rewrite.files:
        raise SettingError(f"{rewrite.checkpoint.path}: there is no tokenizer.json for this fault to change.")
    return orjson.loads(rewrite.files["tokenizer.json"])


def _no_pre(rewrite: Rewrite) -> Place:
    if rewrite.metadata.pop("tokenizer.ggml.pre", None) is None:
        raise SettingError(f"{rewrite.checkpoint.path}: has no tokenizer.ggml.pre to lose.")
    return Place(None, "tokenizer", None, (), "tokenizer.ggml.pre is gone: the default rule splits the text")


def _set(key: str, value: object, operation: str = "file") -> Callable[[Rewrite], Place]:
    def rewrite(file: Rewrite) -> Place:
        file.metadata[key] = value
        return Place(None, operation, None, (), f"{key} is {value!r:.40}")

    return rewrite


def _file_type(rewrite: Rewrite) -> Place:
    rewrite.metadata["general.file_type"] = FILE_TYPES[rewrite.storage]
    return _place(f"general.file_type is {FILE_TYPES[rewrite.storage]}, of another type")


def _silently_floats(rewrite: Rewrite) -> Place:
    for name in list(rewrite.weights()):
        if isinstance(tensor := rewrite.read(name), Trits):
            rewrite.put(name, tensor, QuantType.F16)
    return _place("all matrices are F16, and general.file_type still says I2_S")


def _in_place(rewrite: Rewrite) -> Place:
    rewrite.metadata["general.architecture"] = "bitnet-25"
    return _place("general.architecture was edited and the keys that bear the name were not")


def _other_meaning(rewrite: Rewrite) -> Place:
    quantization = dict(rewrite.metadata["quantization_config"])
    if rewrite.checkpoint.scale_meaning() == "multiply":
        quantization.pop("linear_class", None)
        quantization.pop("quantization_mode", None)
        words = "linear_class is gone: scales that multiply are divided by"
    else:
        quantization |= {"linear_class": "autobitlinear", "quantization_mode": "offline"}
        words = "linear_class is autobitlinear: scales that divide are multiplied with"
    rewrite.metadata["quantization_config"] = quantization
    return Place(None, "attn_q", None, (), words)


def _without_sub_norms(rewrite: Rewrite) -> Place:
    names = [name for name in rewrite.weights() if name.endswith("sub_norm.weight")]
    if not names:
        raise SettingError(f"{rewrite.checkpoint.path}: the model has no sub norms.")
    for name in names:
        rewrite.drop(name)
    return _place(f"{len(names)} sub norms were dropped")


def _without_scale(rewrite: Rewrite) -> Place:
    name, _ = rewrite.matrix()
    rewrite.drop_scale(name)
    return _place("its weight_scale was dropped", name)


def _fallback(rewrite: Rewrite) -> Place:
    name, matrix = rewrite.matrix()
    rewrite.put(name, matrix.dense(), QuantType.Q4_0)
    return _place("is stored as Q4_0, as converters do with rows that do not fit", name)


def _declared_otherwise(rewrite: Rewrite) -> Place:
    name, _ = rewrite.matrix()

    def patch(path: Path) -> None:
        data = path.read_bytes()
        spelled = name.encode()
        start = data.index(struct.pack("<Q", len(spelled)) + spelled) + 8 + len(spelled)
        dimensions = struct.unpack_from("<I", data, start)[0]
        with path.open("r+b") as stream:
            stream.seek(start + 4 + 8 * dimensions)
            stream.write(struct.pack("<I", TL1_ID))

    rewrite.after.append(patch)
    return _place(f"is I2_S and declared as type {TL1_ID}, TL1", name)


def _zero_tail(rewrite: Rewrite) -> Place:
    matrices = [t for t in rewrite.checkpoint.tensors.values() if rewrite.checkpoint.is_ternary(t.name)]
    last = canonical(max(matrices, key=lambda tensor: tensor.offset).name)
    stored = rewrite.stored_name(last)

    def patch(path: Path) -> None:
        with open_checkpoint(path) as written:
            info = written.tensors[stored]
            behind = [t.name for t in written.tensors.values() if t.offset >= info.offset]
        start, size = info.offset + info.nbytes // 2, path.stat().st_size
        with path.open("r+b") as stream:
            stream.truncate(start)
            stream.truncate(size)  # what a file grows by is zeros
        rewrite.rewritten += map(canonical, behind)

    rewrite.after.append(patch)
    return Place(split(last)[0], split(last)[1], last, (), "zeros from its middle to the end of the file")


def _cut(rewrite: Rewrite) -> Place:
    def patch(path: Path) -> None:
        with path.open("r+b") as stream:
            stream.truncate(path.stat().st_size * 3 // 4)

    rewrite.after.append(patch)
    return _place("the last quarter of the file is missing")


def _fault(
    name: str, summary: str, where: str, rewrite: Callable[[Rewrite], Place], kind: Kind = "header", **more: object
) -> Fault:
    fields: dict[str, object] = {"targets": FILE} | more
    return Fault(name=name, summary=summary, where=where, kind=kind, rewrite=rewrite, **fields)  # pyright: ignore[reportArgumentType]


_IDS, _PRE = Fingerprint.IDS, "tokenizer.ggml.pre"
FAULTS = (
    _fault(
        "bos-missing",
        "no BOS before a text",
        "tokenizer",
        _bos_dropped,
        "tokenizer",
        apply=_no_bos,
        targets=LOADED,
        bugs=(14,),
        fingerprint=_IDS,
    ),
    _fault(
        "bos-doubled",
        "BOS twice before a text",
        "tokenizer",
        _bos_twice,
        "tokenizer",
        storages=(HF_PACKED, MASTER),
        refused=(HF_PACKED, MASTER),
        bugs=(14,),
        fingerprint=_IDS,
    ),
    _fault(
        "pre-missing",
        "no rule to split text by",
        _PRE,
        _no_pre,
        "tokenizer",
        storages=GGUF,
        bugs=(12,),
        fingerprint=_IDS,
    ),
    _fault(
        "pre-unknown",
        "a rule that only one converter knows",
        _PRE,
        _set(_PRE, "falcon_e", "tokenizer"),
        "tokenizer",
        storages=GGUF,
        refused=GGUF,
        bugs=(13,),
        fingerprint=_IDS,
    ),
    _fault(
        "template-wrong",
        "the chat template of another model",
        "tokenizer.chat_template",
        _set("tokenizer.chat_template", WRONG_TEMPLATE, "tokenizer"),
        "tokenizer",
        storages=GGUF,
        bugs=(14,),
        fingerprint=_IDS,
    ),
    _fault(
        "file-type-wrong",
        "general.file_type of another type",
        "general.file_type",
        _file_type,
        storages=GGUF,
        bugs=(9,),
    ),
    _fault(
        "i2s-silently-f16",
        "a file that says I2_S and holds F16",
        "general.file_type",
        _silently_floats,
        storages=(I2_S,),
        bugs=(9,),
    ),
    _fault(
        "architecture-edited",
        "the architecture renamed in place, its keys not",
        "general.architecture",
        _in_place,
        storages=GGUF,
        refused=GGUF,
        bugs=(16,),
    ),
    _fault(
        "divide-for-multiply",
        "config.json says the other meaning of weight_scale",
        "quantization_config",
        _other_meaning,
        storages=(HF_PACKED,),
        bugs=(3,),
        fingerprint=Fingerprint.GAIN,
    ),
    _fault("sub-norms-dropped", "no sub norms", "tensors", _without_sub_norms, refused=STORAGES, bugs=(11,)),
    _fault(
        "weight-scale-dropped",
        "a packed matrix without its scale",
        "tensors",
        _without_scale,
        storages=(HF_PACKED,),
        refused=(HF_PACKED,),
        bugs=(11, 17),
    ),
    _fault(
        "fallback-q4-0",
        "one matrix as Q4_0 beside ternary ones",
        "any ternary matrix",
        _fallback,
        storages=GGUF,
        refused=GGUF,
        bugs=(22,),
    ),
    _fault(
        "type-id-other",
        "I2_S under the type id of TL1",
        "tensor table",
        _declared_otherwise,
        storages=(I2_S,),
        refused=(I2_S,),
        bugs=(15,),
    ),
    _fault(
        "zero-tail",
        "a download that ends in zeros",
        "last matrix",
        _zero_tail,
        storages=(*GGUF, HF_PACKED),
        refused=(TQ1_0, TQ2_0),  # whose blocks have scales of 0 then
        bugs=(18,),
        fingerprint=Fingerprint.FEW,
    ),
    _fault("file-cut", "a download that stopped", "end of the file", _cut, refused=STORAGES, bugs=(18,)),
)
"""In the order of docs/diagnose.md."""
