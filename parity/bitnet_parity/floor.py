"""How far the reference is from itself: what no comparison with it can resolve.

    floor = measure_floor(scorer_side, variants, documents, ...)
    floor.tau_b, floor.delta_mean_nll, floor.margin     # limits finer than these measure rounding, not models

A variant is the reference again, with what must not matter changed: inputs moved by half a unit in the last place,
another batch shape, logits rounded to bfloat16. The last needs no second run and is always measured; the others
are sources that the caller makes. A sample of documents bounds the cost: the first window of each. Knows no
candidate and no limit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitnet_parity.belief import Belief
from bitnet_parity.metrics import WindowMetrics, measure
from bitnet_parity.rows import finite
from bitnet_parity.scoring import EncodedDocument, predictions
from bitnet_parity.sources import LogitSource, TokenizerSource
from bitnet_parity.statistics import clustered_mean, percentile

BF16 = "bf16_logits"
MARGIN_SHARE = 0.99
"""Share of tokens whose margin the noise moves by less than what is called a near-tie."""


@dataclass(frozen=True)
class Variant:
    """The reference against one variant of itself, over the tokens of the sample.

    `tau_b` is the median over tokens, `delta_mean_nll` the 95 % bound of |Δ| clustered by document (|Δ| itself for a
    single one), `kl` and `nmse` are means, `margin` is the 99 % quantile of how far the difference of the reference's
    two best logits moves. NaN where undefined.
    """

    name: str
    tau_b: float
    delta_mean_nll: float
    kl: float
    nmse: float
    margin: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {name: finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Floor:
    """The noise of the reference, as the worst of its variants has it; all of them in `variants`."""

    documents: int
    tokens: int
    variants: tuple[Variant, ...]

    @property
    def tau_b(self) -> float:
        """The lowest median tau-b."""
        return min((v.tau_b for v in self.variants if not math.isnan(v.tau_b)), default=math.nan)

    @property
    def delta_mean_nll(self) -> float:
        """The largest bound of |Δ mean nll|, nats/token."""
        return self._largest("delta_mean_nll")

    @property
    def margin(self) -> float:
        """The largest move of a margin: a flip whose margin is no larger is a near-tie."""
        return self._largest("margin")

    def _largest(self, name: str) -> float:
        values = (getattr(variant, name) for variant in self.variants)
        return max((value for value in values if not math.isnan(value)), default=math.nan)

    def to_json(self) -> dict[str, Any]:
        """Return the floor and its variants as JSON."""
        worst = {name: finite(getattr(self, name)) for name in ("tau_b", "delta_mean_nll", "margin")}
        variants = [variant.to_json() for variant in self.variants]
        return {"documents": self.documents, "tokens": self.tokens, **worst, "variants": variants}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Floor":
        """Read what `to_json` wrote. Raises KeyError or TypeError where a field is missing or foreign."""
        numbers = ("tau_b", "delta_mean_nll", "kl", "nmse", "margin")
        variants = tuple(
            Variant(variant["name"], *(math.nan if variant[name] is None else variant[name] for name in numbers))
            for variant in value["variants"]
        )
        return cls(value["documents"], value["tokens"], variants)


def measure_floor(
    reference: LogitSource,
    variants: Mapping[str, LogitSource],
    documents: Sequence[EncodedDocument],
    *,
    tokenizer: TokenizerSource,
    context: int,
    sample: int,
    belief: Belief,
) -> Floor:
    """Compare the reference with its variants on the first window of at most `sample` documents, evenly chosen.

    Raises:
        BitnetError: logits whose shape breaks the contract.
    """
    samples: dict[str, list[_Sample]] = {name: [] for name in (*variants, BF16)}
    tokens = 0
    chosen = _spread(documents, sample)
    for document in chosen:
        path, first = next(document.windows(bos=tokenizer.bos, context=context))
        logits = predictions("reference", reference, path)[first - 1 :]
        tokens += len(logits)
        for name, other in _varied(variants, logits, path, first):
            found = measure(logits, other, path[first:], vocab=tokenizer.vocab_size, top_k=2, belief=belief)
            samples[name].append(_Sample(found, _margin_moves(found, other)))
    found_variants = tuple(_variant(name, measured) for name, measured in samples.items() if measured)
    return Floor(len(chosen), tokens, found_variants)


def to_bfloat16(logits: np.ndarray) -> np.ndarray:
    """Round float32 [rows, vocab] to the nearest bfloat16, ties to even, still as float32."""
    rounded = np.empty_like(logits)
    for row, found in zip(logits, rounded, strict=True):  # by rows, or what is computed underway is three more matrices
        bits = np.ascontiguousarray(row).view(np.uint32)
        bits = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
        found[:] = np.where(np.isnan(row), row, bits.view(np.float32))
    return rounded


@dataclass(frozen=True)
class _Sample:
    """What one window gave of one variant."""

    metrics: WindowMetrics
    margin_moves: np.ndarray


def _varied(
    variants: Mapping[str, LogitSource], logits: np.ndarray, path: list[int], first: int
) -> Iterator[tuple[str, np.ndarray]]:
    for name, source in variants.items():
        yield name, predictions(f"reference ({name})", source, path)[first - 1 :]
    yield BF16, to_bfloat16(logits)


def _margin_moves(found: WindowMetrics, other: np.ndarray) -> np.ndarray:
    """Return |Δ margin| of each token: how far apart the reference's two best ids are in the variant, less before."""
    pairs = [[token for token, _ in best] for best in found.top_reference]
    if any(len(pair) < 2 for pair in pairs):
        return np.full(len(pairs), np.nan)
    ids, rows = np.array(pairs).reshape(-1, 2), np.arange(len(pairs))
    with np.errstate(invalid="ignore"):
        return np.abs(other[rows, ids[:, 0]].astype(np.float64) - other[rows, ids[:, 1]] - found.margin)


def _variant(name: str, samples: Sequence[_Sample]) -> Variant:
    def column(field: str) -> np.ndarray:
        return np.concatenate([getattr(sample.metrics, field) for sample in samples])

    tau_b = percentile(np.sort(np.where(np.isnan(column("tau_b")), -np.inf, column("tau_b"))), 0.5)
    deltas = [sample.metrics.nll_candidate - sample.metrics.nll_reference for sample in samples]
    mean = clustered_mean([float(delta.sum()) for delta in deltas], [len(delta) for delta in deltas])
    bound = max(abs(mean.lower), abs(mean.upper))
    moves = np.concatenate([sample.margin_moves for sample in samples])
    return Variant(
        name=name,
        tau_b=tau_b if math.isfinite(tau_b) else math.nan,
        delta_mean_nll=abs(mean.estimate) if math.isnan(bound) else bound,
        kl=float(column("kl").mean()),
        nmse=float(column("nmse").mean()),
        margin=percentile(np.sort(moves[np.isfinite(moves)]), MARGIN_SHARE),
    )


def _spread(documents: Sequence[EncodedDocument], sample: int) -> list[EncodedDocument]:
    """Choose at most `sample` documents, evenly over the corpus."""
    count = min(sample, len(documents))
    return [documents[i * len(documents) // count] for i in range(count)]
