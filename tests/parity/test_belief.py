"""How tau-b is taken: which tokens are exact, how far an estimate is off, and that a run can be taken up again."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from bitnet_parity import Belief, belief, tau_b

LARGE = 12_000


def sides(tokens, vocab=LARGE, scale=0.3, seed=0):
    """Rows of logits and the same with noise; the later the token, the noisier."""
    generator = np.random.default_rng(seed)
    reference = generator.normal(scale=2.0, size=(tokens, vocab)).astype(np.float32)
    noise = generator.normal(scale=scale, size=(tokens, vocab)) * np.linspace(0.5, 2.0, tokens)[:, None]
    return reference, (reference + noise).astype(np.float32)


def window(policy, reference, candidate):
    """Take a window as a run does."""
    rows = policy.rows(reference, candidate)
    policy.refine(rows, reference, candidate)
    policy.note(rows.tau_b)
    return rows


def test_a_small_vocabulary_is_ranked_whole():
    """Red when an estimate is made where the exact value costs the same."""
    reference, candidate = sides(3, vocab=belief.SMALL)
    found = Belief(vocab=belief.SMALL).rows(reference, candidate)
    assert found.tau_b.tolist() == [tau_b(*pair) for pair in zip(reference, candidate, strict=True)]
    assert not found.error.any()


def test_exact_ranks_a_large_vocabulary_whole():
    """Red when --exact is dropped on the way."""
    reference, candidate = sides(2)
    policy = Belief(vocab=LARGE, exact=True)
    found = policy.rows(reference, candidate)
    assert found.tau_b.tolist() == [tau_b(*pair) for pair in zip(reference, candidate, strict=True)]
    assert policy.describe() == {"policy": "exact", "reason": "exact was asked for", "subset": None, "top": 1024}


def test_the_policy_says_why():
    """Red when a reader cannot tell an estimate from an exact value, or why it is one."""
    assert Belief(vocab=LARGE).describe()["reason"] == "the vocabulary of 12000 ids is over 8192"
    assert Belief(vocab=LARGE).describe()["policy"] == "estimate"
    assert Belief(vocab=300).describe()["reason"] == "the vocabulary of 300 ids is at most 8192"


def test_the_error_of_an_estimate_is_honest():
    """Red when the error is too small, or so large that it says nothing: measured over 60 tokens, each of its own."""
    reference, candidate = sides(60, scale=0.8)
    found = Belief(vocab=LARGE).rows(reference, candidate)
    exact = np.array([tau_b(*pair) for pair in zip(reference, candidate, strict=True)])
    assert found.error.min() > 0
    rmse = math.sqrt(np.mean((found.tau_b - exact) ** 2))
    claimed = math.sqrt(np.mean(found.error**2))
    assert 0.8 * rmse < claimed < 2.5 * rmse
    assert rmse < 0.01


def test_the_seed_chooses_the_subset_and_nothing_else():
    """Red when two runs of one seed differ, or the seed is not used."""
    reference, candidate = sides(2)
    first, again, other = (Belief(vocab=LARGE, seed=seed).rows(reference, candidate) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.tau_b, again.tau_b)
    assert (first.tau_b != other.tau_b).all()
    np.testing.assert_array_equal(first.top, other.top)


def test_the_union_of_the_best_is_scipys():
    """Red when it is an intersection, or one side's list only: total disagreement would not count."""
    reference, candidate = sides(2, vocab=5000, scale=3.0)
    found = Belief(vocab=5000).rows(reference, candidate)
    for i in range(2):
        union = sorted({*np.argsort(-reference[i])[:1024]} | {*np.argsort(-candidate[i])[:1024]})
        assert found.top[i] == kendalltau(reference[i][union], candidate[i][union]).statistic
    assert (found.top < found.tau_b).all()


def test_all_that_tie_with_the_last_of_the_best_are_in():
    """Red when which of two equal ids is ranked depends on the partition."""
    reference = np.zeros((1, 3000), np.float32)
    reference[0, :10] = np.arange(10, 0, -1)
    candidate = reference.copy()
    candidate[0, 2999] = 0.5
    found = Belief(vocab=3000).rows(reference, candidate)
    assert found.top[0] == found.tau_b[0] == tau_b(reference[0], candidate[0])


