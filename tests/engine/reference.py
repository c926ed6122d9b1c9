"""The graphs written plainly in numpy float64: the specification that the engine is tested against.

Shares no code with the engine: own quantiser, own rope by complex numbers, a loop where the engine has a scan.
Sources: transformers' models/{bitnet,llama,qwen3}/modeling_*.py and docs/formats.md §4.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Plain:
    """A model as plain arrays, by GGUF's tensor names; a ternary matrix is a pair of trits and scale.

    A norm that is not in `dense` is not in the graph. Matrices in `floats` take activations as they are. `input_eps`
    is of the norms before single matrices, `rope` the four numbers of Llama 3.1's scaling.
    """

    dense: dict[str, np.ndarray]
    ternary: dict[str, tuple[np.ndarray, float]]
    heads: int
    kv_heads: int
    layers: int
    theta: float
    eps: float
    activation: str
    floats: dict[str, np.ndarray] = field(default_factory=dict)
    input_eps: float = 0.0
    rope: dict[str, float] = field(default_factory=dict)


def rms_norm(x, gain, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def bit_linear(x, trits, scale):
    out = np.zeros((len(x), len(trits)))
    for row, values in enumerate(x):
        step = max(np.abs(values).max(), 1e-5) / 127
        out[row] = trits.astype(np.float64) @ np.clip(np.rint(values / step), -128, 127) * step * scale
    return out


def frequencies(dim, theta, rope):
    """Radians a position; as transformers' _compute_llama3_parameters states it, one frequency at a time."""
    found = theta ** (-np.arange(0, dim, 2) / dim)
    if not rope:
        return found
    for at, frequency in enumerate(found.tolist()):
        wave, original = 2 * np.pi / frequency, rope["original_max_position_embeddings"]
        if wave > original / rope["low_freq_factor"]:
            found[at] = frequency / rope["factor"]
        elif wave >= original / rope["high_freq_factor"]:
            span = rope["high_freq_factor"] - rope["low_freq_factor"]
            smooth = (original / wave - rope["low_freq_factor"]) / span
            found[at] = (1 - smooth) * frequency / rope["factor"] + smooth * frequency
    return found


def rotate(x, theta, rope=None):
    seq, _, dim = x.shape
    pairs = x[..., : dim // 2] + 1j * x[..., dim // 2 :]
    angle = np.arange(seq)[:, None] * frequencies(dim, theta, rope or {})
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
    def norm(name, x):
        gain = model.dense.get(f"blk.{layer}.{name}")
        return x if gain is None else rms_norm(x, gain.astype(np.float64), model.eps)

    def linear(name, x):
        name = f"blk.{layer}.{name}"
        if f"{name}_norm_in" in model.dense:
            x = rms_norm(x, model.dense[f"{name}_norm_in"].astype(np.float64), model.input_eps)
        if name in model.floats:
            return x @ model.floats[name].astype(np.float64).T
        return bit_linear(x, *model.ternary[name])

    x = norm("attn_norm", hidden)
    seq, group = len(x), model.heads // model.kv_heads
    q = rotate(norm("attn_q_norm", linear("attn_q", x).reshape(seq, model.heads, -1)), model.theta, model.rope)
    k = rotate(norm("attn_k_norm", linear("attn_k", x).reshape(seq, model.kv_heads, -1)), model.theta, model.rope)
    v = linear("attn_v", x).reshape(seq, model.kv_heads, -1)
    mixed = np.zeros_like(q)
    for head in range(model.heads):
        for at in range(seq):
            score = k[: at + 1, head // group] @ q[at, head] / np.sqrt(q.shape[-1])
            weight = np.exp(score - score.max())
            mixed[at, head] = weight / weight.sum() @ v[: at + 1, head // group]
    hidden = hidden + linear("attn_output", norm("attn_sub_norm", mixed.reshape(seq, -1)))
    x = norm("ffn_norm", hidden)
    gate = linear("ffn_gate", x)
    gate = np.maximum(gate, 0) ** 2 if model.activation == "relu2" else gate / (1 + np.exp(-gate))
    return hidden + linear("ffn_down", norm("ffn_sub_norm", gate * linear("ffn_up", x)))
