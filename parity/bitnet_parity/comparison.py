"""Score two models on one text, token by token, along one shared path.

    for item in stream(reference=a, candidate=b, reference_tokenizer=ta, candidate_tokenizer=tb,
                       corpus=load_corpus(path), gates=Gates.profile("fp32"), context=512): ...

The reference's tokenizer makes the ids and both sides are fed the same ones (teacher-forced): no side's own
choice moves the path. Where the tokenizers differ the comparison goes on with the reference's ids, and the
gate says so. Before any of it the reference is measured against variants of itself, for no limit is finer than
that. Memory: the ids of the corpus, one window of logits a side, more with replicas, and a few numbers a token.
Knows no engine: a side is anything with `.logits`.
"""

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NotRequired, TypedDict, Unpack

from bitnet_engine.allocator import return_large_blocks
from bitnet_engine.errors import SettingError
from bitnet_parity.belief import Belief
from bitnet_parity.corpus import Corpus
from bitnet_parity.failures import FailureLog, identity, reasons
from bitnet_parity.floor import Floor, measure_floor
from bitnet_parity.gates import judge
from bitnet_parity.journal import Journal
from bitnet_parity.profiles import Gates
from bitnet_parity.report import Report, gather
from bitnet_parity.rows import DocumentRow, Plan, Stage, TokenRow, finite
from bitnet_parity.scoring import EncodedDocument, ScoredWindow, Scorer, Sides
from bitnet_parity.sources import LogitSource, TokenizerSource
from bitnet_parity.tally import Tally
from bitnet_parity.token_corpus import TokenCorpus
from bitnet_parity.tokenization import TokenizerParity, compare_tokenizers
from bitnet_parity.weights import WeightsParity

Item = Stage | Plan | TokenizerParity | TokenRow | DocumentRow | Report
"""What `stream` yields: tokenizers, plan, then for each document its tokens and its row, the report last."""


FLOOR_DOCUMENTS = 4
"""Documents of the noise floor: each costs one window of the reference and of each of its variants."""


class Inputs(TypedDict):
    """The arguments of `stream` and `compare`.

    A window is at most `context` ids. `top_k` best ids of both sides go into each row. `max_tokens` is
    shared out over the documents, each scored from its start, because a verdict counts documents, not
    tokens. `gates` judge the report and choose the tokens that are logged as failures.

    `exact` takes tau-b over the whole vocabulary on every token, as exact gates do anyway; elsewhere `seed`
    chooses the ids of the estimate. `variants` are the reference again with what must not matter changed, by
    name, and `floor_documents` how many documents they are measured on; 0 measures no noise floor.

    `stamp` and the descriptions are copied into the report; the stamp's `id` and the descriptions' `sha256`,
    where there are any, are named in every failure. A `journal` keeps what is
    measured, and answers for what it has kept from an interrupted run of the same inputs. `weights` are what
    `weights.weights_steps` found, where both sides are files; they are judged with the rest. `replicas` are both sides
    again, on other devices: windows go to whichever is free, and no number depends on which.
    """

    reference: LogitSource
    candidate: LogitSource
    reference_tokenizer: TokenizerSource
    candidate_tokenizer: TokenizerSource
    corpus: Corpus | TokenCorpus
    gates: Gates
    context: int
    top_k: NotRequired[int]
    max_tokens: NotRequired[int | None]
    exact: NotRequired[bool]
    seed: NotRequired[int]
    variants: NotRequired[Mapping[str, LogitSource]]
    floor_documents: NotRequired[int]
    stamp: NotRequired[Mapping[str, Any]]
    reference_description: NotRequired[Mapping[str, Any]]
    candidate_description: NotRequired[Mapping[str, Any]]
    journal: NotRequired[Journal | None]
    weights: NotRequired[WeightsParity | None]
    replicas: NotRequired[Sequence[Sides]]


def compare(**inputs: Unpack[Inputs]) -> Report:
    """Run `stream` to its end and return the report. Raises what `stream` raises."""
    return next(item for item in stream(**inputs) if isinstance(item, Report))


def stream(**inputs: Unpack[Inputs]) -> Iterator[Item]:
    """Compare two models and yield every result as soon as it is known; the report comes last.

    Raises:
        BitnetError: a limit that leaves nothing to score, or logits whose shape breaks the contract.
        StorageError: a document changed or cannot be read.
    """
    run = _Run(inputs)
    yield from _timed("tokenize", run.tokenize())
    if run.settings["floor_documents"]:
        yield from _timed("noise floor", run.measure_floor())
    yield from _timed("score", run.score())
    yield run.report()


