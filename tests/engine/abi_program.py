"""The built kernel under whatever jaxlib is on the path: every handler, against XLA and numpy; prints one JSON object.

    PYTHONPATH=FOLDER_OF_AN_OLDER_JAX BITNET_KERNEL=native python -m tests.engine.abi_program

Exits 1 where a result is another one. .ci/run gives it the oldest jaxlib that pyproject.toml allows.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import bitnet_engine as engine
from bitnet_engine import kernels
from bitnet_engine.packing import PackedTernary, ternary_matmul

NANO = Path(__file__).parents[2] / "samples" / "nano" / "packed"
TOKENS = list(range(100, 140))


def products_are_exact() -> bool:
    """Compare the integer sums of some rows with numpy's."""
    random = np.random.default_rng(0)
    q = random.integers(-128, 128, (40, 50)).astype(np.int8)
    trits = random.integers(-1, 2, (70, 50)).astype(np.int8)
    found = ternary_matmul(jnp.asarray(q), PackedTernary.from_trits(trits, 1.0))
    return np.array_equal(np.asarray(found), q.astype(np.int32) @ trits.T.astype(np.int32))


def a_step_is_the_score_s() -> bool:
    """Compare the logits of a prompt and one decoded token, kernel throughout, with those of scoring, XLA's floats."""
    model = engine.load(str(NANO))
    _, cache = model.prefill(TOKENS[:-1], max_len=len(TOKENS))
    step, _ = model.decode(TOKENS[-1], cache)
    return np.allclose(np.asarray(step), model.logits(TOKENS)[-1], atol=1e-3)


if __name__ == "__main__":
    results = {"products": products_are_exact(), "step": a_step_is_the_score_s()}
    sys.stdout.write(json.dumps({"jax": jax.__version__, "kernel": kernels.backend().describe(), **results}) + "\n")
    sys.exit(0 if all(results.values()) else 1)
