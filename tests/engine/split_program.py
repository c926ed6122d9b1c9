"""Random models on one device and on several, in a process that has several: prints one JSON object.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m tests.engine.split_program 'two heads'

`equal` is by case, then by number of devices: whether the bits of logits are those of one device. `shares` are the
packed bytes of each device, in all and of one device alone.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from jaxtyping import install_import_hook

with install_import_hook("bitnet_engine", "beartype.beartype"):
    import bitnet_engine as engine
    from bitnet_engine import kernels, model, packing

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine.sharding import mesh_of
from bitnet_engine.variants import HalfUlp, OtherShape

TOKENS = 37
NANO = Path(__file__).parents[2] / "samples" / "nano" / "packed"
PLAIN = engine.Config(
    vocab=300, embed=128, layers=2, heads=4, kv_heads=2, head_dim=64, ffn=192, max_positions=64, rope_theta=10000.0,
    rms_eps=1e-5, activation="relu2", sub_norms=True, qk_norm=False, activation_quant=True,
)  # fmt: skip
FLOATS = replace(PLAIN, activation_quant=False, sub_norms=False)
CASES = {
    "two heads": (PLAIN, True, "ternary", (2, 4)),
    "eight heads": (replace(PLAIN, heads=8, kv_heads=8, qk_norm=True), False, "ternary", (4,)),
    "nothing divides": (
        replace(PLAIN, vocab=301, embed=130, heads=10, kv_heads=5, head_dim=26, ffn=211),
        True,
        "ternary",
        (4,),
    ),
    "norms of inputs": (replace(PLAIN, kv_heads=4, qk_norm=True, input_norm_eps=1e-5), True, "ternary", (2,)),
    "a scale for each block": (FLOATS, True, "blocks", (2,)),
    "floats": (FLOATS, False, "dense", (2,)),
}
"""By name: the config, whether the head is tied, the kind of matrices, and on how many devices it is run."""


def matrix(random: np.random.Generator, kind: str, shape: tuple[int, int]) -> packing.Linear:
    """Return a random matrix of one of the three kinds."""
    if kind == "dense":
        return jnp.asarray(random.normal(0, 0.1, shape), jnp.float32)
    trits = random.integers(-1, 2, shape).astype(np.int8)
    if kind == "ternary":
        return packing.PackedTernary.from_trits(trits, float(random.uniform(0.5, 2)))
    return packing.BlockTernary.from_trits(trits, random.uniform(0.5, 2, (shape[0], 2)).astype(np.float32))


def made(config: engine.Config, tokenizer: engine.Tokenizer, tied: bool, kind: str) -> engine.Model:
    """Return a random model."""
    random = np.random.default_rng(7)
    parts, gains = {}, {}
    for part, shape in config.block_shapes().items():
        if len(shape) == 2:
            parts[part] = packing.stack([matrix(random, kind, shape) for _ in range(config.layers)])
        else:
            gains[part] = jnp.asarray(random.uniform(0.5, 1.5, (config.layers, *shape)), jnp.float32)
    inputs = {part.removesuffix("_norm_in"): gain for part, gain in gains.items() if part.endswith("_norm_in")}
    optional = ("attn_q_norm", "attn_k_norm", "attn_sub_norm", "ffn_sub_norm")
    norms = {part: gains.get(part) for part in ("attn_norm", "ffn_norm", *optional)}
    table = [jnp.asarray(random.normal(0, 1, (config.vocab, config.embed)), jnp.float32) for _ in range(2)]
    layers = model.Layers(**parts, **norms, input_norms=inputs)
    gain = jnp.asarray(random.uniform(0.5, 1.5, config.embed), jnp.float32)
    weights = model.Weights(table[0], layers, gain, None if tied else table[1])
    numerics = engine.Numerics.EXACT_INT8 if config.activation_quant else engine.Numerics.FLOAT
    return engine.Model(config, weights, tokenizer, numerics)


def answers(source: engine.Model) -> list[np.ndarray]:
    """Return logits of scoring, and where bits are compared of a prompt and of three tokens after it."""
    tokens = np.random.default_rng(3).integers(0, min(300, source.config.vocab), TOKENS).tolist()
    if not source.config.activation_quant:
        return [source.logits(tokens)]
    last, cache = source.prefill(tokens, max_len=48)
    found = [source.logits(tokens), np.asarray(last)]
    for token in (5, 0, 299):
        last, cache = source.decode(token, cache)
        found.append(np.asarray(last))
    return found


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Return whether all bits are the same."""
    return all(np.array_equal(a.view(np.int32), b.view(np.int32)) for a, b in zip(one, other, strict=True))


def close(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Return whether all are the same but for rounding."""
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-3) for a, b in zip(one, other, strict=True))


def held(source: engine.Model, device: jax.Device) -> int:
    """Return the bytes of packed weights that lie on `device`."""
    codes = [w.codes for w in source.weights.layers.linears().values() if isinstance(w, packing.PackedTernary)]
    return sum(s.data.nbytes for array in codes for s in array.addressable_shards if s.device == device)


def main() -> None:
    """Print what was found of the cases named on the command line."""
    nano = engine.load(NANO)
    devices = jax.devices()
    found: dict = {"kernel": kernels.backend().name, "equal": {}, "close": {}, "heads": {}}
    for name in sys.argv[1:]:
        config, tied, kind, counts = CASES[name]
        whole = made(config, nano.tokenizer, tied, kind)
        expected = answers(whole)
        spread = {count: whole.over(mesh_of(devices[:count])) for count in counts}
        given = {count: answers(each) for count, each in spread.items()}
        found["equal"][name] = {count: same(one, expected) for count, one in given.items()}
        found["close"][name] = {count: close(one, expected) for count, one in given.items()}
        found["heads"][name] = {count: each.split.by_heads for count, each in spread.items()}
    spread, tokens = nano.over(mesh_of(devices)), list(range(1, 20))
    if "floats" in sys.argv:  # once is enough
        found["variants"] = {
            variant.__name__: same([variant(nano).logits(tokens)], [variant(spread).logits(tokens)])
            for variant in (HalfUlp, OtherShape)
        }
    found["shares"] = {"one": held(nano, devices[0]), "each": [held(spread, device) for device in devices]}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
