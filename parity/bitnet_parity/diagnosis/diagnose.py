"""Where two models part, why, and the proof: weights first, then every operation on the candidate's own input.

    finding = diagnose(reference="packed", candidate="model-i2_s.gguf", text="The people of the")
    finding.verdict, finding.causes[0].sentence()

The candidate is a checkpoint, or what another engine computed on the way (`captures.Capture`). Causes come from
comparing what is stored and from alternatives tried on captured inputs; each is proved by equality, and all of them
together by the logits coming back (docs/diagnose.md). One layer's results are in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from bitnet_engine.capturing import Captured, capture
from bitnet_engine.errors import BitnetError, FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import Checkpoint, open_checkpoint
from bitnet_engine.loading import load_checkpoint
from bitnet_engine.model import Model
from bitnet_engine.numerics import Numerics
from bitnet_engine.pairs import open_pair
from bitnet_engine.tokenizer import load_tokenizer
from bitnet_parity.diagnosis.account import Account
from bitnet_parity.diagnosis.causes import Cause, Finding, OpResult, Proof, Unexplained, merged
from bitnet_parity.diagnosis.combining import combined
from bitnet_parity.diagnosis.describing import describe
from bitnet_parity.diagnosis.file_causes import (
    header_causes,
    refusal_causes,
    refused,
    setting_causes,
    tokenizer_causes,
)
from bitnet_parity.diagnosis.graph import weight_name
from bitnet_parity.diagnosis.hypotheses import Explained, explain
from bitnet_parity.diagnosis.repairing import floor, nmse, prove, repaired
from bitnet_parity.diagnosis.replay import Case, Reference, cases
from bitnet_parity.diagnosis.weight_causes import Difference, weight_steps
from bitnet_parity.diagnosis.weights import CheckpointWeights

TEXT = (
    "The people of the United States, in 1823, had no king; they'd elected a president, and his message to the "
    "Congress began: Fellow-citizens of the Senate and House of Representatives, many important subjects will claim"
)
"""What is run where no text is given: words, digits, punctuation."""
TOKENS = 32
FLOOR_FACTOR = 4.0
"""An account in float64 differs from a float32 engine as the floor's noises differ from each other, and by chance more."""

Progress = tuple[str, str, int, int]
"""Work, what of, its number from 1, how many there are."""


class CaptureSource(Protocol):
    """What another engine computed: the ids it was asked, and its results part by part."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids that were run."""
        ...

    @property
    def name(self) -> str:
        """Where it comes from."""
        ...

    def parts(self) -> Iterator[Captured]:
        """Yield the embedding, each layer, and the head."""
        ...


def diagnose(
    *,
    reference: str | Path,
    candidate: "str | Path | CaptureSource",
    tokens: Sequence[int] | None = None,
    text: str | None = None,
    candidate_numerics: str = Numerics.EXACT_INT8,
    progress: Callable[[Progress], object] | None = None,
    reproduction: Path | None = None,
) -> Finding:
    """Return why the candidate is not the reference.

    `tokens` are run as they are; else the first 32 ids of `text`, or of a text of our own. `reproduction` is a folder
    for the inputs and both results of the first operation that nothing explains.

    Raises:
        BitnetError: the reference cannot be read or run, or an id is outside its vocabulary.
    """
    with ExitStack() as stack:
        steps: Iterator[Progress | Finding]
        if isinstance(candidate, str | Path):
            try:
                pair = stack.enter_context(open_pair(reference, candidate))
            except (FormatError, UnsupportedError) as error:
                with open_checkpoint(reference) as _:
                    return _refused(str(reference), str(candidate), [refused(error)])
            steps = diagnose_steps(
                *pair, tokens=tokens, text=text, numerics=candidate_numerics, reproduction=reproduction
            )
        else:
            checkpoint = stack.enter_context(open_checkpoint(reference))
            steps = diagnose_capture_steps(checkpoint, candidate, reproduction=reproduction)
        for step in steps:
            if isinstance(step, Finding):
                return step
            if progress is not None:
                progress(step)
    raise AssertionError("a diagnosis ends with a Finding")


def _refused(reference: str, candidate: str, causes: list[Cause]) -> Finding:
    return Finding(
        reference=reference,
        candidate=candidate,
        tokens=(),
        causes=merged(causes),
        unexplained=(),
        operations=(),
        proof=None,
    )


def diagnose_steps(
    reference: Checkpoint,
    candidate: Checkpoint,
    *,
    tokens: Sequence[int] | None = None,
    text: str | None = None,
    numerics: str = Numerics.EXACT_INT8,
    reproduction: Path | None = None,
) -> Iterator[Progress | Finding]:
    """Diagnose two open checkpoints as `diagnose` does; yields progress, and the finding last."""
    names = str(reference.path), str(candidate.path)
    yield "load", "reference", 1, 2
    right = load_checkpoint(reference)
    yield "load", "candidate", 2, 2
    try:
        other = load_checkpoint(candidate, numerics)
    except (FormatError, UnsupportedError) as error:
        yield _refused(*names, list(refusal_causes(reference, candidate, error)))
        return
    weights = CheckpointWeights(reference)
    causes = [*tokenizer_causes(right.tokenizer, other.tokenizer), *header_causes(reference, candidate)]
    settings = list(setting_causes(right.config, other.config))
    unknown: list[Unexplained] = []
    for step in weight_steps(weights, CheckpointWeights(candidate)):
        if not isinstance(step, Difference):
            yield "compare", *step
        elif step.cause is not None:
            causes.append(step.cause)
        else:
            unknown.append(_unnamed(step))
    causes = combined([*settings, *causes], right.config)
    ids = _ids(right, tokens, text)
    if right.config.layers != other.config.layers or right.config.embed != other.config.embed:
        yield replace(_refused(*names, causes), unexplained=tuple(unknown), tokens=ids)
        return
    known = _known(causes, unknown)
    replay = _Replay(Reference(weights), ids, known=known, reproduction=reproduction)
    yield from replay.run(capture(other, ids), right.config.layers)
    causes += [cause for cause in combined(replay.causes, right.config) if cause.name not in {c.name for c in causes}]
    unknown += [one for one in replay.unexplained if (one.layer, one.operation) not in known]
    proof = None
    if causes or unknown or replay.differs:
        yield "prove", "repaired candidate", 1, 1
        proof = prove(right, other, repaired(right, other, causes, settings=bool(settings)), ids)
    yield Finding(
        reference=names[0],
        candidate=names[1],
        tokens=ids,
        causes=merged(causes),
        unexplained=tuple(unknown),
        operations=tuple(replay.results),
        proof=proof,
    )


