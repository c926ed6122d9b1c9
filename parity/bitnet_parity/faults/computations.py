"""Faults of what is computed: the weights are right, an engine or a setting does something else with them.

Settings (activation, eps, theta) go into any model and file. The rest no file can say and our own engine cannot be
told: the numpy model has a switch for each. Without `everywhere` they are in one seeded layer of it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bitnet_engine.errors import SettingError
from bitnet_parity.faults.draft import Draft, Place
from bitnet_parity.faults.fault import ANYWHERE, MEMORY, NUMPY, Fault, Fingerprint, Kind
from bitnet_parity.faults.numpy_model import BLOCK

NORMS = ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm", "output_norm")


def _chosen(operation: str, words: str, **changes: Any) -> Callable[[Draft], Place]:
    """Return a fault that changes fixed choices; `operation` is the first that gives something else."""
    return _computed(operation, lambda _: (changes, words))


def _computed(operation: str, change: Callable[[Draft], tuple[dict[str, Any], str]]) -> Callable[[Draft], Place]:
    def apply(draft: Draft) -> Place:
        changes, words = change(draft)
        layer = None if draft.everywhere else draft.layer()
        draft.choose(layer, **changes)
        return Place(layer, operation, None, (), words)

    return apply


def _activation(draft: Draft) -> tuple[dict[str, Any], str]:
    right = draft.config.activation
    wrong = "silu" if right == "relu2" else "relu2"
    return {"activation": wrong}, f"computes {wrong}(gate)·up; the model's is {right}"


def _eps(draft: Draft) -> tuple[dict[str, Any], str]:
    wrong = 1e-5 if draft.config.rms_eps < 5e-6 else 1e-6
    return {"eps": wrong}, f"eps is {wrong:g}; the model's is {draft.config.rms_eps:g}"


def _theta(draft: Draft) -> tuple[dict[str, Any], str]:
    wrong = 10_000.0 if draft.config.rope_theta > 50_000 else 500_000.0
    return {"theta": wrong}, f"theta is {wrong:g}; the model's is {draft.config.rope_theta:g}"


def _modulo(draft: Draft) -> tuple[dict[str, Any], str]:
    if draft.config.kv_heads in (1, draft.config.heads):
        raise SettingError("Each query head has its own or all share one key head: both mappings are the same here.")
    return {"kv_map": "modulo"}, "query head h reads key head h % kv_heads"


def _skipped(part: str) -> Callable[[Draft], Place]:
    """Return a fault that leaves a norm out."""

    def apply(draft: Draft) -> Place:
        last = part == "output_norm"
        if not any(name.endswith(f"{part}.weight") for name in draft.tensors):
            raise SettingError(f"The model has no {part}; choose a fault of its own norms.")
        layer = None if draft.everywhere or last else draft.layer()
        draft.choose(draft.config.layers if last else layer, skipped=frozenset({part}))
        return Place(layer, part, None, (), "hands on its input")

    return apply


def quantiser(name: str, words: str) -> Callable[[Draft], Place]:
    """Return a change of how activations are rounded; also harmless ones are made of it."""

    def change(draft: Draft) -> tuple[dict[str, Any], str]:
        if not draft.config.activation_quant:
            raise SettingError("The model takes activations as they are; there is no quantiser to break.")
        return {"quantiser": name}, words

    return _computed("attn_q", change)


def by_blocks(draft: Draft) -> Place:
    """Round activations in blocks, as llama.cpp's Q8_K does; a row of one block comes out as it was."""
    c = draft.config
    widths = {"attn_q": c.embed, "attn_output": c.heads * c.head_dim, "ffn_down": c.ffn}
    longer = [operation for operation, width in widths.items() if width > BLOCK]
    if not longer or any(width % BLOCK for width in widths.values()):
        raise SettingError(f"Rows of {c.embed} and {c.ffn} are not several blocks of {BLOCK}, which Q8_K needs.")
    place = quantiser("block", f"blocks of {BLOCK} have a scale of their own")(draft)
    return replace(place, operation=longer[0])


def _fault(
    name: str, summary: str, where: str, apply: Callable[[Draft], Place], kind: Kind = "computation", **more: object
) -> Fault:
    fields: dict[str, object] = {"targets": NUMPY} | more
    return Fault(name=name, summary=summary, where=where, kind=kind, apply=apply, **fields)  # pyright: ignore[reportArgumentType]


