"""Random models of the families as weights and a config, without jax, for faults to be put into."""

import dataclasses
from pathlib import Path

import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.formats import Trits
from bitnet_engine.masters import ternary_blocks
from bitnet_parity.faults.draft import Draft, Tensors, seeded
from bitnet_parity.faults.numpy_injection import built
from tests.engine import families as F

TOKENS = (7, 250, 3, 41, 3, 98)
COMPUTED = ("bitnet", "1bitllm", "llama", "trilm", "dense", "qwen3")
"""The families that the numpy model has the graph of."""
MHA = ("attn_k", "attn_v")


def config(made: F.Made) -> Config:
    """Return the config that the engine reads of a family's files."""
    p = made.plain
    s = F.SIZES
    sizes = s.vocab, s.embed, s.layers, p.heads, p.kv_heads, s.head_dim, s.ffn, s.positions
    ternary = made.family in ("bitnet", "1bitllm", "llama")
    eps = float(np.float32(p.eps))
    sub_norms, qk_norm = made.family in ("bitnet", "1bitllm"), made.family == "qwen3"
    return Config(*sizes, p.theta, eps, p.activation, sub_norms, qk_norm, ternary)


def tensors(made: F.Made) -> Tensors:
    """Return the family's weights by canonical name."""
    p = made.plain
    found = {f"{name}.weight": values for name, values in p.dense.items()}
    found |= {f"{name}.weight": Trits(t, np.asarray(s, np.float32)) for name, (t, s) in p.ternary.items()}
    for name, values in p.floats.items():
        blocks = ternary_blocks(values)
        found[f"{name}.weight"] = values if blocks is None else Trits(*blocks)
    return Tensors(tuple(found), found.__getitem__)


def multi_head(seed: int = 3) -> F.Made:
    """Return a 1bitLLM model whose keys have as many heads as its queries."""
    made = F.make("1bitllm", seed)
    random = np.random.default_rng(seed)
    for layer in range(F.SIZES.layers):
        for part in MHA:
            trits = random.choice([-1, 0, 1], F.SIZES.matrices["attn_q"]).astype(np.int8)
            made.plain.ternary[f"blk.{layer}.{part}"] = trits, 0.03125
    made.plain = dataclasses.replace(made.plain, kv_heads=F.SIZES.heads)
    return made


def model(made: F.Made):
    """Return the family's model, unbroken, as a NumpyModel."""
    return built(Draft(config(made), tensors(made), seeded("", 0)))


def folder(family: str, where: Path, tokenizer: Path) -> Path:
    """Write a family's model as the folder it is published as."""
    return F.write_hf(F.make(family), where, tokenizer)
