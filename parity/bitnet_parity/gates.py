"""Limits, and the judgement of numbers by them: results hold numbers, gates judge them later.

    judgement = judge(report.numbers(), Gates.profile("quantized"))
    judgement.verdict is Verdict.PASS

The gates stand in funnel order: different ids make beliefs incomparable, different beliefs explain a
different probability. A missing number fails its gate; it never passes as 0. Knows no model and no corpus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bitnet_engine.errors import SettingError
from bitnet_parity.statistics import ClusteredMean, clustered_mean, documents_needed

MIN_DOCUMENTS = 20
"""A mean over fewer documents never passes, however narrow its interval looks (docs/parity.md §3)."""


class Verdict(Enum):
    """The outcome of a gate, and of all of them."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Gates:
    """The limits of one profile (docs/parity.md §1).

    `exact` asks for tau_b = 1 and equal nll on every single token, not in the median and the mean.
    """

    name: str
    tokenizer_rate: float
    """Least share of strings with the same ids."""
    tokenizer_rate_excluded: bool
    """Whether the rate has to be over `tokenizer_rate`, not just at it."""
    median_tau_b: float
    """Least median over tokens."""
    delta_mean_nll: float
    """Largest |Δ mean nll|, nats/token."""
    exact: bool

    @classmethod
    def profile(cls, name: str) -> "Gates":
        """Return the gates of the profile `name`.

        Raises:
            SettingError: no such profile.
        """
        if name not in _PROFILES:
            raise SettingError(f"profile '{name}' is not known; choose one of {', '.join(_PROFILES)}")
        return cls(name, **_PROFILES[name])


_PROFILES: dict[str, dict[str, Any]] = {
    "lossless": {
        "tokenizer_rate": 1.0,
        "tokenizer_rate_excluded": False,
        "median_tau_b": 1.0,
        "delta_mean_nll": 0.0,
        "exact": True,
    },
    "fp32": {
        "tokenizer_rate": 1.0,
        "tokenizer_rate_excluded": False,
        "median_tau_b": 0.95,
        "delta_mean_nll": 1e-2,
        "exact": False,
    },
    "quantized": {
        "tokenizer_rate": 0.95,
        "tokenizer_rate_excluded": True,
        "median_tau_b": 0.60,
        "delta_mean_nll": 2e-2,
        "exact": False,
    },
}


@dataclass(frozen=True)
class Numbers:
    """All that the gates look at. NaN or a count of undefined values says what is missing.

    nll_* and `counts` hold one sum in nats and one count of tokens for each document.
    """

    strings: int
    strings_equal: int
    tokens: int
    tau_b_median: float
    tau_b_undefined: int
    tau_b_not_one: int
    nll_undefined: int
    nll_unequal: int
    nll_reference: Sequence[float]
    nll_candidate: Sequence[float]
    counts: Sequence[int]


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
    results = (tokenizer, _belief(numbers, gates), _probability(numbers, gates))
    statuses = {result.status for result in results}
    verdict = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in statuses), Verdict.PASS)
    return Judgement(gates.name, verdict, results)


def judge_tokenizer(strings: int, equal: int, gates: Gates) -> GateResult:
    """Judge the share of strings that become the same ids; known before any token is scored."""
    rate = equal / strings if strings else math.nan
    over = rate > gates.tokenizer_rate if gates.tokenizer_rate_excluded else rate >= gates.tokenizer_rate
    detail = f"{equal} of {strings} strings have the same ids"
    return GateResult("tokenizer", _pass_if(over), rate, gates.tokenizer_rate, detail)


def _belief(numbers: Numbers, gates: Gates) -> GateResult:
    if not numbers.tokens:
        return _nothing_scored("belief", gates.median_tau_b)
    undefined = f"; undefined on {numbers.tau_b_undefined}, counted as failing" if numbers.tau_b_undefined else ""
    if gates.exact:
        passed = numbers.tau_b_not_one == 0
        detail = f"tau-b is 1 on {numbers.tokens - numbers.tau_b_not_one} of {numbers.tokens} tokens{undefined}"
    else:
        # Comparing with NaN is False: a median that is missing fails.
        passed = numbers.tau_b_median >= gates.median_tau_b
        detail = f"median tau-b over {numbers.tokens} tokens{undefined}"
    return GateResult("belief", _pass_if(passed), numbers.tau_b_median, gates.median_tau_b, detail)


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
    found += f" over {mean.documents} documents"
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
