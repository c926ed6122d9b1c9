"""One process's share of a determinism proof: logits and integer sums of one model, in several shapes.

    echo '{"path": "model.gguf", "numerics": "exact-int8", "tokens": 24, "save": "DIR"}' \\
        | python -m bitnet_engine.determinism

prints one JSON object: the numerics, and for each shape the sha256 of what came out; the arrays are saved as
DIR/NAME.npy. A model that cannot be read or run ends it with the error's exit code, the message on standard output.
Ids are seeded, so that every process asks the same. Judges nothing: `bitnet_parity.verify` compares.

| name | what |
|---|---|
| logits | float32 [sequences, seq, vocab], a sequence at a time: what every command computes |
| batch | the same, all sequences in one batch |
| bucket | the same, a sequence at a time, padded to the next larger shape |
| capture | a sequence at a time, every result on the way kept |
| accumulators | int32: every ternary matrix on seeded int8 codes, a row at a time |
| accumulators_batch | the same, all rows at once |
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine.capturing import capture
from bitnet_engine.environment import environment
from bitnet_engine.errors import BitnetError
from bitnet_engine.formats import I2SLayout
from bitnet_engine.loading import load
from bitnet_engine.model import Model, bucket, score
from bitnet_engine.packing import BlockTernary, PackedTernary, ternary_matmul

SEQUENCES = 8
SEED = 20240227
"""Of the ids and codes that are asked; the environment's BITNET_SEED is another's business."""


def seeded_ids(model: Model, tokens: int) -> np.ndarray:
    """Return int64 ids [SEQUENCES, tokens], the same in every process."""
    return np.random.default_rng(SEED).integers(0, model.tokenizer.vocab_size, (SEQUENCES, tokens))


def logits(model: Model, ids: np.ndarray) -> np.ndarray:
    """Return the logits [sequences, seq, vocab], a sequence at a time."""
    return np.stack([model.logits(row.tolist()) for row in ids])


def batched_logits(model: Model, ids: np.ndarray) -> np.ndarray:
    """Return the same with all sequences in one batch, each padded as one alone is."""
    size = bucket(ids.shape[1], model.config.max_positions)
    padded = jnp.asarray(np.pad(ids, ((0, 0), (0, size - ids.shape[1]))), jnp.int32)
    found = jax.vmap(lambda row: score(model.config, model.numerics, model.weights, row))(padded)
    return np.asarray(found)[:, : ids.shape[1]]


def bucketed_logits(model: Model, ids: np.ndarray) -> np.ndarray | None:
    """Return the same in the next larger shape; None where the model has no more positions than the first."""
    limit = model.config.max_positions
    size = bucket(ids.shape[1], limit)
    if size == limit:
        return None
    longer = np.pad(ids, ((0, 0), (0, size + 1 - ids.shape[1])))
    return logits(model, longer)[:, : ids.shape[1]]


def captured_logits(model: Model, ids: np.ndarray) -> np.ndarray:
    """Return the logits, a sequence at a time, as they are where every result on the way is captured."""
    return np.stack([[*capture(model, row.tolist())][-1].values["result_output"] for row in ids])


def accumulators(model: Model, rows: int) -> Iterator[np.ndarray]:
    """Yield int32 [SEQUENCES, out] of every ternary matrix on seeded codes, `rows` codes at a time."""
    generator = np.random.default_rng(SEED)
    product = jax.jit(ternary_matmul)
    for layer in range(model.config.layers):
        for matrix in model.weights.layers.at(jnp.int32(layer)).linears().values():
            if isinstance(matrix, PackedTernary | BlockTernary):
                codes = generator.integers(-128, 128, (SEQUENCES, matrix.features)).astype(np.int8)
                parts = [product(jnp.asarray(codes[i : i + rows]), matrix) for i in range(0, SEQUENCES, rows)]
                yield np.concatenate(parts)


def probe(model: Model, tokens: int) -> dict[str, np.ndarray]:
    """Return every array of the table above that this model has."""
    ids = seeded_ids(model, tokens)
    found: dict[str, np.ndarray | None] = {"logits": logits(model, ids), "batch": batched_logits(model, ids)}
    found |= {"bucket": bucketed_logits(model, ids), "capture": captured_logits(model, ids)}
    for name, rows in (("accumulators", 1), ("accumulators_batch", SEQUENCES)):
        sums = [part.ravel() for part in accumulators(model, rows)]
        found[name] = np.concatenate(sums) if sums else None
    return {name: array for name, array in found.items() if array is not None}


def main() -> None:
    """Answer the request on standard input."""
    request = json.loads(sys.stdin.readline())
    environment().apply()
    try:
        sys.stdout.write(json.dumps(_answer(request)) + "\n")
    except BitnetError as error:
        sys.stdout.write(json.dumps(str(error)) + "\n")
        sys.exit(error.exit_code)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    layout, config = request.get("i2s_layout"), request.get("kernel_config")
    model = load(
        request["path"],
        request["numerics"],
        i2s_layout=None if layout is None else I2SLayout(layout),
        kernel_config=None if config is None else Path(config),
    )
    arrays = probe(model, request["tokens"])
    for name, array in arrays.items():
        np.save(Path(request["save"]) / f"{name}.npy", array, allow_pickle=False)
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    # What it was really run with: a model trained without int8 activations is run in floats.
    return {"numerics": model.numerics.value, "digests": digests}


if __name__ == "__main__":
    main()
