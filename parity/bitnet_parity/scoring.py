"""One window at a time through both models: a document's ids in, a row a token out.

    scorer = Scorer(reference, candidate, tokenizer, context=512, top_k=10, belief=Belief(vocab=4096))
    for number, window in scorer.windows(documents): ...       # documents[number]

Row i of a window's logits is scored on its id i + 1; the last row predicts what the window does not hold and
is dropped. Knows no gate and no total.
"""

import functools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity.belief import Belief
from bitnet_parity.corpus import windows
from bitnet_parity.fan_out import in_order
from bitnet_parity.journal import Journal
from bitnet_parity.metrics import WindowMetrics, measure
from bitnet_parity.rows import TokenRow, TopId
from bitnet_parity.sources import LogitSource, TokenizerSource

Sides = tuple[LogitSource, LogitSource]
"""A reference and a candidate."""
Logits = tuple[np.ndarray, np.ndarray]
"""Of both sides, float32 [tokens, vocab]."""

_PIECES = 1 << 14
"""Texts of ids kept: those of a whole vocabulary would be tens of megabytes."""

_NUMBERS = tuple(
    field.name for field in fields(WindowMetrics) if field.name not in ("same_top", "top_reference", "top_candidate")
)


@dataclass(frozen=True)
class EncodedDocument:
    """A document as ids, 4 bytes each, the first `context_only` of them fed and not scored.

    A `whole` one is fed as it stands, in one window that nothing is put before: ids that somebody else has cut.
    """

    name: str
    ids: array
    context_only: int
    whole: bool = False

    @property
    def tokens(self) -> int:
        """How many ids are scored."""
        return max(0, len(self.ids) - self.context_only)

    def windows(self, *, bos: int | None, context: int) -> Iterator[tuple[list[int], int]]:
        """Yield each window, and the place in it of the first id that is scored. Raises as `corpus.windows`."""
        if self.whole:
            yield list(self.ids), self.context_only
        else:
            yield from ((path, 1) for path in windows(self.ids, bos=bos, context=context))


@dataclass(frozen=True)
class ScoredWindow:
    """The ids both sides were fed, and a row for each that was scored.

    Row i is about path[first + i], which path[: first + i] predicts.
    """

    path: list[int]
    first: int
    rows: list[TokenRow]


class Scorer:
    """Feeds the same ids to both sides. `tokenizer` is the reference's; it names the ids of both."""

    def __init__(
        self,
        reference: LogitSource,
        candidate: LogitSource,
        tokenizer: TokenizerSource,
        *,
        context: int,
        top_k: int,
        belief: Belief,
        journal: Journal | None = None,
        replicas: Sequence[Sides] = (),
    ) -> None:
        self._journal = journal
        self._sides, self._tokenizer = [(reference, candidate), *replicas], tokenizer
        self._context, self._top_k, self._belief = context, top_k, belief
        self._piece = functools.lru_cache(_PIECES)(tokenizer.piece)
        self._scored = 0

    def windows(self, documents: Sequence[EncodedDocument]) -> Iterator[tuple[int, ScoredWindow]]:
        """Score documents, window by window, and yield each with the number of its document.

        The sides and their replicas are fed several windows at once; what is measured is measured in order, because
        which tau-b is exact follows from those before it.

        Raises:
            BitnetError: logits whose shape, type or vocabulary breaks the contract.
        """
        kept = 0 if self._journal is None else self._journal.resumed
        paths = (
            (number, *window)
            for number, document in enumerate(documents)
            for window in document.windows(bos=self._tokenizer.bos, context=self._context)
        )
        to_feed = (_Window(*path, kept=i < kept) for i, path in enumerate(paths))
        number, position = -1, 0
        for window, logits in in_order(to_feed, [functools.partial(_fed, sides) for sides in self._sides]):
            if window.number != number:
                number, position = window.number, documents[window.number].context_only
            scored = self._score(documents[number].name, position, window, logits)
            del logits  # or they would wait in memory for those of the next window
            yield number, scored
            position += len(scored.rows)

    def score(self, document: str, position: int, path: list[int], *, first: int) -> ScoredWindow:
        """Score path[first:] of one window; path[first] is at `position` of its document. Raises as `windows`."""
        return self._score(document, position, *_fed(self._sides[0], _Window(0, path, first, kept=False)))

    def _score(self, document: str, position: int, window: "_Window", logits: Logits | None) -> ScoredWindow:
        path, first = window.path, window.first

        def measured() -> WindowMetrics:
            assert logits is not None  # only of what the journal has kept
            vocab = self._tokenizer.vocab_size
            return measure(*logits, path[first:], vocab=vocab, top_k=self._top_k, belief=self._belief)

        metrics = measured() if self._journal is None else self._journal.kept(path, measured)
        self._belief.note(metrics.tau_b)
        rows = [self._row(document, position + i, token, metrics, i) for i, token in enumerate(path[first:])]
        return ScoredWindow(path, first, rows)

    def _row(self, document: str, position: int, token: int, metrics: WindowMetrics, i: int) -> TokenRow:
        self._scored += 1
        return TokenRow(
            index=self._scored - 1,
            document=document,
            position=position,
            token=token,
            text=self._piece(token),
            same_top=bool(metrics.same_top[i]),
            **{name: float(getattr(metrics, name)[i]) for name in _NUMBERS},
            top_reference=self._named(metrics.top_reference[i]),
            top_candidate=self._named(metrics.top_candidate[i]),
        )

    def _named(self, best: Sequence[tuple[int, float]]) -> tuple[TopId, ...]:
        return tuple((token, self._piece(token), logit) for token, logit in best)


@dataclass(frozen=True)
class _Window:
    """Ids to feed: of which document, from which on they are scored, and whether their measures are known already."""

    number: int
    path: list[int]
    first: int
    kept: bool


def _fed(sides: Sides, window: _Window) -> tuple[_Window, Logits | None]:
    """Return a window with the logits of both sides that score it."""
    if window.kept:
        return window, None
    reference, candidate = (
        predictions(name, side, window.path)[window.first - 1 :]
        for name, side in zip(("reference", "candidate"), sides, strict=True)
    )
    return window, (reference, candidate)


def predictions(side: str, source: LogitSource, path: list[int]) -> np.ndarray:
    """Return the logits [len(path) - 1, vocab] that score path[1:]. Raises BitnetError on other shapes."""
    logits = source.logits(path)
    if len(logits) != len(path):
        raise BitnetError(f"{side}: {len(logits)} rows of logits for {len(path)} tokens; one a token is needed")
    return logits[:-1]