class _Run:
    """The state of one comparison: documents as ids, totals, failures."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.settings: dict[str, Any] = {
            "context": inputs["context"],
            "top_k": inputs.get("top_k", 10),
            "max_tokens": inputs.get("max_tokens"),
            "exact": inputs.get("exact", False) or inputs["gates"].exact,
            "seed": inputs.get("seed", 0),
            "floor_documents": inputs.get("floor_documents", FLOOR_DOCUMENTS),
        }
        _check(self.settings)
        self._stamp = dict(inputs.get("stamp", {}))
        self._reference = dict(inputs.get("reference_description", {}))
        self._candidate = dict(inputs.get("candidate_description", {}))
        self._failures = FailureLog(
            identity(self._stamp, self._reference, self._candidate, self.settings, inputs["corpus"].sha256)
        )
        self._belief = self._new_belief()
        self._floor: Floor | None = None
        self._encoded: list[EncodedDocument] = []
        self._rows: list[DocumentRow] = []

    def tokenize(self) -> Iterator[Item]:
        reference, candidate = self._inputs["reference_tokenizer"], self._inputs["candidate_tokenizer"]
        corpus = self._inputs["corpus"]
        if isinstance(corpus, TokenCorpus):
            self._encoded, self._tokenizer = list(corpus.documents), corpus.check(reference)
            yield self._tokenizer
            return
        context_only = int(reference.bos is None)
        self._tokenizer = compare_tokenizers(
            reference,
            candidate,
            corpus.documents(),
            keep=lambda document, ids: self._encoded.append(
                EncodedDocument(document.name, array("i", ids), context_only)
            ),
        )
        yield self._tokenizer

    def measure_floor(self) -> Iterator[Item]:
        """Measure the reference against its variants; yields nothing, what it finds is in the report."""
        self._floor = measure_floor(
            self._inputs["reference"],
            self._inputs.get("variants", {}),
            self._documents(),
            tokenizer=self._inputs["reference_tokenizer"],
            context=self.settings["context"],
            sample=self.settings["floor_documents"],
            belief=self._new_belief(),
        )
        yield from ()

    def score(self) -> Iterator[Item]:
        floor, gates = self._floor, self._inputs["gates"]
        near_tie = None if floor is None else finite(floor.margin)
        self._tally = Tally(near_tie=near_tie, top_k=self.settings["top_k"])
        self._gates = gates if floor is None else gates.over_floor(floor.tau_b, floor.delta_mean_nll)
        return_large_blocks()
        scorer = Scorer(
            self._inputs["reference"],
            self._inputs["candidate"],
            self._inputs["reference_tokenizer"],
            context=self.settings["context"],
            top_k=self.settings["top_k"],
            belief=self._belief,
            journal=self._inputs.get("journal"),
            replicas=self._inputs.get("replicas", ()),
        )
        documents = self._documents()
        yield Plan(len(documents), sum(document.tokens for document in documents))
        for number, windows in groupby(scorer.windows(documents), key=itemgetter(0)):
            document, nll_reference, nll_candidate = documents[number], 0.0, 0.0
            for _, window in windows:
                nll_reference += sum(row.nll_reference for row in window.rows)
                nll_candidate += sum(row.nll_candidate for row in window.rows)
                self._count(window)
                yield from window.rows
            self._rows.append(DocumentRow(document.name, document.tokens, nll_reference, nll_candidate))
            yield self._rows[-1]

    def report(self) -> Report:
        metrics, rows = self._tally.summary(self._rows, self._belief.describe()), tuple(self._rows)
        corpus, weights = self._inputs["corpus"], self._inputs.get("weights")
        return Report(
            stamp=self._stamp,
            reference=self._reference,
            candidate=self._candidate,
            settings=self.settings,
            corpus={
                "name": corpus.name,
                "sha256": corpus.sha256,
                "documents": len(corpus.names),
                "tokens": sum(len(document.ids) for document in self._encoded),
            },
            tokenizer=self._tokenizer,
            floor=self._floor,
            metrics=metrics,
            documents=rows,
            failures=len(self._failures) + self._failures.omitted,
            failures_omitted=self._failures.omitted,
            judgement=judge(gather(self._tokenizer, self._floor, metrics, rows, weights), self._inputs["gates"]),
            weights=weights,
            failure_log=self._failures,
        )

    def _documents(self) -> list[EncodedDocument]:
        return limited(self._encoded, self.settings["max_tokens"])

    def _new_belief(self) -> Belief:
        # The floor has its own: what the reference does to itself is not among the worst tokens of the run.
        vocab = self._inputs["reference_tokenizer"].vocab_size
        return Belief(vocab=vocab, exact=self.settings["exact"], seed=self.settings["seed"])

    def _count(self, window: ScoredWindow) -> None:
        for fed, row in enumerate(window.rows, window.first):
            self._tally.add(row)
            if why := reasons(row, self._gates):
                self._failures.add(row, window.path[:fed], window.path[fed:], why)


def share_out(available: Sequence[int], total: int) -> list[int]:
    """Share `total` evenly over documents that have `available` tokens; a short one leaves its rest to others."""
    shares = [0] * len(available)
    shortest_first = sorted(range(len(available)), key=available.__getitem__)
    for place, document in enumerate(shortest_first):
        shares[document] = min(available[document], total // (len(available) - place))
        total -= shares[document]
    return shares


def limited(documents: Sequence[EncodedDocument], max_tokens: int | None) -> list[EncodedDocument]:
    """Cut each document to its share of `max_tokens`, and leave out those with nothing to score."""
    available = [document.tokens for document in documents]
    shares = available if max_tokens is None else share_out(available, max_tokens)
    return [
        replace(document, ids=document.ids[: share + document.context_only])
        for document, share in zip(documents, shares, strict=True)
        if share
    ]


def _timed(name: str, items: Iterator[Item]) -> Iterator[Item]:
    started = time.monotonic()
    yield Stage(name, "start")
    yield from items
    yield Stage(name, "done", time.monotonic() - started)


def _check(settings: Mapping[str, Any]) -> None:
    for name, least in (("context", 2), ("top_k", 1), ("max_tokens", 1), ("seed", 0), ("floor_documents", 0)):
        value = settings[name]
        if value is not None and value < least:
            raise SettingError(f"{name} is {value}; {least} or more is needed")
