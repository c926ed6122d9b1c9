"""The model that the proved causes make of the reference: where it is the candidate, they are all there is.

    account = Account(reference, tokens)
    for case in cases(...): account.step(case, compute_or_None)
    account.logits                                      # to be compared with the candidate's

Goes along with a replay, so that one layer's values are in memory at a time, and no alternative outlives its layer.
"""

from collections.abc import Sequence

import numpy as np

from bitnet_parity.diagnosis.replay import Case, Compute, Reference


class Account:
    """A forward pass in float64 that takes another operation where one is given."""

    def __init__(self, reference: Reference, tokens: Sequence[int]) -> None:
        """Begin before the embedding."""
        self._reference = reference
        self._values: dict[str, np.ndarray] = {"tokens": np.asarray(tokens)}

    def step(self, case: Case, other: Compute | None) -> None:
        """Compute the operation of `case` on what the last ones gave here: the reference's, or `other`.

        Codes on an edge are taken as the candidate took them: one of them is more than all other noise.
        """
        op = case.op
        inputs = self._reference.shaped(op, tuple(self._values[name] for name in op.inputs))
        like = case.flat
        result = self._reference.compute(op, case.layer, inputs, like) if other is None else other(inputs, like)
        if op.output in ("inp_embd", "l_out"):
            self._values = {"l_inp": result}
        else:
            self._values[op.output] = result

    @property
    def logits(self) -> np.ndarray:
        """The last result, [seq, vocab]."""
        return self._values["result_output"]
