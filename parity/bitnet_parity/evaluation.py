"""How well one model predicts a text: nll of every token, mean and perplexity, clustered by document.

    for item in evaluate(model, model.tokenizer, corpus, context=512): ...     # Plan, rows, Evaluation

Windows and document shares are those of a comparison, so that `eval` of a model and `parity` of it agree to the
bit. Memory: one window of logits a device. Knows no engine: a model is anything with `.logits`.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from bitnet_engine.allocator import return_large_blocks
from bitnet_engine.errors import CorpusError
from bitnet_parity.comparison import limited
from bitnet_parity.corpus import Corpus, windows
from bitnet_parity.fan_out import in_order
from bitnet_parity.metrics import target_nll
from bitnet_parity.rows import Plan, finite
from bitnet_parity.scoring import EncodedDocument, predictions
from bitnet_parity.sources import LogitSource, TokenizerSource
from bitnet_parity.statistics import clustered_mean

SCHEMA = "bitnet-tui/eval-report"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ScoredDocument:
    """One document: how many tokens were scored, and the sum of their nll in nats."""

    name: str
    tokens: int
    nll: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {name: finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Evaluation:
    """The artifact of `eval`: one row a document, and what follows from them."""

    corpus: Corpus
    documents: tuple[ScoredDocument, ...]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON. mean_nll in nats/token; its interval is 95 %, clustered by document."""
        counts = [row.tokens for row in self.documents]
        mean = clustered_mean([row.nll for row in self.documents], counts)
        with np.errstate(over="ignore"):  # a perplexity past 1e308 is infinite, and null in JSON
            perplexity = float(np.exp(mean.estimate))
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "settings": dict(self.settings),
            "corpus": {
                "name": self.corpus.name,
                "sha256": self.corpus.sha256,
                "documents": len(counts),
                "tokens": sum(counts),
            },
            "mean_nll": finite(mean.estimate),
            "interval": [finite(bound) for bound in mean.interval],
            "perplexity": finite(perplexity),
            "documents": [row.to_json() for row in self.documents],
        }


def evaluate(
    source: LogitSource,
    tokenizer: TokenizerSource,
    corpus: Corpus,
    *,
    context: int,
    max_tokens: int | None = None,
    replicas: Sequence[LogitSource] = (),
) -> Iterator[Plan | ScoredDocument | Evaluation]:
    """Score `corpus` and yield the plan, a row a document, and the evaluation last.

    `replicas` are the source again, on other devices: windows go to whichever is free, and no number depends on which.

    Raises:
        CorpusError: the corpus holds no token to score.
        BitnetError: logits whose shape breaks the contract.
        StorageError: a document changed or cannot be read.
    """
    return_large_blocks()
    context_only = int(tokenizer.bos is None)
    encoded = [
        EncodedDocument(document.name, array("i", tokenizer.encode(document.text, bos=False)), context_only)
        for document in corpus.documents()
    ]
    documents = limited(encoded, max_tokens)
    if not documents:
        raise CorpusError(f"{corpus.path}: no token can be scored; a document needs at least one after its beginning")
    yield Plan(len(documents), sum(document.tokens for document in documents))
    rows: list[ScoredDocument] = []
    paths = (
        (i, path)
        for i, document in enumerate(documents)
        for path in windows(document.ids, bos=tokenizer.bos, context=context)
    )
    scored = in_order(paths, [partial(_nll, each, tokenizer.vocab_size) for each in (source, *replicas)])
    for i, sums in groupby(scored, key=itemgetter(0)):
        nll = 0.0  # not by sum(), which newer Pythons compensate
        for _, of_window in sums:
            nll += of_window
        rows.append(ScoredDocument(documents[i].name, documents[i].tokens, nll))
        yield rows[-1]
    yield Evaluation(corpus, tuple(rows), {"context": context, "max_tokens": max_tokens})


def _nll(source: LogitSource, vocab: int, window: tuple[int, list[int]]) -> tuple[int, float]:
    """Return the number of a window's document, and the sum of the nll of its tokens."""
    document, path = window
    return document, sum(target_nll(predictions("model", source, path), path[1:], vocab).tolist())
