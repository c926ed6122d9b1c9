"""Faults of whole weights: one stands in another's place, its rows are in another order, or a vector is not its own."""

from collections.abc import Callable

import numpy as np

from bitnet_engine.errors import SettingError
from bitnet_engine.formats import Trits
from bitnet_engine.masters import absmean
from bitnet_engine.naming import PROJECTIONS
from bitnet_parity.faults.draft import Draft, Place, Tensor, split
from bitnet_parity.faults.fault import Fault, Fingerprint

GAINS = ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm")


def _swapped(first: str, second: str) -> Callable[[Draft], Place]:
    """Return a fault that swaps two matrices of one shape in a layer."""

    def apply(draft: Draft) -> Place:
        layer = draft.layer()
        a, b = f"blk.{layer}.{first}.weight", f"blk.{layer}.{second}.weight"
        mine, theirs = draft.tensors[a], draft.tensors[b]
        if _shape(mine) != _shape(theirs):
            raise SettingError(f"{first} and {second} of this model have different shapes and cannot be swapped.")
        draft.tensors[a], draft.tensors[b] = theirs, mine
        return Place(layer, first, a, (), f"{first} and {second} have changed places")

    return apply


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tensor.values.shape if isinstance(tensor, Trits) else tensor.shape


def _layers(draft: Draft) -> Place:
    a, b = _two_layers(draft)
    for part in _parts(draft):
        first, second = f"blk.{a}.{part}.weight", f"blk.{b}.{part}.weight"
        mine, theirs = draft.tensors[first], draft.tensors[second]
        draft.tensors[first], draft.tensors[second] = theirs, mine
    return Place(a, "attn_norm", None, (), f"layers {a} and {b} have changed places")


def _of_another_layer(draft: Draft) -> Place:
    a, b = _two_layers(draft)
    part = str(draft.random.choice(PROJECTIONS))
    name = f"blk.{a}.{part}.weight"
    draft.tensors[name] = draft.tensors[f"blk.{b}.{part}.weight"]
    return Place(a, part, name, (), f"is that of layer {b}")


def _two_layers(draft: Draft) -> tuple[int, int]:
    if draft.config.layers < 2:
        raise SettingError("The model has one layer; this fault takes two.")
    a, b = sorted(int(layer) for layer in draft.random.choice(draft.config.layers, 2, replace=False))
    return a, b


def _parts(draft: Draft) -> list[str]:
    return [name.split(".")[2] for name in draft.tensors if name.startswith("blk.0.")]


def _interleaved(parts: tuple[str, ...], times: int = 1) -> Callable[[Draft], Place]:
    """Return a fault that puts rows into llama.cpp's order for its interleaved rope, `times` over (§2.11)."""

    def apply(draft: Draft) -> Place:
        layers = range(draft.config.layers) if draft.everywhere else (draft.layer(),)
        half = draft.config.head_dim // 2
        for layer in layers:
            for part in parts:
                name = f"blk.{layer}.{part}.weight"
                rows = np.arange(_shape(draft.tensors[name])[0])
                for _ in range(times):
                    rows = rows.reshape(-1, 2, half).swapaxes(1, 2).reshape(-1)
                draft.tensors[name] = _rows(draft.tensors[name], rows)
        words = f"rows of {' and '.join(parts)} are permuted {times} time{'s' if times > 1 else ''} for another rope"
        if len(layers) > 1:
            return Place(None, parts[0], None, (), f"{words}, in every layer")
        return Place(layers[0], parts[0], f"blk.{layers[0]}.{parts[0]}.weight", (), words)

    return apply


def _rows(tensor: Tensor, rows: np.ndarray) -> Tensor:
    if isinstance(tensor, Trits):
        return Trits(tensor.values[rows], tensor.scale[rows] if tensor.scale.ndim else tensor.scale)
    return tensor[rows]


def _gain(change: Callable[[np.ndarray], np.ndarray], words: str) -> Callable[[Draft], Place]:
    """Return a fault that changes the gain of a seeded norm, or of every norm."""

    def apply(draft: Draft) -> Place:
        # Sorted: files hold the norms in orders of their own, and a seed is to mean one norm in all of them.
        names = sorted(name for name in draft.tensors if name.split(".")[-2] in (*GAINS, "output_norm"))
        names = names if draft.everywhere else [str(draft.random.choice(names))]
        for name in names:
            draft.tensors[name] = change(draft.tensors.floats(name)).astype(np.float32)
        if len(names) > 1:
            return Place(None, "attn_norm", None, (), f"{words}, in all {len(names)} norms")
        if names[0] == "output_norm.weight":
            return Place(None, "output_norm", names[0], (), words)
        return Place(*split(names[0]), names[0], (), words)

    return apply