_BRANCH, _WHITE = Fingerprint.SKIPPED, Fingerprint.WHITE
_SKIPPED = tuple(
    _fault(
        f"{part.replace('_', '-')}-skipped",
        f"{part} is left out",
        part,
        _skipped(part),
        bugs=(11,) if "sub" in part else (),
        fingerprint=_BRANCH,
        targets=MEMORY if "sub" in part else NUMPY,
    )
    for part in NORMS
)
FAULTS = (
    _fault(
        "activation-other",
        "SiLU where the model has relu², or the reverse",
        "ffn activation",
        _computed("ffn_activation", _activation),
        "setting",
        bugs=(1,),
        targets=ANYWHERE,
    ),
    _fault(
        "eps-other",
        "eps of all norms is 1e-6 for 1e-5, or the reverse",
        "norms",
        _computed("attn_norm", _eps),
        "setting",
        fingerprint=Fingerprint.ROW_GAIN,
        targets=ANYWHERE,
    ),
    _fault(
        "theta-other",
        "the base of rope is 500 000 for 10 000, or the reverse",
        "rope",
        _computed("rope_q", _theta),
        "setting",
        fingerprint=Fingerprint.POSITION,
        targets=ANYWHERE,
    ),
    *_SKIPPED,
    _fault("norm-centred", "LayerNorm for RMSNorm", "norms", _chosen("attn_norm", "subtracts the mean", centred=True)),
    _fault(
        "rope-neighbours",
        "rope turns pairs (2j, 2j + 1) of rows that are in the order of halves",
        "rope",
        _chosen("rope_q", "pairs of neighbours", pairing="neighbours"),
        bugs=(10,),
        fingerprint=Fingerprint.POSITION,
    ),
    _fault(
        "rope-reversed",
        "rope turns the other way",
        "rope",
        _chosen("rope_q", "angles are negative", pairing="reversed"),
        fingerprint=Fingerprint.POSITION,
    ),
    _fault(
        "rope-skipped",
        "queries and keys are not turned",
        "rope",
        _chosen("rope_q", "hands on its input", pairing="none"),
        fingerprint=Fingerprint.POSITION,
    ),
    _fault(
        "rope-offset",
        "queries count their position from 1, keys from 0",
        "rope",
        _chosen("rope_q", "queries are one position ahead", query_offset=1),
    ),
    _fault("kv-modulo", "query heads read other key heads", "attention", _computed("attention", _modulo)),
    _fault(
        "mask-missing",
        "every token sees those after it",
        "attention",
        _chosen("attention", "no causal mask", mask=False),
        fingerprint=Fingerprint.FUTURE,
    ),
    _fault(
        "attention-scale-dimension",
        "scores divided by head_dim, not by its root",
        "attention",
        _chosen("attention", "divided by head_dim", attention_scale="dimension"),
    ),
    _fault(
        "attention-scale-missing",
        "scores not divided at all",
        "attention",
        _chosen("attention", "not divided", attention_scale="one"),
    ),
    _fault(
        "softmax-padded",
        "rows of zeros behind the keys take a share",
        "attention",
        _chosen("attention", "eight padded keys are seen", padded_keys=8),
    ),
    _fault(
        "attn-branch-dropped",
        "attention's result is not added",
        "residual",
        _chosen("attn_residual", "hands on its first input", skipped=frozenset({"attn_residual"})),
        fingerprint=_BRANCH,
    ),
    _fault(
        "ffn-branch-dropped",
        "the feed-forward's result is not added",
        "residual",
        _chosen("ffn_residual", "hands on its first input", skipped=frozenset({"ffn_residual"})),
        fingerprint=_BRANCH,
    ),
    _fault(
        "kernel-empty",
        "a matrix product that writes nothing",
        "ffn_down",
        _chosen("ffn_down", "zeros", empty=frozenset({"ffn_down"})),
        bugs=(20,),
        fingerprint=Fingerprint.EMPTY,
    ),
    _fault(
        "activation-relu",
        "relu, and its square forgotten",
        "ffn activation",
        _chosen("ffn_activation", "computes relu(gate)·up", activation="relu"),
    ),
    _fault(
        "activation-of-up",
        "the activation is applied to up, not to gate",
        "ffn activation",
        _chosen("ffn_activation", "computes act(up)·gate", activated="up"),
    ),
    _fault(
        "ffn-float16",
        "the gated product in float16, which ends at 65504",
        "ffn activation",
        _chosen("ffn_activation", "computed in float16", float16_ffn=True),
        bugs=(24,),
    ),
    _fault(
        "quantiser-per-tensor",
        "one activation scale for all tokens",
        "activation quantiser",
        quantiser("tensor", "one scale for all rows"),
        fingerprint=_WHITE,
    ),
    _fault(
        "quantiser-truncates",
        "activations are cut, not rounded",
        "activation quantiser",
        quantiser("truncated", "cut towards zero"),
        fingerprint=_WHITE,
    ),
    _fault(
        "quantiser-wraps",
        "128 levels and no clamp: the largest value becomes −128",
        "activation quantiser",
        quantiser("wrapped", "the largest value of a row wraps"),
        fingerprint=Fingerprint.FEW,
    ),
    _fault(
        "quantiser-unscaled",
        "the activations' scale is never taken out again",
        "activation quantiser",
        quantiser("unscaled", "codes for values"),
        fingerprint=Fingerprint.ROW_GAIN,
    ),
    _fault(
        "quantiser-missing",
        "activations go into ternary matrices as they are",
        "activation quantiser",
        quantiser("none", "no rounding"),
        fingerprint=_WHITE,
        targets=MEMORY,
    ),
)
"""In the order of docs/diagnose.md."""
