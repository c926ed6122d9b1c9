"""A replay of all operations with every hypothesis tried where one differs: what was proved, and what was not.

    examination = Examination(reference, tokens, account=True)
    for progress in examination.run(capture(model, tokens), layers): ...
    examination.causes, examination.unexplained, examination.accounted

Runs nothing of the engine: the candidate's results come from outside, and the reference's are computed in numpy.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_parity.diagnosis.account import Account
from bitnet_parity.diagnosis.captures import write_reproduction
from bitnet_parity.diagnosis.causes import Cause, OpResult, Unexplained
from bitnet_parity.diagnosis.describing import describe
from bitnet_parity.diagnosis.graph import weight_name
from bitnet_parity.diagnosis.hypotheses import Explained, explain
from bitnet_parity.diagnosis.replay import Case, Reference, cases

Progress = tuple[str, str, int, int]
"""Work, what of, its number from 1, how many there are."""


class Examination:
    """A replay under way: results, causes and what nothing explains. Nothing of a layer outlives it but the logits."""

    def __init__(
        self,
        reference: Reference,
        tokens: tuple[int, ...],
        *,
        known: Mapping[tuple[int | None, str], str] | None = None,
        reproduction: Path | None = None,
        account: bool = False,
    ) -> None:
        """Begin; `known` are causes by (layer, operation), layer −1 for all; with `account` what is found is proved."""
        self._reference, self._tokens, self._known = reference, tokens, known or {}
        self._reproduction = reproduction
        self._account = Account(reference, tokens) if account else None
        self.results: list[OpResult] = []
        self.causes: list[Cause] = []
        self.unexplained: list[Unexplained] = []
        self.logits: np.ndarray | None = None
        self._features: dict[int | None, np.ndarray] = {}

    @property
    def differs(self) -> bool:
        """Whether an operation is over its tolerance."""
        return any(result.differs for result in self.results)

    @property
    def accounted(self) -> np.ndarray:
        """Logits of the reference with what was proved."""
        assert self._account is not None
        return self._account.logits

    def run(self, parts: Iterable[Captured], layers: int) -> Iterator[Progress]:
        """Replay all operations; yields progress at the first of each part."""
        last: int | None = -1
        for case in cases(self._reference, parts, self._tokens):
            case.features = self._features.get(case.layer)
            if case.layer != last and case.layer is not None:
                yield "replay", f"layer {case.layer}", case.layer + 1, layers
            last = case.layer
            self._take(case)
            if case.op.output == "result_output":
                self.logits = case.found

    def _take(self, case: Case) -> None:
        place = (case.layer, case.op.name)
        cause = self._known.get(place, self._known.get((-1, case.op.name)))
        explained = explain(case) if case.differs and cause is None else None
        if explained is not None:
            cause = explained.alternative.name
            self.causes.append(_cause(case, explained))
            if case.op.name == "ffn_gate" and explained.alternative.order is not None:
                self._features[case.layer] = explained.alternative.order
        elif case.differs and cause is None:
            self.unexplained.append(self._left(case))
        self.results.append(OpResult(*place, case.residual, case.tolerance, cause or None if case.differs else None))
        if self._account is not None:
            self._account.step(case, None if explained is None else explained.alternative.compute)

    def _left(self, case: Case) -> Unexplained:
        file = None
        if self._reproduction is not None and not self.unexplained:
            file = str(write_reproduction(self._reproduction, case))
        return Unexplained(case.layer, case.op.name, case.residual, describe(case), file)


def _cause(case: Case, explained: Explained) -> Cause:
    """Return a proved alternative as a cause."""
    other = explained.alternative
    name = weight_name(case.op, case.layer)
    return Cause(
        name=other.name,
        operation=case.op.name,
        layer=case.layer,
        tensors=(name,) if other.of_weight else (),
        rows=other.rows[:16],
        offset=None,
        says=other.says,
        should=other.should,
        source=other.source,
        evidence=f"residual {case.residual:.3g}, with it {explained.residual:.3g}; {case.tolerance:.0e} is rounding",
        remedy=other.remedy,
        harmless=other.harmless,
    )
