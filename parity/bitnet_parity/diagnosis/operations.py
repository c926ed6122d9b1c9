"""Each operation of a block in plain numpy, float64, with an argument for all that engines are known to do otherwise.

    rotate(q, theta=10000.0)                            # as it should be
    rotate(q, theta=10000.0, pairing="neighbours")      # as an engine with GPT-J's pairs would
    rotate(q, theta=10000.0, keep=bfloat16)             # as transformers does in a model of that type

The defaults are the reference; hypotheses pass something else. Rows are tokens: [seq, features] or [seq, heads,
head_dim]. `keep` is called on every result that an engine holds in the model's own type. Sources: docs/formats.md §4.1
and §4.3, transformers' models/llama/modeling_llama.py. Knows neither configs nor captures.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.linears import Q8K
from bitnet_engine.packing import ABSMAX_FLOOR, ACTIVATION_LEVELS

Matrix = Trits | np.ndarray
Quantiser = Literal["row", "tensor", "block", "truncated", "wrapped", "unscaled", "none"]
Activation = Literal["relu2", "silu", "relu", "gelu", "gelu_tanh", "identity"]
Pairing = Literal["halves", "neighbours"]
Keep = Callable[[np.ndarray], np.ndarray]

TIE = 1e-4
"""Levels of int8 within which two engines' float32 may round to different codes: 127 times a few units of 2⁻²⁴."""
MOST_TIES = 64
"""Codes of one token that are tried the other way; more are no accident."""


def as_is(x: np.ndarray) -> np.ndarray:
    """Return x: an engine of float32 rounds too little to be told from float64."""
    return x


def bfloat16(x: np.ndarray) -> np.ndarray:
    """Return x rounded to bfloat16, in float64."""
    return rounded(x.astype(np.float32), QuantType.BF16).astype(np.float64)


def normalise(x: np.ndarray, gain: np.ndarray, eps: float, *, centred: bool = False, keep: Keep = as_is) -> np.ndarray:
    """Return x / √(mean(x²) + eps) · gain over the last axis; `centred` subtracts the mean first, as LayerNorm does."""
    x = x - x.mean(-1, keepdims=True) if centred else x
    return keep(keep(x / np.sqrt(np.square(x).mean(-1, keepdims=True) + eps)) * keep(gain))


