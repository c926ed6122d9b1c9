"""Train the sample model: text in, a bfloat16 b1.58 master and its loss curve out.

    pip install optax
    python samples/train.py CORPUS --out samples/nano/master

CORPUS holds `tokenizer-4096.json`, `corpus/train.txt.xz` and `corpus/valid.txt.xz` (documents end in a NUL). The
forward pass is the engine's own, operation by operation: what is trained is what is run. Matrices are updated by
Muon, embedding and gains by Adam; gradients pass the two quantisers straight through. The learning rate falls
linearly in two stages with a drop between, and weight decay ends with the first (after the BitNet b1.58 2B4T report,
arXiv 2504.12285). A run that was stopped goes on from its last checkpoint.
"""

import argparse
import hashlib
import lzma
import os
import platform
import shutil
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orjson
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from bitnet_engine.layers import activate, attention, rms_norm, rope, rope_tables
from bitnet_engine.packing import quantize_activations

LAYERS, EMBED, FFN, HEADS, KV_HEADS, VOCAB, POSITIONS = 6, 256, 768, 4, 2, 4096, 256
HEAD_DIM, EPS, THETA = EMBED // HEADS, 1e-5, 10000.0
BOS, EOS = 4088, 4089
FIRST_SLOPE = 0.8, 4300  # the share of the peak rate that is lost, in how many steps
BATCH, MUON_RATE, ADAM_RATE, DECAY, WARMUP, SEED = 16, 0.02, 0.004, 0.1, 100, 1
CONFIG = {
    "architectures": ["BitNetForCausalLM"],
    "model_type": "bitnet",
    "vocab_size": VOCAB,
    "hidden_size": EMBED,
    "intermediate_size": FFN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "hidden_act": "relu2",
    "max_position_embeddings": POSITIONS,
    "rms_norm_eps": EPS,
    "rope_theta": THETA,
    "tie_word_embeddings": True,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "attention_bias": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "quantization_config": {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "online",
    },
}
MATRICES = {  # name in a block: [out, in]
    "self_attn.q_proj": (EMBED, EMBED),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, EMBED),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, EMBED),
    "self_attn.o_proj": (EMBED, EMBED),
    "mlp.gate_proj": (FFN, EMBED),
    "mlp.up_proj": (FFN, EMBED),
    "mlp.down_proj": (EMBED, FFN),
}
GAINS = {
    "input_layernorm": EMBED,
    "self_attn.attn_sub_norm": EMBED,
    "post_attention_layernorm": EMBED,
    "mlp.ffn_sub_norm": FFN,
}
Params = dict[str, jax.Array]


def initial() -> Params:
    """Return the weights before the first step, under the names of a Hugging Face folder."""
    keys = iter(jax.random.split(jax.random.key(SEED), 1 + LAYERS * len(MATRICES)))
    params = {"model.embed_tokens.weight": 0.02 * jax.random.normal(next(keys), (VOCAB, EMBED))}
    for layer in range(LAYERS):
        for name, shape in MATRICES.items():
            params[f"model.layers.{layer}.{name}.weight"] = 0.02 * jax.random.normal(next(keys), shape)
        for name, width in GAINS.items():
            params[f"model.layers.{layer}.{name}.weight"] = jnp.ones(width)
    return params | {"model.norm.weight": jnp.ones(EMBED)}


@jax.custom_vjp
def bitlinear(x: jax.Array, w: jax.Array) -> jax.Array:
    """Return the b1.58 linear layer of rows x and a float master w [out, in], as the engine computes it."""
    return _bitlinear(x, w)[0]


