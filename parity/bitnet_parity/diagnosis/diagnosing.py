"""Where two models part, why, and the proof: weights first, then every operation on the candidate's own input.

    finding = diagnose(reference="packed", candidate="model-i2_s.gguf", text="The people of the")
    finding.verdict, finding.causes[0].sentence()

The candidate is a checkpoint, or what another engine computed on the way (`captures.Capture`). Causes come from
comparing what is stored and from alternatives tried on captured inputs; each is proved by equality, and all of them
together by the logits coming back (docs/diagnose.md). One layer's results are in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bitnet_engine.capturing import Captured, capture
from bitnet_engine.config import states_activation_quant
from bitnet_engine.errors import FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import Checkpoint, open_checkpoint
from bitnet_engine.loading import load_checkpoint
from bitnet_engine.model import Model
from bitnet_engine.naming import PROJECTIONS
from bitnet_engine.numerics import Numerics
from bitnet_engine.pairs import open_pair
from bitnet_parity.diagnosis.captures import Capture, is_capture
from bitnet_parity.diagnosis.causes import Cause, Finding, Proof, Unexplained, merged
from bitnet_parity.diagnosis.combining import combined
from bitnet_parity.diagnosis.examining import Examination, Progress
from bitnet_parity.diagnosis.file_causes import (
    header_causes,
    refusal_causes,
    refused,
    setting_causes,
    tokenizer_causes,
)
from bitnet_parity.diagnosis.repairing import floor, nmse, prove, repaired
from bitnet_parity.diagnosis.replay import Reference
from bitnet_parity.diagnosis.weight_causes import Difference, weight_steps
from bitnet_parity.diagnosis.weights import CheckpointWeights

TEXT = (
    "The people of the United States, in 1823, had no king; they'd elected a president, and his message to the "
    "Congress began: Fellow-citizens of the Senate and House of Representatives, many important subjects will claim"
)
"""What is run where no text is given: words, digits, punctuation."""
TOKENS = 32
FLOOR_FACTOR = 4.0
"""An account in float64 differs from a float32 engine as noises differ from each other, and by chance more."""


@runtime_checkable
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
    """Return why the candidate, a checkpoint or a capture, is not the reference; a folder may be either.

    `tokens` are run as they are; else the first 32 ids of `text`, or of a text of our own. `reproduction` is a folder
    for the inputs and both results of the first operation that nothing explains.

    Raises:
        BitnetError: the reference cannot be read or run, or an id is outside its vocabulary.
    """
    steps = open_steps(
        reference, candidate, tokens=tokens, text=text, numerics=candidate_numerics, reproduction=reproduction
    )
    for step in steps:
        if isinstance(step, Finding):
            return step
        if progress is not None:
            progress(step)
    raise AssertionError("a diagnosis ends with a Finding")


def open_steps(
    reference: str | Path,
    candidate: "str | Path | CaptureSource",
    *,
    reproduction: Path | None = None,
    readings: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Iterator[Progress | Finding]:
    """Open both sides and diagnose them as `diagnose` does; yields progress, and the finding last.

    `readings` are those of `open_pair`; `asked` are tokens, text, count and numerics of `diagnose_steps`.
    """
    if isinstance(candidate, str | Path) and is_capture(Path(candidate)):
        candidate = Capture.open(Path(candidate))
    if not isinstance(candidate, str | Path):
        with open_checkpoint(reference) as checkpoint:
            yield from diagnose_capture_steps(checkpoint, candidate, reproduction=reproduction)
        return
    with ExitStack() as stack:
        try:
            pair = stack.enter_context(open_pair(reference, candidate, **(readings or {})))
        except (FormatError, UnsupportedError) as error:
            open_checkpoint(reference).close()  # the reference's own error is no finding
            yield _refused(str(reference), str(candidate), [refused(error)])
            return
        yield from diagnose_steps(*pair, reproduction=reproduction, **asked)


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
    count: int = TOKENS,
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
    # What nothing states is what loading makes of the weights: a consequence of theirs, and no cause.
    unstated = right.config.activation_quant != other.config.activation_quant and not states_activation_quant(candidate)
    stated = replace(other.config, activation_quant=right.config.activation_quant) if unstated else other.config
    settings = list(setting_causes(right.config, stated))
    unknown: list[Unexplained] = []
    for step in weight_steps(weights, CheckpointWeights(candidate)):
        if not isinstance(step, Difference):
            yield "compare", *step
        elif step.cause is not None:
            causes.append(step.cause)
        else:
            unknown.append(_unnamed(step))
    causes = combined([*settings, *causes], right.config)
    ids = _ids(right, tokens, text, count)
    if right.config.layers != other.config.layers or right.config.embed != other.config.embed:
        yield replace(_refused(*names, causes), unexplained=tuple(unknown), tokens=ids)
        return
    known = _known(causes, unknown) | ({(-1, part): "scale-of-block" for part in PROJECTIONS} if unstated else {})
    replay = Examination(Reference(weights), ids, known=known, reproduction=reproduction)
    yield from replay.run(capture(other, ids), right.config.layers)
    causes += [cause for cause in combined(replay.causes, right.config) if cause.name not in {c.name for c in causes}]
    unknown += [one for one in replay.unexplained if (one.layer, one.operation) not in known]
    proof = None
    if causes or unknown or replay.differs:
        yield "prove", "repaired candidate", 1, 1
        proof = prove(right, other, repaired(right, other, causes, settings=bool(settings) or unstated), ids)
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
    ids = _ids(right, candidate.tokens, None, TOKENS)
    replay = Examination(
        Reference(CheckpointWeights(reference)), ids, known={}, reproduction=reproduction, account=True
    )
    yield from replay.run(candidate.parts(), right.config.layers)
    causes, proof = combined(replay.causes, right.config), None
    if replay.differs and replay.logits is not None:
        yield "prove", "reference with the causes", 1, 1
        proof = Proof(
            what="logits of the reference with every cause put in, against the candidate's",
            before=nmse(replay.logits, right.logits(ids)),
            after=nmse(replay.accounted, replay.logits),
            floor=FLOOR_FACTOR * floor(_as_rounded(right, causes), ids),
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


def _as_rounded(model: Model, causes: Iterable[Cause]) -> Model:
    """Return the reference with the candidate's rounding, whose noise is then the floor: bfloat16 has more of it."""
    coarse = any(cause.name == "bfloat16" for cause in causes)
    return replace(model, numerics=Numerics.HF_BF16) if coarse else model


def _ids(model: Model, tokens: Sequence[int] | None, text: str | None, count: int) -> tuple[int, ...]:
    ids = model.tokenizer.encode(TEXT if text is None else text)[:count] if tokens is None else list(tokens)
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
