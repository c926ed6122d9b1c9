"""Limits, and the judgement of numbers by them: results hold numbers, gates judge them later.

    judgement = judge(report.numbers(), Gates.profile("quantized"))
    judgement.verdict is Verdict.PASS

Limits come from `profiles`, and are never finer than what the reference differs from itself by. The gates
stand in funnel order: different ids make beliefs incomparable, different beliefs explain a different
probability. A missing number fails its gate; it never passes as 0. Knows no model and no corpus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from bitnet_parity.profiles import Gates
from bitnet_parity.statistics import ClusteredMean, clustered_mean, documents_needed
from bitnet_parity.weights import TensorParity, WeightsParity

MIN_DOCUMENTS = 20
"""A mean over fewer documents never passes, however narrow its interval looks (docs/parity.md §3)."""


class Verdict(Enum):
    """The outcome of a gate, and of all of them."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Numbers:
    """All that the gates look at. NaN or a count of undefined values says what is missing.

    nll_* and `counts` hold one sum in nats and one count of tokens for each document. `tau_b_estimated` tokens have
    an estimate with the mean standard error `tau_b_error`. floor_* are those of `floor.Floor`. `weights` are None
    where a side is no file whose weights could be compared.
    """

    strings: int
    strings_equal: int
    tokens: int
    tau_b_median: float
    tau_b_undefined: int
    tau_b_not_one: int
    tau_b_estimated: int
    tau_b_error: float
    floor_tau_b: float
    floor_delta_mean_nll: float
    nll_undefined: int
    nll_unequal: int
    nll_reference: Sequence[float]
    nll_candidate: Sequence[float]
    counts: Sequence[int]
    weights: WeightsParity | None = None


@dataclass(frozen=True)
class GateResult:
    """One gate: what was measured, by which limit, and a sentence for people. `value` is NaN if missing."""

    gate: str
    status: Verdict
    value: float
    limit: float
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `gate` event, null for a missing value."""
        value = self.value if math.isfinite(self.value) else None
        return {
            "gate": self.gate,
            "status": self.status.value,
            "value": value,
            "limit": self.limit,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Judgement:
    """The verdict under one profile, and the gates it follows from, in funnel order."""

    profile: str
    verdict: Verdict
    gates: tuple[GateResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the judgement as JSON."""
        gates = [result.to_json() for result in self.gates]
        return {"profile": self.profile, "verdict": self.verdict.value, "gates": gates}


def judge(numbers: Numbers, gates: Gates) -> Judgement:
    """Judge `numbers` by `gates`: FAIL if any gate fails, else INCONCLUSIVE if any is, else PASS."""
    tokenizer = judge_tokenizer(numbers.strings, numbers.strings_equal, gates)
    widened = gates.over_floor(numbers.floor_tau_b, numbers.floor_delta_mean_nll)
    belief, probability = _belief(numbers, widened), _probability(numbers, widened)
    results = (
        tokenizer,
        _told(belief, gates.median_tau_b, gates),
        _told(probability, gates.delta_mean_nll, gates),
        *judge_weights(numbers.weights, gates),
    )
    statuses = {result.status for result in results}
    verdict = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in statuses), Verdict.PASS)
    return Judgement(gates.name, verdict, results)


def _told(result: GateResult, asked: float, gates: Gates) -> GateResult:
    """Say where a limit is another than the profile's; what it is now stands in the result."""
    if result.limit == asked:
        return result
    why = f"widened from {asked:g} to {gates.floor_factor:g} × the noise floor"
    return replace(result, detail=f"{why}; {result.detail}")


def judge_tokenizer(strings: int, equal: int, gates: Gates) -> GateResult:
    """Judge the share of strings that become the same ids; known before any token is scored."""
    rate = equal / strings if strings else math.nan
    over = rate > gates.tokenizer_rate if gates.tokenizer_rate_excluded else rate >= gates.tokenizer_rate
    detail = f"{equal} of {strings} strings have the same ids"
    return GateResult("tokenizer", _pass_if(over), rate, gates.tokenizer_rate, detail)


def judge_weights(weights: WeightsParity | None, gates: Gates) -> tuple[GateResult, ...]:
    """Judge the share of tensors that are within the limits: all must be. No gate where there is nothing to judge."""
    if weights is None or not gates.weights:
        return ()
    outside = [tensor for tensor in weights.differing if not _within(tensor, gates)]
    agree = weights.tensors - len(outside)
    rate = agree / weights.tensors if weights.tensors else math.nan
    detail = f"{agree} of {weights.tensors} tensors agree"
    if outside:
        detail += f"; the first that does not: {_described(outside[0])}"
    return (GateResult("weights", _pass_if(rate == 1.0), rate, 1.0, detail),)


def _within(tensor: TensorParity, gates: Gates) -> bool:
    limits = {"ternary": gates.scale_error, "vector": gates.norm_error, "table": gates.table_error}
    if tensor.error is None or tensor.kind not in limits:
        return False
    trits = tensor.kind != "ternary" or (tensor.trits is not None and tensor.trits >= gates.trit_rate)
    return trits and tensor.error <= limits[tensor.kind]