def rotate(
    x: np.ndarray,
    theta: float,
    factors: tuple[float, ...] = (),
    *,
    pairing: Pairing = "halves",
    sign: int = 1,
    offset: int = 0,
    keep: Keep = as_is,
) -> np.ndarray:
    """Return [seq, heads, head_dim] turned by position · theta^(−2j / head_dim) / factors[j].

    `sign` −1 turns the other way; row i is at position i + `offset`; `neighbours` pairs features (2j, 2j + 1).
    """
    seq, _, dim = x.shape
    frequencies = theta ** (-np.arange(0, dim, 2) / dim) / (np.array(factors) if factors else 1.0)
    angle = sign * (np.arange(seq) + offset)[:, None, None] * frequencies
    cos, sin = keep(np.cos(angle)), keep(np.sin(angle))
    near = (x[..., 0::2], x[..., 1::2]) if pairing == "neighbours" else (x[..., : dim // 2], x[..., dim // 2 :])
    turned = (
        keep(keep(near[0] * cos) - keep(near[1] * sin)),
        keep(keep(near[1] * cos) + keep(near[0] * sin)),
    )
    if pairing == "neighbours":
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)


def attend(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    divisor: float | None = None,
    causal: bool = True,
    modulo: bool = False,
    padded: int = 0,
    keep: Keep = as_is,
    fused: bool = True,
) -> np.ndarray:
    """Return causal grouped-query attention, [seq, heads · head_dim].

    Scores are divided by √head_dim, or by `divisor`. Query head h reads key head h // (heads / kv_heads), or with
    `modulo` h % kv_heads. `padded` keys of zeros, whose values are zeros, are seen by every query. A `fused` kernel
    (torch's FlashAttentionKernel.cpp) divides last, and has its scores in float32 whatever the model's type.
    """
    seq, heads, dim = q.shape
    source = np.arange(heads) % k.shape[1] if modulo else np.arange(heads) // (heads // k.shape[1])
    inner = as_is if fused else keep
    scores = inner(np.einsum("shd,thd->hst", q, k[:, source]))
    scores = inner(scores / (np.sqrt(dim) if divisor is None else divisor))
    if causal:
        scores = np.where(np.arange(seq) > np.arange(seq)[:, None], -np.inf, scores)
    largest = np.maximum(scores.max(-1, keepdims=True), 0.0 if padded else -np.inf)
    shares = np.exp(scores - largest)
    total = shares.sum(-1, keepdims=True) + (padded * np.exp(-largest) if padded else 0.0)
    shares = keep(shares) / total if fused else keep(shares / total)
    return keep(np.einsum("hst,thd->shd", shares, v[:, source])).reshape(seq, heads * dim)


def activated(gate: np.ndarray, kind: str) -> np.ndarray:
    """Return the activation `kind` of gate."""
    positive = np.maximum(gate, 0)
    with np.errstate(over="ignore"):  # exp of much is infinite, and the quotient 0, as it should be
        if kind == "silu":
            return gate / (1 + np.exp(-gate))
        if kind == "gelu_tanh":
            return 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
    if kind == "gelu":
        from scipy.special import erf

        return 0.5 * gate * (1 + erf(gate / np.sqrt(2)))
    return {"relu2": positive * positive, "relu": positive, "identity": gate}[kind]


def gated(gate: np.ndarray, up: np.ndarray, kind: str, *, keep: Keep = as_is) -> np.ndarray:
    """Return activation(gate) · up."""
    return keep(keep(activated(gate, kind)) * up)


def gated_float16(gate: np.ndarray, up: np.ndarray, kind: str) -> np.ndarray:
    """Return the same computed in float16, which ends at 65504."""
    with np.errstate(over="ignore", invalid="ignore"):
        half, other = gate.astype(np.float16), up.astype(np.float16)
        left = np.square(np.maximum(half, np.float16(0))) if kind == "relu2" else activated(half, kind)
        return (left.astype(np.float16) * other).astype(np.float64)


def codes(x: np.ndarray, quantiser: str, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers and the steps that they count, which broadcast to x: x ≈ codes · steps.

    `shift` moves every value by a part of a level before it is rounded, which shows the ones that lie on an edge.
    """
    if quantiser == "none":
        return x, np.ones(1)
    if quantiser == "block":
        blocks = x.reshape(len(x), -1, Q8K)
        farthest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
        step = np.where(farthest == 0, 1, farthest) / -ACTIVATION_LEVELS
        rounded = np.minimum(ACTIVATION_LEVELS, np.rint(blocks / step + shift))
        return rounded.reshape(x.shape), np.repeat(step[..., 0], Q8K, axis=1)
    largest = np.maximum(np.abs(x).max(None if quantiser == "tensor" else -1, keepdims=True), ABSMAX_FLOOR)
    if quantiser == "wrapped":
        levels = ACTIVATION_LEVELS + 1
        return (np.rint(x * levels / largest + shift) + levels) % (2 * levels) - levels, largest / levels
    value = x * ACTIVATION_LEVELS / largest + shift
    rounded = np.trunc(value) if quantiser == "truncated" else np.rint(value)
    return rounded, np.ones(1) if quantiser == "unscaled" else largest / ACTIVATION_LEVELS


def multiply(x: np.ndarray, matrix: Matrix, quantiser: str, like: np.ndarray | None = None) -> np.ndarray:
    """Return x · matrixᵀ, the inputs of a ternary matrix rounded first; sums of codes and trits are exact.

    A code that lies on an edge falls either way in float32. With `like`, another engine's result, each such code is
    taken as that engine must have taken it, if its result says so.
    """
    if not isinstance(matrix, Trits):
        return x @ matrix.astype(np.float64).T
    rounded, steps = codes(x, quantiser)
    result = _times(rounded, steps, matrix)
    if like is None or quantiser == "none":
        return result
    low, high = (codes(x, quantiser, shift)[0] for shift in (-TIE, TIE))
    return _settled(result, like, matrix, rounded, np.where(low != rounded, low, high), steps)


def on_edges(x: np.ndarray, quantiser: str) -> np.ndarray:
    """Return which tokens have a code that another engine's float32 may round to the other side."""
    return (codes(x, quantiser, -TIE)[0] != codes(x, quantiser, TIE)[0]).any(-1)


def _times(rounded: np.ndarray, steps: np.ndarray, matrix: Trits) -> np.ndarray:
    if matrix.scale.ndim == 0 and steps.shape[-1] == 1:
        # Whole numbers below 2²⁴ are exact in float32, at half the memory; what is not rounded stays float64.
        kind = np.float32 if np.array_equal(rounded, np.rint(rounded)) else np.float64
        sums = rounded.astype(kind) @ matrix.values.T.astype(kind)
        return sums.astype(np.float64) * steps * float(matrix.scale)
    return (rounded * steps) @ dense(matrix).T


def _settled(
    result: np.ndarray, like: np.ndarray, matrix: Trits, codes: np.ndarray, others: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the result with codes on an edge moved to the other side, where that is what gives `like`."""
    settled = result.copy()
    wide = np.broadcast_to(steps, codes.shape)
    for row in np.flatnonzero((codes != others).any(-1)):
        edges = np.flatnonzero(codes[row] != others[row])
        if len(edges) > MOST_TIES:
            continue
        taken = Trits(matrix.values[:, edges], matrix.scale) if matrix.scale.ndim == 0 else None
        columns = (dense(matrix)[:, edges] if taken is None else dense(taken)) * (others - codes)[row, edges]
        columns = columns * wide[row, edges]
        chosen = np.rint(np.clip(np.linalg.lstsq(columns, like[row] - result[row], rcond=None)[0], 0, 1))
        settled[row] += columns @ chosen
    return settled


def dense(matrix: Matrix) -> np.ndarray:
    """Return a matrix as float64."""
    return matrix.dense().astype(np.float64) if isinstance(matrix, Trits) else matrix.astype(np.float64)


def residual(found: np.ndarray, expected: np.ndarray) -> float:
    """Return ‖found − expected‖ / ‖expected‖; ‖found‖ where nothing was expected; infinity where found is not finite.

    Both may overflow alike (float16 does): values that are the same infinity, or both NaN, agree.
    """
    with np.errstate(invalid="ignore"):
        agree = (found == expected) | (np.isnan(found) & np.isnan(expected))
        apart = np.where(agree, 0.0, found - expected)
    size = float(np.linalg.norm(np.where(np.isfinite(expected), expected, 0.0)))
    distance = float(np.linalg.norm(apart))
    return float("inf") if not np.isfinite(distance) else distance / size if size else distance
