"""One window at a time through both models: a document's ids in, a row a token out.

    scorer = Scorer(reference, candidate, tokenizer, context=512, top_k=10, belief=Belief(vocab=4096))
    for window in scorer.windows(document): ...

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
from bitnet_parity.metrics import WindowMetrics, measure
from bitnet_parity.rows import TokenRow, TopId
from bitnet_parity.sources import LogitSource, TokenizerSource

_NUMBERS = tuple(
    field.name for field in fields(WindowMetrics) if field.name not in ("same_top", "top_reference", "top_candidate")
)


@dataclass(frozen=True)
class EncodedDocument:
    """A document as ids, 4 bytes each; before the first `context_only` of them nothing stands to score by."""

    name: str
    ids: array
    context_only: int

    @property
    def tokens(self) -> int:
        """How many ids are scored."""
        return max(0, len(self.ids) - self.context_only)


@dataclass(frozen=True)
class ScoredWindow:
    """The ids both sides were fed, and a row for each that was scored."""

    path: list[int]
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
    ) -> None:
        self._reference, self._candidate, self._tokenizer = reference, candidate, tokenizer
        self._context, self._top_k, self._belief = context, top_k, belief
        self._piece = functools.cache(tokenizer.piece)
        self._scored = 0

    def windows(self, document: EncodedDocument) -> Iterator[ScoredWindow]:
        """Score a document, window by window.

        Raises:
            BitnetError: logits whose shape, type or vocabulary breaks the contract.
        """
        position = document.context_only
        for path in windows(document.ids, bos=self._tokenizer.bos, context=self._context):
            metrics = self._measure(path)
            self._belief.note(metrics.tau_b)
            rows = [self._row(document.name, position + i, path[i + 1], metrics, i) for i in range(len(path) - 1)]
            yield ScoredWindow(path, rows)
            position += len(rows)

    def _measure(self, path: list[int]) -> WindowMetrics:
        reference = predictions("reference", self._reference, path)
        candidate = predictions("candidate", self._candidate, path)
        vocab = self._tokenizer.vocab_size
        return measure(reference, candidate, path[1:], vocab=vocab, top_k=self._top_k, belief=self._belief)

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


def predictions(side: str, source: LogitSource, path: list[int]) -> np.ndarray:
    """Return the logits [len(path) - 1, vocab] that score path[1:]. Raises BitnetError on other shapes."""
    logits = source.logits(path)
    if len(logits) != len(path):
        raise BitnetError(f"{side}: {len(logits)} rows of logits for {len(path)} tokens; one a token is needed")
    return logits[:-1]
