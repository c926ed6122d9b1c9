"""Gates: every limit at its boundary, and everything that must never pass."""

import math
from dataclasses import replace

import pytest

from bitnet_engine.errors import BitnetError
from bitnet_parity import Gates, Numbers, Verdict, judge

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
LOSSLESS, FP32, QUANTIZED = (Gates.profile(name) for name in ("lossless", "fp32", "quantized"))
IDENTICAL = Numbers(
    strings=100,
    strings_equal=100,
    tokens=2000,
    tau_b_median=1.0,
    tau_b_undefined=0,
    tau_b_not_one=0,
    tau_b_estimated=0,
    tau_b_error=0.0,
    floor_tau_b=math.nan,
    floor_delta_mean_nll=math.nan,
    nll_undefined=0,
    nll_unequal=0,
    nll_reference=[300.0] * 20,
    nll_candidate=[300.0] * 20,
    counts=[100] * 20,
)


def drifted(deltas, per_document=100):
    """Numbers whose documents differ by `deltas` nats/token each."""
    n = len(deltas)
    return replace(
        IDENTICAL,
        tokens=n * per_document,
        nll_unequal=n * per_document,
        nll_reference=[300.0] * n,
        nll_candidate=[300.0 + delta * per_document for delta in deltas],
        counts=[per_document] * n,
    )


def gate(numbers, gates, name):
    return next(result for result in judge(numbers, gates).gates if result.gate == name)


@pytest.mark.parametrize("gates", [LOSSLESS, FP32, QUANTIZED])
def test_identical_passes_every_profile_in_funnel_order(gates):
    """Red when a model fails against itself, or the order of the gates changes."""
    judgement = judge(IDENTICAL, gates)
    assert judgement.verdict is PASS
    assert [result.gate for result in judgement.gates] == ["tokenizer", "belief", "probability"]
    assert judgement.profile == gates.name


def test_limits_are_those_of_the_mission():
    """Red when a limit is edited by accident."""
    found = [(g.tokenizer_rate, g.median_tau_b, g.delta_mean_nll, g.exact) for g in (LOSSLESS, FP32, QUANTIZED)]
    assert found == [(1.0, 1.0, 0.0, True), (1.0, 0.95, 1e-2, False), (0.95, 0.60, 2e-2, False)]


def test_an_unknown_profile_lists_the_known_ones():
    """Red when a typo falls back to a default profile."""
    with pytest.raises(
        BitnetError, match="profile 'quantised' is not known; choose one of lossless, nightly, fp32, quantized"
    ):
        Gates.profile("quantised")


@pytest.mark.parametrize(
    ("equal", "gates", "status"),
    [(100, FP32, PASS), (99, FP32, FAIL), (96, QUANTIZED, PASS), (95, QUANTIZED, FAIL), (99, LOSSLESS, FAIL)],
)
def test_tokenizer_rate_at_its_limit(equal, gates, status):
    """Red when `over 95 %` becomes `at least 95 %`, or 100 % is rounded to."""
    assert gate(replace(IDENTICAL, strings_equal=equal), gates, "tokenizer").status is status


@pytest.mark.parametrize(
    ("median", "gates", "status"),
    [
        (0.95, FP32, PASS),
        (math.nextafter(0.95, 0), FP32, FAIL),
        (0.60, QUANTIZED, PASS),
        (math.nextafter(0.60, 0), QUANTIZED, FAIL),
        (math.nan, QUANTIZED, FAIL),
    ],
)
def test_median_tau_b_at_its_limit(median, gates, status):
    """Red when the limit itself fails, or a median that is missing passes."""
    assert gate(replace(IDENTICAL, tau_b_median=median, tau_b_not_one=5), gates, "belief").status is status


