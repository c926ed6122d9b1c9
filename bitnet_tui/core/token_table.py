"""The tokens of a run, in columns: flat arrays of numbers, and every text kept once.

    table = TokenTable()
    table.append(event)                # a `token` event
    table.tau_b                        # float64 [tokens], NaN where undefined
    table.top(17)                      # the two top-k lists of one token

Knows nothing of limits or verdicts; `parity_view` judges what is kept here.
"""

from array import array
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from bitnet_tui.core.events import Event


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of a top-k list."""

    id: int
    text: str
    logit: float


class TokenTable:
    """Append-only columns. A number an event does not hold is NaN."""

    _NUMBERS = ("tau_b", "kl", "nll_reference", "nll_candidate", "margin", "shift", "rank")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.documents: list[str] = []
        """The document of each token; one shared string a document."""
        self._columns = {name: array("d") for name in self._NUMBERS}
        self._ids = array("q")
        self._positions = array("q")
        self._flips = array("b")
        # Two lists of ten as objects cost 4 KB a token (measured); in flat arrays they cost 0.5.
        self._top_ids, self._top_logits, self._top_texts = array("q"), array("d"), array("q")
        self._top_starts = array("q", [0])
        """Where the lists begin, two a token; one more entry says where the last one ends."""
        self._pool: dict[str, int] = {}
        self._pooled: list[str] = []

    def __len__(self) -> int:
        return len(self.texts)

    def append(self, event: Event) -> None:
        """Add the token of a `token` event."""
        text = event.get("text")
        self.texts.append(self._pooled[self._pool_index(text if isinstance(text, str) else "")])
        document = str(event.get("document", ""))
        same = bool(self.documents) and self.documents[-1] == document
        self.documents.append(self.documents[-1] if same else document)
        self._ids.append(_whole(event.get("token")))
        self._positions.append(_whole(event.get("position")))
        self._flips.append(event.get("same_top") is False)
        reference, candidate = (self._append_top(event.get(side)) for side in ("top_reference", "top_candidate"))
        for name, column in self._columns.items():
            derived = {"shift": _shift, "rank": _rank}.get(name)
            column.append(_real(event.get(name)) if derived is None else derived(reference, candidate))

    def top(self, index: int) -> tuple[list[Candidate], list[Candidate]]:
        """Return the best candidates of both sides at token `index`, best first."""
        return self._top(2 * index), self._top(2 * index + 1)

    def _top(self, number: int) -> list[Candidate]:
        span = range(self._top_starts[number], self._top_starts[number + 1])
        return [Candidate(self._top_ids[i], self._pooled[self._top_texts[i]], self._top_logits[i]) for i in span]

    def _append_top(self, rows: Any) -> dict[int, float]:
        """Keep one top-k list, leaving out what is no `[id, text, logit]`; return its logits by id."""
        logits: dict[int, float] = {}
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) == 3:
                token, logit = _whole(row[0]), _real(row[2])
                logits[token] = logit
                self._top_ids.append(token)
                self._top_logits.append(logit)
                self._top_texts.append(self._pool_index(str(row[1])))
        self._top_starts.append(len(self._top_ids))
        return logits

    def _pool_index(self, text: str) -> int:
        """Return the place of `text` in the pool; a run repeats the texts of its vocabulary."""
        index = self._pool.setdefault(text, len(self._pooled))
        if index == len(self._pooled):
            self._pooled.append(text)
        return index

    def value(self, name: str, index: int) -> float:
        """Return one number of one token; NaN where the run has none."""
        return self._columns[name][index]

    def column(self, name: str) -> np.ndarray:
        """Return a float64 [tokens] copy of a column.

        A copy, since a view of a growing array would forbid it to grow.
        """
        return np.array(self._columns[name], dtype=np.float64)

    @property
    def tau_b(self) -> np.ndarray:
        """Kendall's tau-b of every token, float64 [tokens], NaN where it is undefined."""
        return self.column("tau_b")

    @property
    def flips(self) -> np.ndarray:
        """Whether the two sides prefer different tokens, bool [tokens]."""
        return np.array(self._flips, dtype=bool)

    def is_flip(self, index: int) -> bool:
        """Return whether the two sides prefer different tokens at this place."""
        return bool(self._flips[index])

    def token_id(self, index: int) -> int:
        """Return the vocabulary id of a token, -1 where the run has none."""
        return self._ids[index]

    def position(self, index: int) -> int:
        """Return the place of a token in its document, -1 where the run has none."""
        return self._positions[index]


def _shift(reference: dict[int, float], candidate: dict[int, float]) -> float:
    """Return the median |Δlogit| over the ids both top-k lists hold; NaN where they share none."""
    shared = [abs(reference[token] - logit) for token, logit in candidate.items() if token in reference]
    return float(median(shared)) if shared else float("nan")


def _rank(reference: dict[int, float], candidate: dict[int, float]) -> float:
    """Return how many ranks the reference's first choice loses in the other list; all of them where it is gone."""
    if not reference or not candidate:
        return float("nan")
    first = next(iter(reference))
    return float(list(candidate).index(first) if first in candidate else len(candidate))


def _real(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _whole(value: object) -> int:
    # Ids come from a file: one that does not fit 64 bits is no id of any vocabulary.
    return value if isinstance(value, int) and -(2**62) < value < 2**62 else -1
