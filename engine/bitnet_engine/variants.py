"""A model again, with what must not matter changed: the noise under every comparison of two models.

    HalfUlp(model, seed=0).logits(tokens)               # inputs moved by half a unit in the last place
    OtherShape(model).logits(tokens)                    # computed in an array of another length

Both have `.logits` as a Model has. Memory: beside the model one row of the embedding a token. Knows nothing of what
the differences are compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bitnet_engine.model import SMALLEST_BUCKET, Model, embedded
from bitnet_engine.numerics import Numerics

# The unit in the last place as a step of the bits of a float32, by what activations are kept in.
_FLOAT32_STEP, _BFLOAT16_STEP = 1, 1 << 16


@dataclass(frozen=True)
class HalfUlp:
    """A model whose input vectors are each off by half an ulp in the mean.

    Every number of them moves up or down by one ulp with probability 1/2, as another engine's rounding would move
    it: of bfloat16 where the model keeps activations in it, else of float32.
    """

    model: Model
    seed: int = 0

    def logits(self, tokens: Sequence[int]) -> Float[np.ndarray, "seq vocab"]:
        """Return what `Model.logits` returns, float32, from the moved inputs. Raises what it raises."""
        weights = self.model.weights
        # As many rows as the tokens are padded to: few shapes mean few compilations.
        ids = self.model._padded(tokens, self.model.config.max_positions)
        split = self.model.split
        rows = split.place_table(jnp.asarray(self._moved(np.asarray(embedded(weights, ids, split)))))
        # A head that is tied to the embedding keeps the rows it had.
        output = weights.token_embd if weights.output is None else weights.output
        table = eqx.tree_at(
            lambda w: (w.token_embd, w.output), weights, (rows, output), is_leaf=lambda node: node is None
        )
        return replace(self.model, weights=table).logits(range(len(tokens)))

    def _moved(self, rows: np.ndarray) -> np.ndarray:
        step = _BFLOAT16_STEP if self.model.numerics is Numerics.HF_BF16 else _FLOAT32_STEP
        bits = rows.view(np.int32)
        steps = np.random.default_rng(self.seed).choice(np.array([-step, 0, 0, step], np.int32), size=rows.shape)
        # One less than the bits of 0 is no neighbour of 0.
        return np.where(rows == 0.0, bits, bits + steps).astype(np.int32).view(np.float32)


@dataclass(frozen=True)
class OtherShape:
    """A model that pads its tokens to another length: the same sums, which XLA may order otherwise."""

    model: Model

    def logits(self, tokens: Sequence[int]) -> Float[np.ndarray, "seq vocab"]:
        """Return what `Model.logits` returns, float32, computed in a longer array. Raises what it raises."""
        config = self.model.config
        size = len(self.model._padded(tokens, config.max_positions))
        longer = replace(self.model, config=replace(config, max_positions=size + SMALLEST_BUCKET))
        # Whatever follows the tokens is hidden from them by causality.
        return longer.logits([*tokens, *[0] * (size + 1 - len(tokens))])[: len(tokens)]