def _described(tensor: TensorParity) -> str:
    facts = []
    if tensor.trits is not None:
        facts.append(f"{100 * tensor.trits:.4g} % of its trits are equal")
    if tensor.error is not None:
        facts.append(f"{'its scale' if tensor.kind == 'ternary' else 'it'} is off by {tensor.error:.3g} of itself")
    return f"{tensor.name}: {'; '.join([*facts, *([tensor.note] if tensor.note else [])]) or 'nothing to compare by'}"


def _belief(numbers: Numbers, gates: Gates) -> GateResult:
    if not numbers.tokens:
        return _nothing_scored("belief", gates.median_tau_b)
    decide = _belief_exact if gates.exact else _belief_median
    status, detail = decide(numbers, gates.median_tau_b)
    if numbers.tau_b_undefined:
        detail += f"; undefined on {numbers.tau_b_undefined}, counted as failing"
    return GateResult("belief", status, numbers.tau_b_median, gates.median_tau_b, detail)


def _belief_exact(numbers: Numbers, _limit: float) -> tuple[Verdict, str]:
    found = f"tau-b is 1 on {numbers.tokens - numbers.tau_b_not_one} of {numbers.tokens} tokens"
    if numbers.tau_b_not_one or not numbers.tau_b_estimated:
        # A pair of ids that disagrees in the subset disagrees in the whole: an estimate under 1 is proof.
        return _pass_if(not numbers.tau_b_not_one), found
    return Verdict.INCONCLUSIVE, f"{found}; {numbers.tau_b_estimated} of them are estimates, run with --exact"


def _belief_median(numbers: Numbers, limit: float) -> tuple[Verdict, str]:
    found = f"median tau-b over {numbers.tokens} tokens"
    # A median that is missing fails, however it was come by.
    if numbers.tau_b_estimated and not math.isnan(numbers.tau_b_median):
        error = numbers.tau_b_error
        found += f", estimated on {numbers.tau_b_estimated} with a standard error of {error:.6f}"
        # All tokens share one subset, so their errors need not average out. An error of NaN decides nothing.
        if not abs(numbers.tau_b_median - limit) > 2 * error:
            return Verdict.INCONCLUSIVE, f"{found}; too near the limit for an estimate, run with --exact"
    # Comparing with NaN is False: a median that is missing fails.
    return _pass_if(numbers.tau_b_median >= limit), found


def _probability(numbers: Numbers, gates: Gates) -> GateResult:
    limit = gates.delta_mean_nll
    if not numbers.tokens:
        return _nothing_scored("probability", limit)
    if numbers.nll_undefined:
        detail = f"nll is undefined on {numbers.nll_undefined} of {numbers.tokens} tokens; a missing value fails"
        return GateResult("probability", Verdict.FAIL, math.nan, limit, detail)
    pairs = zip(numbers.nll_candidate, numbers.nll_reference, strict=True)
    mean = clustered_mean([candidate - reference for candidate, reference in pairs], numbers.counts)
    value = abs(mean.estimate)
    if not numbers.nll_unequal:
        detail = f"nll is equal bit for bit on all {numbers.tokens} tokens"
        return GateResult("probability", _pass_if(value == 0), value, limit, detail)
    if gates.exact:
        detail = f"nll differs on {numbers.nll_unequal} of {numbers.tokens} tokens"
        return GateResult("probability", Verdict.FAIL, value, limit, detail)
    status, detail = _non_inferiority(mean, limit)
    return GateResult("probability", status, value, limit, detail)


def _non_inferiority(mean: ClusteredMean, limit: float) -> tuple[Verdict, str]:
    """Decide on |Δ| by its one-sided 95 % bounds, on whichever side of 0 it lies."""
    low, high = mean.interval
    found = f"Δ {mean.estimate:+.6f} nats/token, 95 % interval [{low:+.6f}, {high:+.6f}]"
    found += f" over {mean.documents} document{'s' * (mean.documents != 1)}"
    if mean.documents < 2:
        found = f"Δ {mean.estimate:+.6f} nats/token over {mean.documents} document, which has no interval"
        return (
            Verdict.INCONCLUSIVE,
            f"{found}; {_more(MIN_DOCUMENTS - mean.documents)}",
        )
    if mean.lower > limit or mean.upper < -limit:
        return Verdict.FAIL, found
    inside = mean.upper <= limit and mean.lower >= -limit
    if inside and mean.documents >= MIN_DOCUMENTS:
        return Verdict.PASS, found
    needed = MIN_DOCUMENTS if inside else documents_needed(mean, limit)
    if needed is None:
        return (
            Verdict.INCONCLUSIVE,
            f"{found}; Δ lies on the limit, no number of documents is sure to settle it",
        )
    return Verdict.INCONCLUSIVE, f"{found}; {_more(max(needed, MIN_DOCUMENTS) - mean.documents)}"


def _more(documents: int) -> str:
    return f"about {documents} more documents are needed" if documents > 1 else "about 1 more document is needed"


def _nothing_scored(gate: str, limit: float) -> GateResult:
    return GateResult(gate, Verdict.FAIL, math.nan, limit, "0 tokens were scored; a missing value fails")


def _pass_if(condition: bool) -> Verdict:
    return Verdict.PASS if condition else Verdict.FAIL