def test_lossless_looks_at_every_token():
    """Red when one changed token hides behind a median of 1 or a mean of 0."""
    one_tau = judge(replace(IDENTICAL, tau_b_not_one=1), LOSSLESS)
    assert [result.status for result in one_tau.gates] == [PASS, FAIL, PASS]
    one_nll = judge(replace(IDENTICAL, nll_unequal=1), LOSSLESS)
    assert [result.status for result in one_nll.gates] == [PASS, PASS, FAIL]
    assert "nll differs on 1 of 2000 tokens" in one_nll.gates[2].detail


def test_undefined_tau_is_said():
    """Red when undefined values are dropped from what people read."""
    detail = gate(replace(IDENTICAL, tau_b_undefined=3), QUANTIZED, "belief").detail
    assert detail == "median tau-b over 2000 tokens; undefined on 3, counted as failing"


@pytest.mark.parametrize(
    ("deltas", "status"),
    [
        ([0.019, 0.0195] * 10, PASS),
        ([-0.019, -0.0195] * 10, PASS),
        ([0.021, 0.0215] * 10, FAIL),
        ([-0.021, -0.0215] * 10, FAIL),
        ([0.0, 0.039] * 10, INCONCLUSIVE),
        ([0.0, 0.044] * 10, INCONCLUSIVE),
        ([0.0, -0.044] * 10, INCONCLUSIVE),
        ([0.01, 0.0101] * 9 + [0.01], INCONCLUSIVE),
        ([0.01], INCONCLUSIVE),
        ([5.0], INCONCLUSIVE),
        ([0.021, 0.0215], INCONCLUSIVE),
        ([5.0, 5.001], FAIL),
    ],
)
def test_probability_is_non_inferiority_on_both_sides(deltas, status):
    """Red when a better candidate passes for free, a wide interval passes, or 19 documents do."""
    assert gate(drifted(deltas), QUANTIZED, "probability").status is status


def test_bounds_decide_at_the_limit():
    """Red when the verdict uses the two-sided interval, or the estimate alone."""
    deltas = [0.01, 0.02] * 10
    from bitnet_parity import clustered_mean

    upper = clustered_mean([delta * 100 for delta in deltas], [100] * 20).upper
    at = replace(QUANTIZED, delta_mean_nll=upper + 1e-12)
    assert gate(drifted(deltas), at, "probability").status is PASS
    under = replace(QUANTIZED, delta_mean_nll=upper - 1e-12)
    assert gate(drifted(deltas), under, "probability").status is INCONCLUSIVE


def test_inconclusive_says_how_much_more():
    """Red when people are left with `inconclusive` and no next act."""
    assert (
        "about 1 more document is needed" in gate(drifted([0.01, 0.0101] * 9 + [0.01]), QUANTIZED, "probability").detail
    )
    assert "about 19 more documents are needed" in gate(drifted([0.5]), QUANTIZED, "probability").detail
    on_the_limit = replace(QUANTIZED, delta_mean_nll=0.5)
    assert (
        "no number of documents is sure to settle it"
        in gate(drifted([0.25, 0.75] * 10), on_the_limit, "probability").detail
    )


def test_equality_bit_for_bit_needs_no_statistics():
    """Red when a lossless conversion is inconclusive on a small corpus."""
    few = replace(IDENTICAL, tokens=7, nll_reference=[9.0], nll_candidate=[9.0], counts=[7])
    assert judge(few, LOSSLESS).verdict is PASS
    assert judge(few, QUANTIZED).verdict is PASS


@pytest.mark.parametrize("gates", [LOSSLESS, FP32, QUANTIZED])
def test_no_tokens_fail_both_gates_of_tokens(gates):
    """Red when a median or a difference over nothing passes one gate and only the other one fails."""
    nothing = replace(IDENTICAL, tokens=0, nll_reference=[], nll_candidate=[], counts=[])
    assert [result.status for result in judge(nothing, gates).gates] == [PASS, FAIL, FAIL]