def _bitlinear(x: jax.Array, w: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    mean = jnp.maximum(jnp.mean(jnp.abs(w)), 1e-5)
    trits = jnp.clip(jnp.round(w / mean), -1, 1).astype(jnp.int8)
    scale = mean.astype(jnp.bfloat16).astype(jnp.float32)
    q, levels = quantize_activations(x)
    sums = jax.lax.dot_general(q, trits, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
    inverse = (1 / levels)[:, None]
    return sums.astype(jnp.float32) * inverse * scale, (q, inverse, trits, scale)


def _straight_through(kept: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    # bfloat16 operands, float32 sums: a gradient needs no more, and processors multiply them far faster.
    q, inverse, trits, scale = kept
    dot = partial(jax.lax.dot_general, preferred_element_type=jnp.float32)
    to_x = dot(gradient.astype(jnp.bfloat16), trits.astype(jnp.bfloat16), (((1,), (0,)), ((), ()))) * scale
    weighted = (gradient * inverse).astype(jnp.bfloat16)
    return to_x, dot(weighted, q.astype(jnp.bfloat16), (((0,), (0,)), ((), ())))


bitlinear.defvjp(_bitlinear, _straight_through)


def loss(params: Params, tokens: jax.Array) -> jax.Array:
    """Return the mean nll in nats of ids [batch, 1 + seq], each but the first predicted."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    batch, seq = inputs.shape
    positions = jnp.arange(seq)
    cos, sin = (jnp.tile(table, (batch, 1)) for table in rope_tables(positions, HEAD_DIM, THETA))
    hidden = params["model.embed_tokens.weight"][inputs.reshape(-1)]
    attend = jax.vmap(partial(attention, positions=positions))
    for layer in range(LAYERS):
        p = {name: params[f"model.layers.{layer}.{name}.weight"] for name in (*MATRICES, *GAINS)}
        x = rms_norm(hidden, p["input_layernorm"], EPS)
        q, k, v = (bitlinear(x, p[f"self_attn.{n}_proj"]).reshape(batch * seq, -1, HEAD_DIM) for n in "qkv")
        heads = (rope(q, cos, sin), rope(k, cos, sin), v)
        mixed = attend(*(head.reshape(batch, seq, -1, HEAD_DIM) for head in heads)).reshape(batch * seq, -1)
        hidden += bitlinear(rms_norm(mixed, p["self_attn.attn_sub_norm"], EPS), p["self_attn.o_proj"])
        x = rms_norm(hidden, p["post_attention_layernorm"], EPS)
        gated = activate(bitlinear(x, p["mlp.gate_proj"]), "relu2") * bitlinear(x, p["mlp.up_proj"])
        hidden += bitlinear(rms_norm(gated, p["mlp.ffn_sub_norm"], EPS), p["mlp.down_proj"])
    x = rms_norm(hidden, params["model.norm.weight"], EPS).astype(jnp.bfloat16)
    table = params["model.embed_tokens.weight"].astype(jnp.bfloat16)
    logits = jax.lax.dot_general(x, table, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets.reshape(-1)))


def rate(step: jax.Array, steps: int) -> jax.Array:
    """Return the share of the peak learning rate: from 1 down the first slope for half of the steps, then 0.45 → 0."""
    first, second = 1 - FIRST_SLOPE[0] * (step / FIRST_SLOPE[1]), 0.45 * (steps - step) / (steps - steps // 2)
    return jnp.minimum((step + 1) / WARMUP, 1) * jnp.where(step < steps // 2, first, second)


def optimizer(step: jax.Array, steps: int) -> optax.GradientTransformation:
    """Return the update rule of one step; its state does not depend on the step."""
    share = rate(step, steps)
    shapes = set(MATRICES.values())
    rows = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            MUON_RATE * share,
            weight_decay=jnp.where(step < steps // 2, DECAY, 0.0),
            adam_learning_rate=ADAM_RATE * share,
            adam_b2=0.95,
            muon_weight_dimension_numbers=lambda tree: jax.tree.map(
                lambda w: rows if w.shape in shapes else None, tree
            ),
        ),
    )


@partial(jax.jit, static_argnames="steps", donate_argnums=(0, 1))
def update(params: Params, state: optax.OptState, step: jax.Array, tokens: jax.Array, steps: int) -> tuple:
    """Take one step; return the new weights, the optimiser's state and the loss before it."""
    nll, gradient = jax.value_and_grad(loss)(params, tokens)
    changes, state = optimizer(step, steps).update(gradient, state, params)
    return optax.apply_updates(params, changes), state, nll


def encoded(path: Path, tokenizer: Tokenizer) -> np.ndarray:
    """Return the ids of a text, uint16, each document between <|begin_of_text|> and <|end_of_text|>."""
    documents = [text for text in lzma.decompress(path.read_bytes()).decode().split("\0") if text.strip()]
    encodings = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
    return np.concatenate([np.array([BOS, *encoding.ids, EOS], np.uint16) for encoding in encodings])


def windows(ids: np.ndarray) -> np.ndarray:
    """Return ids [windows, 1 + POSITIONS]: consecutive, the last id of one the first of the next."""
    count = (len(ids) - 1) // POSITIONS
    return np.lib.stride_tricks.sliding_window_view(ids, POSITIONS + 1)[::POSITIONS][:count]


def batch(text: np.ndarray, step: int) -> np.ndarray:
    """Return the batch of a step: a fresh shuffle of all windows each epoch."""
    epoch, place = divmod(step, len(text) // BATCH)
    order = np.random.default_rng([SEED, epoch]).permutation(len(text))
    return text[order[place * BATCH : (place + 1) * BATCH]].astype(np.int32)


def held_out(params: Params, text: np.ndarray) -> float:
    """Return the mean nll over the windows of a text, whole batches of them."""
    score = jax.jit(loss)
    batches = text[: len(text) // BATCH * BATCH].reshape(-1, BATCH, text.shape[1])
    return float(np.mean([score(params, jnp.asarray(part, jnp.int32)) for part in batches]))


def write_master(params: Params, tokenizer: Path, out: Path) -> None:
    """Write the model's folder: matrices in bfloat16, all else in values that float16 has too."""
    out.mkdir(parents=True, exist_ok=True)
    matrices = set(MATRICES.values())
    narrow = {name: w if w.shape in matrices else w.astype(jnp.float16) for name, w in params.items()}
    tensors = {name: np.asarray(w.astype(jnp.bfloat16)) for name, w in narrow.items()}
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": POSITIONS}
    write_json(out / "config.json", CONFIG)
    write_json(out / "tokenizer_config.json", settings)
    shutil.copyfile(tokenizer, out / "tokenizer.json")


def write_json(path: Path, value: object) -> None:
    """Write indented JSON."""
    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))


class Checkpoint:
    """What a stopped run goes on from: weights, the optimiser's state, and the curve so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.curve: list[dict] = []

    def restored(self, tree: tuple) -> tuple:
        """Return (weights, state) as they were saved, or `tree` where nothing was."""
        if not (self.folder / "curve.json").exists():
            return tree
        self.curve = orjson.loads((self.folder / "curve.json").read_bytes())
        kept = load_file(self.folder / f"{self.curve[-1]['step']}.safetensors")
        structure = jax.tree.structure(tree)
        return jax.tree.unflatten(structure, [jnp.asarray(kept[str(i)]) for i in range(structure.num_leaves)])

    def save(self, tree: tuple, entry: dict) -> None:
        """Keep `tree` and add an entry to the curve; the curve names the state it belongs to."""
        print(orjson.dumps(entry).decode(), flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
        save_file(leaves, self.folder / f"{entry['step']}.safetensors")
        self.curve.append(entry)
        (self.folder / "curve.part").write_bytes(orjson.dumps(self.curve))
        os.replace(self.folder / "curve.part", self.folder / "curve.json")
        for old in self.folder.glob("*.safetensors"):
            if old.stem != str(entry["step"]):
                old.unlink()


def train(text: np.ndarray, valid: np.ndarray, steps: int, every: int, checkpoint: Checkpoint) -> Params:
    """Return the weights after `steps` steps, with an entry of the curve every few."""
    params = initial()
    params, state = checkpoint.restored((params, optimizer(jnp.int32(0), steps).init(params)))
    first, before = (checkpoint.curve[-1][key] if checkpoint.curve else 0 for key in ("step", "seconds"))
    started, losses = time.monotonic(), []
    for step in range(first, steps):
        params, state, nll = update(params, state, jnp.int32(step), batch(text, step), steps)
        losses.append(nll)
        if (step + 1) % every and step + 1 < steps:
            continue
        entry = {
            "step": step + 1,
            "tokens": (step + 1) * BATCH * POSITIONS,
            "seconds": round(before + time.monotonic() - started, 1),
            "nll_train": round(float(np.mean(losses)), 4),
            "nll_held_out": round(held_out(params, valid if step + 1 == steps else valid[: 8 * BATCH]), 4),
        }
        checkpoint.save((params, state), entry)
        losses = []
    return params


def main() -> None:
    """Train, and write the model with the curve beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "nano" / "master")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--every", type=int, default=100, help="steps between two entries of the curve")
    options = parser.parse_args()

    file = options.corpus / "tokenizer-4096.json"
    train_text, valid_text = (options.corpus / "corpus" / f"{part}.txt.xz" for part in ("train", "valid"))
    text, valid = (windows(encoded(path, Tokenizer.from_file(str(file)))) for path in (train_text, valid_text))
    checkpoint = Checkpoint(options.out.with_name(options.out.name + ".checkpoint"))
    params = train(text, valid, options.steps, options.every, checkpoint)
    write_master(params, file, options.out)
    report = {
        "command": f"python samples/train.py CORPUS --steps {options.steps}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "packages": {package.__name__: package.__version__ for package in (jax, optax, np)},
        "train_text_sha256": hashlib.sha256(lzma.decompress(train_text.read_bytes())).hexdigest(),
        "train_tokens": len(text) * POSITIONS,
        "curve": checkpoint.curve,
    }
    write_json(options.out / "training.json", report)
    shutil.rmtree(checkpoint.folder)


if __name__ == "__main__":
    main()
