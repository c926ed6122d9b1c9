"""The graph of BitNet b1.58 written plainly in numpy float64: the specification that the engine is tested against.

Shares no code with the engine: own quantiser, own rope by complex numbers, a loop where the engine has a scan.
Source: transformers' models/bitnet/modeling_bitnet.py and docs/formats.md §4.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Plain:
    """A model as plain arrays, by GGUF's tensor names; a ternary matrix is a pair of trits and scale."""

    dense: dict[str, np.ndarray]
    ternary: dict[str, tuple[np.ndarray, float]]
    heads: int
    kv_heads: int
    layers: int
    theta: float
    eps: float
    activation: str


def rms_norm(x, gain, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def bit_linear(x, trits, scale):
    out = np.zeros((len(x), len(trits)))
    for row, values in enumerate(x):
        step = max(np.abs(values).max(), 1e-5) / 127
        out[row] = trits.astype(np.float64) @ np.clip(np.rint(values / step), -128, 127) * step * scale
    return out


def rotate(x, theta):
    seq, _, dim = x.shape
    pairs = x[..., : dim // 2] + 1j * x[..., dim // 2 :]
    angle = np.arange(seq)[:, None] * theta ** (-np.arange(0, dim, 2) / dim)
    turned = pairs * np.exp(1j * angle)[:, None]
    return np.concatenate([turned.real, turned.imag], -1)


def forward(model: Plain, tokens) -> np.ndarray:
    """Return logits [seq, vocab] in float64."""
    hidden = model.dense["token_embd"][np.asarray(tokens)].astype(np.float64)
    for layer in range(model.layers):
        hidden = _block(model, layer, hidden)
    hidden = rms_norm(hidden, model.dense["output_norm"], model.eps)
    return hidden @ model.dense.get("output", model.dense["token_embd"]).astype(np.float64).T


def _block(model: Plain, layer: int, hidden):
    def gain(name):
        return model.dense[f"blk.{layer}.{name}"].astype(np.float64)

    def linear(name, x):
        return bit_linear(x, *model.ternary[f"blk.{layer}.{name}"])

    x = rms_norm(hidden, gain("attn_norm"), model.eps)
    seq, group = len(x), model.heads // model.kv_heads
    q = rotate(linear("attn_q", x).reshape(seq, model.heads, -1), model.theta)
    k = rotate(linear("attn_k", x).reshape(seq, model.kv_heads, -1), model.theta)
    v = linear("attn_v", x).reshape(seq, model.kv_heads, -1)
    mixed = np.zeros_like(q)
    for head in range(model.heads):
        for at in range(seq):
            score = k[: at + 1, head // group] @ q[at, head] / np.sqrt(q.shape[-1])
            weight = np.exp(score - score.max())
            mixed[at, head] = weight / weight.sum() @ v[: at + 1, head // group]
    hidden = hidden + linear("attn_output", rms_norm(mixed.reshape(seq, -1), gain("attn_sub_norm"), model.eps))
    x = rms_norm(hidden, gain("ffn_norm"), model.eps)
    gate = linear("ffn_gate", x)
    gate = np.maximum(gate, 0) ** 2 if model.activation == "relu2" else gate / (1 + np.exp(-gate))
    return hidden + linear("ffn_down", rms_norm(gate * linear("ffn_up", x), gain("ffn_sub_norm"), model.eps))
