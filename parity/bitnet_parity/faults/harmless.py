"""Changes that break nothing: rounding that every engine does, and other spellings of the same model.

A diagnosis that calls one of them a fault raises a false alarm. Some change the logits by more than a fault does
(docs/parity.md §5): size is not what tells them apart.
"""

from collections.abc import Callable

import numpy as np

from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.numerics import Numerics
from bitnet_parity.faults.computations import by_blocks
from bitnet_parity.faults.draft import Draft, Place
from bitnet_parity.faults.encoding import kept
from bitnet_parity.faults.fault import ANYWHERE, FILE, GGUF, HF_PACKED, I2_S, MEMORY, Fault
from bitnet_parity.faults.rewrite import Rewrite

EMBEDDING = "token_embd.weight"


def _scales(kind: QuantType) -> Callable[[Draft], Place]:
    """Return a change that rounds the scale of every ternary matrix."""

    def apply(draft: Draft) -> Place:
        for name in draft.matrices():
            matrix = draft.tensors.trits(name)
            scale = rounded(np.atleast_1d(matrix.scale), kind).reshape(matrix.scale.shape)
            draft.tensors[name] = Trits(matrix.values, scale)
        return Place(None, "attn_q", None, (), f"scales are rounded to {kind}")

    return apply


def _embedding(kind: QuantType) -> Callable[[Draft], Place]:
    """Return a change that stores the embedding as `kind`."""

    def apply(draft: Draft) -> Place:
        draft.tensors[EMBEDDING] = kept(draft.tensors.floats(EMBEDDING), kind)
        draft.types[EMBEDDING] = kind
        return Place(None, "token_embd", EMBEDDING, (), f"is stored as {kind}")

    return apply


def _bfloat16(draft: Draft) -> Place:
    for name in list(draft.tensors):
        tensor = draft.tensors[name]
        if isinstance(tensor, np.ndarray):
            draft.tensors[name] = rounded(tensor, QuantType.BF16)
    draft.numerics = Numerics.HF_BF16
    return Place(None, "attn_norm", None, (), "activations and vectors are bfloat16, as transformers runs it")


def _ffn_permuted(draft: Draft) -> Place:
    layer = draft.layer()
    order = draft.random.permutation(draft.config.ffn)
    for part in ("ffn_gate", "ffn_up", "ffn_down", "ffn_sub_norm"):
        name = f"blk.{layer}.{part}.weight"
        if name not in draft.tensors:
            continue
        tensor = draft.tensors[name]
        if isinstance(tensor, np.ndarray):
            draft.tensors[name] = tensor[order]
        else:
            values = tensor.values[:, order] if part == "ffn_down" else tensor.values[order]
            draft.tensors[name] = Trits(values, tensor.scale)
    words = "features of the feed-forward block are in another order, alike in all its weights"
    return Place(layer, "ffn_gate", None, (), words)


def _same_head(draft: Draft) -> Place:
    if "output.weight" not in draft.tensors:
        draft.tensors["output.weight"] = draft.tensors.floats(EMBEDDING)
    return Place(None, "output", "output.weight", (), "is the embedding once more")


def _nothing(rewrite: Rewrite) -> Place:
    return Place(None, "file", None, (), f"the same model as {rewrite.storage}")


def _matrix_as_floats(rewrite: Rewrite) -> Place:
    name, matrix = rewrite.matrix()
    # Neighbours in float32: a scale that float16 would round is carried whole.
    rewrite.put(name, matrix.dense(), QuantType.F32)
    layer, part = name.split(".")[1:3]
    return Place(int(layer), part, name, (), "is stored as trits · scale in F32, as a type that its rows do not fit")


def _old_name(rewrite: Rewrite) -> Place:
    rewrite.rename_architecture({"bitnet-b1.58": "bitnet-25"})
    return Place(None, "file", None, (), "the architecture has its name of April 2025")


def _fault(name: str, summary: str, where: str, **more: object) -> Fault:
    return Fault(name=name, summary=summary, where=where, kind="harmless", **more)  # pyright: ignore[reportArgumentType]


FAULTS = (
    _fault("scales-f16", "scales in float16", "scales", apply=_scales(QuantType.F16), whole=True),
    _fault("scales-bf16", "scales in bfloat16", "scales", apply=_scales(QuantType.BF16), whole=True),
    _fault("embedding-f16", "the embedding in F16", "token_embd", apply=_embedding(QuantType.F16), targets=ANYWHERE),
    _fault("embedding-q8-0", "the embedding in Q8_0", "token_embd", apply=_embedding(QuantType.Q8_0), storages=GGUF),
    _fault("embedding-q6-k", "the embedding in Q6_K", "token_embd", apply=_embedding(QuantType.Q6_K), storages=GGUF),
    _fault(
        "activations-q8k",
        "activations rounded in blocks of 256, as llama.cpp does",
        "activation quantiser",
        apply=by_blocks,
        targets=MEMORY,
        whole=True,
    ),
    _fault(
        "activations-bf16",
        "everything in bfloat16, as transformers does",
        "all operations",
        apply=_bfloat16,
        targets=frozenset({"model"}),
    ),
    _fault("ffn-permuted", "features in another order, alike everywhere", "feed-forward", apply=_ffn_permuted),
    _fault("head-duplicate", "a tied head stored a second time", "output head", apply=_same_head, bugs=(19,)),
    _fault("format-twin", "the same model in another storage", "file", rewrite=_nothing, targets=FILE),
    _fault(
        "matrix-as-floats",
        "one matrix in floats beside ternary ones",
        "any ternary matrix",
        rewrite=_matrix_as_floats,
        targets=FILE,
        storages=(*GGUF, HF_PACKED),
        bugs=(22,),
    ),
    _fault(
        "architecture-old-name",
        "bitnet-25 for bitnet-b1.58, keys and all",
        "general.architecture",
        rewrite=_old_name,
        targets=FILE,
        storages=(I2_S,),
        bugs=(16,),
    ),
)
"""In the order of docs/diagnose.md."""
