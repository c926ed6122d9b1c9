"""The model that the proved causes make of the reference, run from the ids: if it is the candidate, they are all there is.

    account = Account(reference, tokens)
    for case in cases(...): account.step(case.op, case.layer, compute_or_None)
    account.logits                                      # to be compared with the candidate's

Goes along with a replay, so that one layer's values are in memory at a time, and no alternative outlives its layer.
"""

from collections.abc import Sequence

import numpy as np

from bitnet_parity.diagnosis.graph import Op
from bitnet_parity.diagnosis.replay import Compute, Reference


class Account:
    """A forward pass in float64 that takes another operation where one is given."""

    def __init__(self, reference: Reference, tokens: Sequence[int]) -> None:
        """Begin before the embedding."""
        self._reference = reference
        self._values: dict[str, np.ndarray] = {"tokens": np.asarray(tokens)}

    def step(self, op: Op, layer: int | None, other: Compute | None) -> None:
        """Compute one operation on what the last ones gave: the reference's, or `other`."""
        inputs = self._reference.shaped(op, tuple(self._values[name] for name in op.inputs))
        result = self._reference.compute(op, layer, inputs) if other is None else other(inputs, None)
        if op.output in ("inp_embd", "l_out"):
            self._values = {"l_inp": result}
        else:
            self._values[op.output] = result

    @property
    def logits(self) -> np.ndarray:
        """The last result, [seq, vocab]."""
        return self._values["result_output"]
