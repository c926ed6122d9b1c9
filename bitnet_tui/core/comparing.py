"""The parts of a comparison: its inputs out of the opened sides, its journal, its results as events.

    with open_journal(".parity.journal", request, settings, known) as journal:
        yield from parity_events(parity.stream(..., journal=journal), gates, request["export"])

Part of `core.session`, which puts them together; imported in workers only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_engine.errors import SettingError
from bitnet_tui.core.events import Event

if TYPE_CHECKING:
    from bitnet_parity.comparison import Item
    from bitnet_parity.corpus import Corpus
    from bitnet_parity.journal import Journal
    from bitnet_parity.profiles import Gates
    from bitnet_parity.sources import LogitSource, Side
    from bitnet_tui.core.sides import Opened

EVENTS = {"Stage": "stage", "Plan": "plan", "TokenRow": "token", "DocumentRow": "document"}
"""What `parity.stream` yields, by class, as kinds of events."""


def inputs(loaded: "list[Opened]", corpus: "Corpus | None") -> dict[str, Any]:
    """Return the sides as `parity.stream` takes them. A side without a tokenizer goes by the other's."""
    (reference, candidate) = loaded
    tokenizers = [side.tokenizer for side in loaded if side.tokenizer is not None]
    if not tokenizers:
        raise SettingError("Both sides are kld: files, which hold no tokenizer; put a model or a recording on one.")
    brought = [text for side in loaded if (text := side.corpus(tokenizers[0].bos)) is not None]
    return {
        "reference": reference.source,
        "candidate": candidate.source,
        "reference_tokenizer": reference.tokenizer or tokenizers[0],
        "candidate_tokenizer": candidate.tokenizer or tokenizers[0],
        "corpus": brought[0] if brought else corpus,
        "reference_description": reference.description,
        "candidate_description": candidate.description,
    }


def given_corpus(request: dict[str, Any], named: "list[Side]", default: Path) -> "Corpus | None":
    """Load the text that was asked for, else the `default`; None where a side brings its own."""
    import bitnet_parity as parity

    if not any(side.kind == "kld" for side in named):
        return parity.load_corpus(Path(default if request.get("corpus") is None else request["corpus"]))
    if request.get("corpus") is not None:
        raise SettingError("A kld: file brings the text it was made from; leave --corpus out.")
    return None


@contextmanager
def open_journal(
    name: str, request: dict[str, Any], settings: dict[str, Any], known: dict[str, Any]
) -> "Iterator[Journal | None]":
    """Yield the journal of an export, and none for a run that writes nothing."""
    from bitnet_parity.failures import identity
    from bitnet_parity.journal import Journal

    if not request.get("export"):
        yield None
        return
    descriptions = known["reference_description"], known["candidate_description"]
    head = identity(known["stamp"], *descriptions, settings, known["corpus"].sha256)
    with Journal.open(Path(request["export"]) / name, head, resume=request.get("resume", False)) as journal:
        yield journal


def parity_events(stream: "Iterator[Item]", gates: "Gates", export: str | None) -> Iterator[Event]:
    """Yield a comparison's results as events; export its report first, where there is a folder for it."""
    import bitnet_parity as parity

    for item in stream:
        if isinstance(item, parity.Report):
            if export:
                item.export(Path(export))
            yield from ({"event": "gate", **gate.to_json()} for gate in item.judgement.gates)
            yield {"event": "report", "report": item.to_json()}
        elif isinstance(item, parity.TokenizerParity):
            # The first gate is known before any token is scored: no need to wait for the others.
            early = parity.judge_tokenizer(item.strings, item.equal, gates)
            yield {"event": "gate", **early.to_json()}
        else:
            yield {"event": EVENTS[type(item).__name__], **item.to_json()}


def variants(reference: "LogitSource", seed: int) -> dict[str, Any]:
    """Return the reference with what must not matter changed, for the noise floor; none of what is no model of ours."""
    from bitnet_engine.model import Model
    from bitnet_engine.variants import HalfUlp, OtherShape

    if not isinstance(reference, Model):
        return {}
    return {"half_ulp_input": HalfUlp(reference, seed), "other_shape": OtherShape(reference)}


def floor_documents(request: dict[str, Any]) -> int:
    """Return on how many documents the noise floor is measured."""
    from bitnet_parity.comparison import FLOOR_DOCUMENTS

    asked = request.get("floor_documents")
    return FLOOR_DOCUMENTS if asked is None else asked