@pytest.mark.parametrize("gates", [LOSSLESS, FP32, QUANTIZED])
@pytest.mark.parametrize(
    "missing",
    [
        {"strings": 0, "strings_equal": 0},
        {"nll_undefined": 1},
        {"nll_undefined": 1, "nll_reference": [math.nan] * 20, "nll_candidate": [math.nan] * 20},
    ],
)
def test_what_is_missing_never_passes(missing, gates):
    """Red when 0 tokens score 0, or an nll of NaN compares its way through."""
    judgement = judge(replace(IDENTICAL, **missing), gates)
    assert judgement.verdict is FAIL
    assert None in [result["value"] for result in judgement.to_json()["gates"]]


def test_the_worst_gate_is_the_verdict():
    """Red when an inconclusive gate hides a failed one, or a pass hides both."""
    unsure = drifted([0.0, 0.039] * 10)
    assert judge(unsure, QUANTIZED).verdict is INCONCLUSIVE
    assert judge(replace(unsure, strings_equal=0), QUANTIZED).verdict is FAIL


def test_a_margin_under_the_noise_floor_is_the_floor():
    """Red when a difference that the reference shows against itself fails, or nobody learns of the wider limit."""
    shaky = replace(drifted([0.021, 0.0215] * 10), floor_delta_mean_nll=0.02, floor_tau_b=0.9999)
    found = gate(shaky, QUANTIZED, "probability")
    assert (found.status, found.limit) == (PASS, 0.04)
    assert found.detail.startswith("widened from 0.02 to 2 × the noise floor; Δ +0.021")
    assert gate(replace(shaky, floor_delta_mean_nll=0.001), QUANTIZED, "probability").status is FAIL
    assert gate(shaky, QUANTIZED, "belief").detail == "median tau-b over 2000 tokens"


def test_lossless_takes_no_noise_for_an_excuse():
    """Red when `exact` is softened by the floor."""
    shaky = replace(IDENTICAL, tau_b_not_one=1, nll_unequal=1, floor_tau_b=0.5, floor_delta_mean_nll=1.0)
    assert [result.status for result in judge(shaky, LOSSLESS).gates] == [PASS, FAIL, FAIL]


@pytest.mark.parametrize(
    ("median", "error", "status"),
    [
        (0.64, 0.01, PASS),
        (0.61, 0.01, INCONCLUSIVE),
        (0.59, 0.01, INCONCLUSIVE),
        (0.56, 0.01, FAIL),
        (0.9, math.nan, INCONCLUSIVE),
    ],
)
def test_an_estimate_near_the_limit_does_not_decide(median, error, status):
    """Red when an estimate within its own error of the limit passes or fails."""
    estimated = replace(IDENTICAL, tau_b_median=median, tau_b_error=error, tau_b_estimated=1500, tau_b_not_one=2000)
    found = gate(estimated, QUANTIZED, "belief")
    assert found.status is status
    assert "estimated on 1500 with a standard error of" in found.detail
    assert ("run with --exact" in found.detail) == (status is INCONCLUSIVE)


def test_a_median_that_is_missing_fails_estimated_or_not():
    """Red when a missing number is INCONCLUSIVE: more work would not find it."""
    missing = replace(IDENTICAL, tau_b_median=math.nan, tau_b_error=0.01, tau_b_estimated=1500, tau_b_undefined=1500)
    assert gate(missing, QUANTIZED, "belief").status is FAIL


def test_lossless_is_not_proved_by_estimates():
    """Red when every estimate is 1 and lossless passes; one estimate under 1 does disprove it."""
    estimated = replace(IDENTICAL, tau_b_estimated=1500, tau_b_error=2e-4)
    assert gate(estimated, LOSSLESS, "belief").status is INCONCLUSIVE
    assert gate(replace(estimated, tau_b_not_one=1), LOSSLESS, "belief").status is FAIL


def test_json_is_the_gate_event():
    """Red when the live gates and the stored ones are two formats."""
    assert judge(IDENTICAL, FP32).to_json()["gates"][1] == {
        "gate": "belief",
        "status": "PASS",
        "value": 1.0,
        "limit": 0.95,
        "detail": "median tau-b over 2000 tokens",
    }