@pytest.mark.parametrize("size", [7, 90])
def test_the_worst_are_exact_whatever_the_windows(size):
    """Red when a token among the lowest of a run is left with an estimate; the noisiest come first."""
    reference, candidate = (side[::-1] for side in sides(90))
    policy, tau, error = Belief(vocab=LARGE), [], []
    for start in range(0, 90, size):
        part = slice(start, start + size)
        rows = window(policy, reference[part], candidate[part])
        tau += rows.tau_b.tolist()
        error += rows.error.tolist()
    worst = np.argsort(tau)[: belief.WORST]
    assert not np.array(error)[worst].any()
    assert [tau[i] for i in worst] == [tau_b(reference[i], candidate[i]) for i in worst]
    assert np.count_nonzero(error) > 10


def test_a_run_that_notes_what_it_has_goes_on_the_same():
    """Red when a resumed run makes other tokens exact than one that was never interrupted."""
    reference, candidate = sides(80)
    whole, resumed = Belief(vocab=LARGE), Belief(vocab=LARGE)
    resumed.note(window(whole, reference[:40], candidate[:40]).tau_b)
    found, expected = (window(policy, reference[40:], candidate[40:]) for policy in (resumed, whole))
    np.testing.assert_array_equal(found.tau_b, expected.tau_b)
    assert 0 < np.count_nonzero(expected.error) < 40


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_value(threads):
    """Red when threads share a buffer, or rows come back out of order."""
    reference, candidate = sides(5)
    found = Belief(vocab=LARGE).rows(reference, candidate, threads)
    expected = Belief(vocab=LARGE).rows(reference, candidate)
    for name in ("tau_b", "error", "top"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_equal_rows_are_exactly_one_at_any_size():
    """Red when lossless twins of a large vocabulary are told by an estimate."""
    reference, _ = sides(2)
    found = Belief(vocab=LARGE).rows(reference, reference.copy())
    assert found.tau_b.tolist() == found.top.tolist() == [1.0, 1.0]
    assert not found.error.any()


@pytest.mark.parametrize("value", [math.nan, 0.5])
def test_rows_without_an_order_are_undefined(value):
    """Red when a NaN or a constant row of a large vocabulary gets a number."""
    reference, candidate = sides(1)
    candidate[:] = value
    for pair in ((reference, candidate), (candidate, reference), (candidate, candidate)):
        found = Belief(vocab=LARGE).rows(*pair)
        assert np.isnan(found.tau_b).all()
        assert np.isnan(found.top).all()
        assert not found.error.any()


def test_order_outside_the_subset_is_found():
    """Red when a row that is constant on the ids drawn is called undefined though the others differ."""
    reference, candidate = sides(1)
    policy = Belief(vocab=LARGE)
    candidate[0, policy._subset] = 0.0
    found = policy.rows(reference, candidate)
    assert found.tau_b[0] == tau_b(reference[0], candidate[0])
    assert found.error[0] == 0


def test_ids_that_both_rule_out_are_left_out_of_an_estimate():
    """Red when equal −inf padding raises the tau of a large vocabulary."""
    reference, candidate = sides(1)
    padded = [np.hstack([side, np.full((1, LARGE), -math.inf, np.float32)]) for side in (reference, candidate)]
    bare, found = Belief(vocab=LARGE).rows(reference, candidate), Belief(vocab=2 * LARGE).rows(*padded)
    assert found.tau_b[0] == pytest.approx(bare.tau_b[0], abs=5 * (bare.error[0] + found.error[0]))
    assert found.top[0] == bare.top[0]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 3, 9), elements=st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 2.0])))
def test_taus_of_the_groups_are_tau_b(both):
    """Red when the quick count of short rows is another statistic than the one it gives the error of."""
    found = np.empty(3)
    belief._small_taus()(both[0], both[1], found)
    expected = [tau_b(x, y) for x, y in zip(*both, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
