"""The reference's operation on the candidate's own input: the one difference that no earlier one can cause.

    reference = Reference(CheckpointWeights(checkpoint))
    for case in cases(reference, capture(candidate, tokens), tokens):
        case.residual, case.tolerance

Errors do not accumulate from one operation to the next, so the first residual over its tolerance is the first fault
(docs/parity.md §5). One layer of the candidate's results is in memory at a time. It names nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_engine.config import LinearClass
from bitnet_engine.diffing import EMBEDDING
from bitnet_engine.errors import FormatError
from bitnet_engine.formats import Trits
from bitnet_parity.diagnosis import bfloat16
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.graph import Op, embedding_op, head_ops, layer_ops, weight_name
from bitnet_parity.diagnosis.weights import CheckpointWeights

Inputs = tuple[np.ndarray, ...]
Compute = Callable[[Inputs, np.ndarray | None], np.ndarray]
"""An operation: its inputs, and the other engine's result where codes on an edge are to be settled by it."""

BF16_TOLERANCE = 2e-3
"""Another order of sums moves some results over an edge of bfloat16, which is 2⁻⁸ wide."""
SCORE_ROUNDING = 2.0**-24
"""Of the largest product of lengths |q| |k| / sqrt(head_dim): what float32 may add to a score, and so to its weight."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference as operations."""

    weights: CheckpointWeights

    def shaped(self, op: Op, inputs: Inputs) -> Inputs:
        """Return the inputs as float64, with heads apart where the operation works on heads."""
        dim = self.weights.config.head_dim
        wide = tuple(x if x.dtype.kind == "i" else x.astype(np.float64) for x in inputs)
        if op.kind in ("rope", "attention") or op.name in ("attn_q_norm", "attn_k_norm"):
            return tuple(x.reshape(len(x), -1, dim) for x in wide)
        return tuple(x.reshape(len(x), -1) if x.ndim > 2 else x for x in wide)

    def matrix(self, op: Op, layer: int | None) -> o.Matrix:
        """Return the weight of an operation."""
        return self.weights.read(weight_name(op, layer))

    def quantiser(self, matrix: o.Matrix) -> str:
        """Return how the inputs of a matrix are rounded."""
        one = isinstance(matrix, Trits) and matrix.scale.ndim == 0
        return "row" if one and self.weights.config.activation_quant else "none"

    def product(
        self,
        x: np.ndarray,
        matrix: o.Matrix,
        quantiser: str,
        like: np.ndarray | None,
        keep: o.Keep = o.as_is,
        kind: LinearClass | None = None,
    ) -> np.ndarray:
        """Return x · matrixᵀ, float64 [seq, out].

        In bfloat16 it is transformers' layer of the class that the config names, or of `kind`, codes and all.
        """
        if keep is o.as_is or quantiser != self.quantiser(matrix):
            return keep(o.multiply(x, matrix, quantiser, like))
        return bfloat16.product(x, matrix, kind or self.weights.config.linear_class)

    def compute(
        self,
        op: Op,
        layer: int | None,
        inputs: Inputs,
        like: np.ndarray | None = None,
        keep: o.Keep = o.as_is,
    ) -> np.ndarray:
        """Return the operation's result, float64 [seq, …], or as an engine has it that keeps results by `keep`."""
        c = self.weights.config
        if op.kind == "norm":
            own = c.input_norm_eps is not None and op.name.endswith("_norm_in")
            gain = self.matrix(op, layer)
            assert isinstance(gain, np.ndarray)
            eps = c.input_norm_eps if own and c.input_norm_eps else c.rms_eps
            return o.normalise(inputs[0], gain, eps, keep=keep)
        if op.kind == "product":
            matrix = self.matrix(op, layer)
            return self.product(inputs[0], matrix, self.quantiser(matrix), like, keep)
        if op.kind == "rope":
            return o.rotate(inputs[0], c.rope_theta, c.rope_factors, keep=keep)
        if op.kind == "attention":
            return o.attend(*inputs, keep=keep)
        if op.kind == "gated":
            return o.gated(inputs[0], inputs[1], c.activation, keep=keep)
        if op.kind == "sum":
            return keep(inputs[0] + inputs[1])
        if op.kind == "embedding":
            return keep(o.dense(self.weights.read(EMBEDDING))[inputs[0]])
        return keep(inputs[0] @ keep(o.dense(self.matrix(op, layer))).T)