def _shifted(draft: Draft) -> Place:
    table = draft.tensors.floats("token_embd.weight")
    draft.tensors["token_embd.weight"] = np.roll(table, 1, axis=0)
    return Place(None, "token_embd", "token_embd.weight", (), "row i holds the embedding of token i − 1")


def _stale_head(draft: Draft) -> Place:
    name = "output.weight" if "output.weight" in draft.tensors else "token_embd.weight"
    table = draft.tensors.floats(name)
    noise = draft.random.normal(0, table.std(), table.shape)
    # Sixteenths of the table's own power of two: exact in every float type that files keep it in.
    grain = np.exp2(np.floor(np.log2(table.std()))) / 16
    draft.tensors["output.weight"] = (np.rint(noise / grain) * grain).astype(np.float32)
    return Place(None, "output", "output.weight", (), "the head is of another model")


def _ternary_head(draft: Draft) -> Place:
    name = "output.weight" if "output.weight" in draft.tensors else "token_embd.weight"
    trits, scale = absmean(draft.tensors.floats(name))
    draft.tensors["output.weight"] = Trits(trits, np.asarray(scale, np.float32))
    return Place(None, "output", "output.weight", (), "the head was made ternary")


def _fault(name: str, summary: str, where: str, apply: Callable[[Draft], Place], **more: object) -> Fault:
    return Fault(name=name, summary=summary, where=where, kind="weights", apply=apply, **more)  # pyright: ignore[reportArgumentType]


_QK = ("attn_q", "attn_k")
FAULTS = (
    _fault("layers-swapped", "two layers have changed places", "layers", _layers),
    _fault("layer-repeated", "a matrix is that of another layer", "any matrix", _of_another_layer),
    _fault("qk-swapped", "queries and keys changed places", "attn_q, attn_k", _swapped("attn_q", "attn_k")),
    _fault("kv-swapped", "keys and values changed places", "attn_k, attn_v", _swapped("attn_k", "attn_v")),
    _fault("gate-up-swapped", "gate and up changed places", "ffn_gate, ffn_up", _swapped("ffn_gate", "ffn_up")),
    _fault("norms-swapped", "the two norms of a layer changed places", "norms", _swapped("attn_norm", "ffn_norm")),
    _fault(
        "qk-permuted",
        "q and k rows in llama.cpp's interleaved order under a rotate-half rope",
        "attn_q, attn_k",
        _interleaved(_QK),
        bugs=(10,),
        fingerprint=Fingerprint.PERMUTATION,
    ),
    _fault(
        "qk-permuted-twice",
        "q and k rows permuted for the interleaved rope a second time",
        "attn_q, attn_k",
        _interleaved(_QK, 2),
        bugs=(10,),
        fingerprint=Fingerprint.PERMUTATION,
    ),
    _fault(
        "q-permuted",
        "q rows permuted for the interleaved rope, and k rows not",
        "attn_q",
        _interleaved(("attn_q",)),
        bugs=(10,),
        fingerprint=Fingerprint.PERMUTATION,
    ),
    _fault(
        "gain-ones",
        "the gain of a norm reads as 1",
        "any norm",
        _gain(np.ones_like, "the gain is 1"),
        fingerprint=Fingerprint.ROW_GAIN,
    ),
    _fault(
        "gain-plus-one",
        "the gain of a norm is applied as Gemma's, one more than it is",
        "any norm",
        _gain(lambda gain: gain + 1, "the gain is one more"),
        fingerprint=Fingerprint.ROW_GAIN,
    ),
    _fault(
        "embedding-shifted",
        "the embedding is off by one row",
        "token_embd",
        _shifted,
        fingerprint=Fingerprint.PERMUTATION,
    ),
    _fault("head-replaced", "a tied head beside a stale output.weight", "output head", _stale_head, bugs=(19,)),
    _fault(
        "head-ternary",
        "a converter made the output head ternary with the rest",
        "output head",
        _ternary_head,
        bugs=(7,),
    ),
)
"""In the order of docs/diagnose.md."""
