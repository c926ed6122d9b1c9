"""The candidate with its causes repaired, in memory, and how far it then is from the reference.

    model = repaired(reference, candidate, causes)
    prove(reference, candidate, model, tokens)          # Proof(before=…, after=…, floor=…)

Only the weights and settings that causes name are replaced; everything else stays the candidate's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np

from bitnet_engine.model import Model
from bitnet_engine.packing import Linear, stack
from bitnet_engine.variants import HalfUlp, OtherShape
from bitnet_parity.diagnosis.causes import Cause, Proof

SEEDS = 3
"""Noises that the floor is the largest of."""


def repaired(reference: Model, candidate: Model, causes: Iterable[Cause], *, settings: bool) -> Model:
    """Return the candidate with the reference's weights where a cause names them, and its settings where they differ."""
    names = list(dict.fromkeys(name for cause in causes for name in cause.tensors))
    weights = candidate.weights
    for name in names:
        if not name.startswith("blk."):
            part = name.removesuffix(".weight")
            right = getattr(reference.weights, part)
            weights = eqx.tree_at(
                lambda w, part=part: getattr(w, part), weights, right, is_leaf=lambda leaf: leaf is None
            )
    for part in dict.fromkeys(name.split(".")[2] for name in names if name.startswith("blk.")):
        layers = {int(name.split(".")[1]) for name in names if name.startswith("blk.") and name.split(".")[2] == part}
        mine, theirs = getattr(reference.weights.layers, part), getattr(candidate.weights.layers, part)
        mixed = [_layer(mine if layer in layers else theirs, layer) for layer in range(reference.config.layers)]
        weights = eqx.tree_at(lambda w, part=part: getattr(w.layers, part), weights, stack(mixed))
    config = reference.config if settings else candidate.config
    return Model(config, weights, reference.tokenizer, candidate.numerics)


def _layer(stacked: Linear, layer: int) -> Linear:
    return jax.tree.map(lambda leaf: leaf[layer], stacked)


def nmse(found: np.ndarray, expected: np.ndarray) -> float:
    """Return ‖found − expected‖² / ‖expected‖², infinity where found is not finite."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    value = float(np.square(a - b).sum() / np.square(b).sum())
    return value if np.isfinite(value) else float("inf")


def floor(reference: Model, tokens: Sequence[int]) -> float:
    """Return the NMSE of the reference's logits to themselves: inputs off by half an ulp, or another padded shape."""
    right = reference.logits(tokens)
    variants = [HalfUlp(reference, seed) for seed in range(SEEDS)]
    shaped = [OtherShape(reference)] if len(tokens) < reference.config.max_positions else []
    return max(nmse(variant.logits(tokens), right) for variant in (*variants, *shaped))


def prove(reference: Model, candidate: Model, repair: Model, tokens: Sequence[int]) -> Proof:
    """Return how far the candidate is from the reference before and after the repair, and from what the floor is."""
    right = reference.logits(tokens)
    return Proof(
        what="logits of the candidate with every cause repaired in memory, against the reference's",
        before=nmse(candidate.logits(tokens), right),
        after=nmse(replace(repair, numerics=reference.numerics).logits(tokens), right),
        floor=floor(reference, tokens),
    )