@dataclass(eq=False)
class Case:
    """One operation of the candidate: what went in, what came out, and what the reference makes of it."""

    reference: Reference
    op: Op
    layer: int | None
    inputs: Inputs
    """float64, as `Reference.shaped` leaves them; ids of the embedding."""
    found: np.ndarray
    """float64, of the shape of `expected`."""
    tokens: tuple[int, ...]
    features: np.ndarray | None = None
    """Order of the feed-forward's features, where ffn_gate of this layer has shown that it is another."""
    expected: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.expected = self.reference.compute(self.op, self.layer, self.inputs)
        self.found = self.found.reshape(self.expected.shape)

    @property
    def flat(self) -> np.ndarray:
        """What was found, a row a token."""
        return self.found.reshape(len(self.found), -1)

    @cached_property
    def keep(self) -> o.Keep:
        """How the candidate keeps this result: in bfloat16, if all its numbers are of that type."""
        return o.bfloat16 if np.array_equal(self.found, o.bfloat16(self.found)) else o.as_is

    @cached_property
    def kept(self) -> np.ndarray:
        """What the reference makes of it where results are kept so."""
        if self.keep is o.as_is:
            return self.expected
        given = self.reference.compute(self.op, self.layer, self.inputs, None, self.keep)
        return given.reshape(self.expected.shape)

    @property
    def slack(self) -> float:
        """The largest residual to `kept` that rounding explains."""
        return self.tolerance if self.keep is o.as_is else max(self.tolerance, BF16_TOLERANCE)

    @cached_property
    def tolerance(self) -> float:
        """The largest residual that rounding explains; that of attention, an exponential, grows with its scores."""
        if self.op.kind != "attention":
            return self.op.tolerance
        queries, keys, _ = self.inputs
        lengths = (np.linalg.norm(x, axis=-1).max() for x in (queries, keys))
        largest = float(math.prod(lengths)) / math.sqrt(queries.shape[-1])
        return max(self.op.tolerance, SCORE_ROUNDING * largest)

    @cached_property
    def residual(self) -> float:
        """‖found − expected‖ / ‖expected‖, with codes on an edge as the candidate must have taken them."""
        plain = o.residual(self.found, self.expected)
        if plain <= self.tolerance or self.op.kind != "product":
            return plain
        settled = self.reference.compute(self.op, self.layer, self.inputs, self.flat)
        return min(plain, o.residual(self.found, settled))

    @cached_property
    def sure(self) -> np.ndarray:
        """Tokens without a code on an edge, which say most about a product: all where too few have none."""
        matrix = self.reference.matrix(self.op, self.layer)
        sure = np.flatnonzero(~o.on_edges(self.inputs[0], self.reference.quantiser(matrix)))
        return sure if len(sure) > 1 else np.arange(len(self.found))

    @property
    def differs(self) -> bool:
        """Whether it is over the operation's tolerance."""
        return self.residual > self.tolerance


def cases(reference: Reference, captured: Iterable[Captured], tokens: Sequence[int]) -> Iterator[Case]:
    """Replay every operation of the captured candidate, in graph order.

    Raises:
        FormatError: a part has not the results that the reference's graph needs.
    """
    config = reference.weights.config
    ids, before = tuple(int(token) for token in tokens), np.empty(0)
    for number, part in enumerate(captured):
        values = {name: value.astype(np.float64) for name, value in part.values.items()}
        values |= {"l_inp": before, "tokens": np.asarray(ids)}
        ops = layer_ops(config) if part.layer is not None else head_ops() if number else (embedding_op(),)
        for op in ops:
            if missing := [name for name in (*op.inputs, op.output) if name not in values]:
                where = "" if part.layer is None else f" of layer {part.layer}"
                raise FormatError(
                    f"the capture: there is no '{missing[0]}'{where}, which {op.spoken} has in the reference's graph; "
                    f"it has {', '.join(part.values)}. Capture the candidate with these results named."
                )
            inputs = reference.shaped(op, tuple(values[name] for name in op.inputs))
            yield Case(reference, op, part.layer, inputs, values[op.output], ids)
        before = values["l_out" if part.layer is not None else next(iter(part.values))]