def diagnose_capture_steps(
    reference: Checkpoint, candidate: CaptureSource, *, reproduction: Path | None = None
) -> Iterator[Progress | Finding]:
    """Diagnose what another engine computed, against an open checkpoint; yields progress, and the finding last."""
    yield "load", "reference", 1, 1
    right = load_checkpoint(reference)
    ids = _ids(right, candidate.tokens, None)
    replay = _Replay(Reference(CheckpointWeights(reference)), ids, known={}, reproduction=reproduction, account=True)
    yield from replay.run(candidate.parts(), right.config.layers)
    causes, proof = combined(replay.causes, right.config), None
    if replay.differs and replay.logits is not None:
        yield "prove", "reference with the causes", 1, 1
        proof = Proof(
            what="logits of the reference with every cause put in, against the candidate's",
            before=nmse(replay.logits, right.logits(ids)),
            after=nmse(replay.accounted, replay.logits),
            floor=FLOOR_FACTOR * floor(right, ids),
        )
    yield Finding(
        reference=str(reference.path),
        candidate=candidate.name,
        tokens=ids,
        causes=merged(causes),
        unexplained=tuple(replay.unexplained),
        operations=tuple(replay.results),
        proof=proof,
    )


def _ids(model: Model, tokens: Sequence[int] | None, text: str | None) -> tuple[int, ...]:
    ids = model.tokenizer.encode(TEXT if text is None else text)[:TOKENS] if tokens is None else list(tokens)
    if not ids:
        raise SettingError("there are no tokens to run; give a text that has some, or ids.")
    return tuple(int(i) for i in ids[: model.config.max_positions])


def _unnamed(difference: Difference) -> Unexplained:
    pieces = difference.tensor.split(".")
    layer = int(pieces[1]) if pieces[0] == "blk" else None
    return Unexplained(layer, pieces[-2], float("nan"), difference.description)


def _known(causes: Iterable[Cause], unknown: Iterable[Unexplained]) -> dict[tuple[int | None, str], str]:
    """Return what is known of operations before any is replayed: by layer and name, the cause; layer −1 is every."""
    found: dict[tuple[int | None, str], str] = {(one.layer, one.operation): "" for one in unknown}
    settings = {"activation-other": ("ffn_activation",), "theta-other": ("rope_q", "rope_k")}
    settings |= {"rope-unscaled": ("rope_q", "rope_k"), "heads-other": ("attention",)}
    norms = ("attn_norm", "attn_q_norm", "attn_k_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm", "output_norm")
    settings["eps-other"] = norms
    for cause in causes:
        for operation in settings.get(cause.name, ()):
            found[-1, operation] = cause.name
        for tensor in cause.tensors:
            pieces = tensor.split(".")
            found[int(pieces[1]) if pieces[0] == "blk" else None, pieces[-2]] = cause.name
            if tensor == "token_embd.weight":
                found[None, "output"] = cause.name
    return found


class _Replay:
    """A replay under way: results, causes and what nothing explains, kept as small as can be."""

    def __init__(
        self,
        reference: Reference,
        tokens: tuple[int, ...],
        *,
        known: dict[tuple[int | None, str], str],
        reproduction: Path | None,
        account: bool = False,
    ) -> None:
        self._reference, self._tokens, self._known = reference, tokens, known
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
        self.results.append(OpResult(*place, case.residual, case.op.tolerance, cause or None if case.differs else None))
        if self._account is not None:
            self._account.step(case.op, case.layer, None if explained is None else explained.alternative.compute)

    def _left(self, case: Case) -> Unexplained:
        file = None
        if self._reproduction is not None and not self.unexplained:
            from bitnet_parity.diagnosis.captures import write_reproduction

            file = str(write_reproduction(self._reproduction, case))
        return Unexplained(case.layer, case.op.name, case.residual, describe(case), file)


def _cause(case: Case, explained: Explained) -> Cause:
    """Return a proved alternative as a cause."""
    other = explained.alternative
    weighted = case.op.kind in ("norm", "product", "embedding", "head")
    name = weight_name(case.op, case.layer)
    weights = case.reference.weights
    stored = weighted and name in weights
    return Cause(
        name=other.name,
        operation=case.op.name,
        layer=case.layer,
        tensors=(name,) if stored else (),
        rows=other.rows[:16],
        offset=None,
        says=other.says,
        should=other.should,
        source=other.source,
        evidence=f"residual {case.residual:.3g} as it is, {explained.residual:.3g} with it; {case.op.tolerance:.0e} is rounding",
        remedy=other.remedy,
        harmless=other.harmless,
    )
