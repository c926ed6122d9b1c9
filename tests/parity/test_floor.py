"""The noise floor: what of the reference is measured, how it widens limits, what it calls a near-tie."""

import math
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitnet_parity import Belief, Floor, Gates, Verdict, compare
from bitnet_parity.floor import BF16, measure_floor, to_bfloat16
from bitnet_parity.scoring import EncodedDocument

from .fakes import BOS, VOCAB, Bigram, Bytes, noise, write_corpus

ML_DTYPES = pytest.importorskip("ml_dtypes")  # comes with jax


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty-two documents of 59 bytes."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=22, words=12)


def floor_of(variants, reference=None, documents=6, sample=4):
    generator = np.random.default_rng(0)
    ids = [array("i", generator.integers(0, 256, 40).tolist()) for _ in range(documents)]
    return measure_floor(
        reference or Bigram(),
        variants,
        [EncodedDocument(f"{i}", document, 0) for i, document in enumerate(ids)],
        tokenizer=Bytes(),
        context=16,
        sample=sample,
        belief=Belief(vocab=VOCAB),
    )


def variant(floor, name):
    return next(v for v in floor.variants if v.name == name)


@given(arrays(np.float32, (4, 5), elements=st.floats(width=32)))
def test_bfloat16_is_that_of_ml_dtypes(logits):
    """Red when halves round up instead of to even, or NaN becomes a number."""
    with np.errstate(all="ignore"):
        expected = logits.astype(ML_DTYPES.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(to_bfloat16(logits), expected)


def test_a_source_without_variants_has_the_floor_of_its_logits():
    """Red when a recording, which cannot be run again, has no floor at all."""
    floor = floor_of({})
    assert [v.name for v in floor.variants] == [BF16]
    assert (floor.documents, floor.tokens) == (4, 60)
    assert 0.99 < floor.tau_b < 1.0
    assert 0 < floor.delta_mean_nll < 0.05
    # bfloat16 keeps 8 bits: a logit of up to 8 moves by up to 2^-6, a difference of two by twice that.
    assert 0 < floor.margin <= 2**-5


def test_the_worst_variant_is_the_floor():
    """Red when variants are averaged, or the last one wins."""
    floor = floor_of({"same": Bigram(), "noisy": Bigram(noise(0.3))})
    noisy, same = variant(floor, "noisy"), variant(floor, "same")
    assert (same.tau_b, same.delta_mean_nll, same.kl, same.nmse, same.margin) == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert (floor.tau_b, floor.delta_mean_nll, floor.margin) == (noisy.tau_b, noisy.delta_mean_nll, noisy.margin)
    assert noisy.tau_b < variant(floor, BF16).tau_b


def test_the_margin_is_the_move_of_the_references_two_best():
    """Red when it is the variant's own margin less the reference's: a flip would look like no move."""

    def swap(logits):
        changed = logits.copy()
        for row in changed:
            first, second = np.argsort(-row)[:2]
            row[first], row[second] = row[second], row[first]
        return changed

    reference = Bigram()
    table = np.sort(reference.logits(range(VOCAB)), axis=1).astype(float)
    moved = variant(floor_of({"swapped": Bigram(swap)}), "swapped").margin
    assert moved > np.median(table[:, -1] - table[:, -2])


def test_the_sample_bounds_the_cost():
    """Red when a floor of 2 documents scores all of them, or more than their first window."""
    reference, variants = Bigram(), {"again": Bigram()}
    floor = floor_of(variants, reference, documents=9, sample=2)
    assert floor.documents == len(reference.seen) == len(variants["again"].seen) == 2
    assert {len(path) for path in reference.seen} == {16}
    assert reference.seen[0][0] == BOS


def test_a_floor_survives_json():
    """Red when a stored report is judged again without its floor."""
    floor = floor_of({"bad": Bigram(lambda logits: np.full_like(logits, math.nan))})
    again = Floor.from_json(floor.to_json())
    assert again.to_json() == floor.to_json()
    assert again.margin == floor.margin
    assert None in [v["kl"] for v in floor.to_json()["variants"]]


def inputs(corpus, candidate, profile, **more):
    return {
        "reference": Bigram(),
        "candidate": candidate,
        "reference_tokenizer": Bytes(),
        "candidate_tokenizer": Bytes(),
        "corpus": corpus,
        "gates": Gates.profile(profile),
        "context": 64,
        **more,
    }


def test_a_limit_under_the_floor_gives_way_and_says_so(corpus):
    """Red when a candidate fails for noise that the reference shows against itself."""
    shaky = {"shaky": Bigram(noise(0.3, seed=2))}
    quiet = compare(**inputs(corpus, Bigram(noise(0.3)), "fp32"))
    noisy = compare(**inputs(corpus, Bigram(noise(0.3)), "fp32", variants=shaky))
    assert quiet.judgement.verdict is Verdict.FAIL
    belief = noisy.judgement.gates[1]
    assert belief.status is Verdict.PASS
    assert belief.limit == pytest.approx(1 - 2 * (1 - noisy.floor.tau_b))
    assert belief.detail.startswith("widened from 0.95 to 2 × the noise floor; median tau-b")
    # The tokens that are worth a look are those under the limit that judges.
    assert noisy.failures < quiet.failures


def test_flips_within_the_noise_are_near_ties(corpus):
    """Red when a flip that rounding alone makes counts as a change of mind, or a real one is excused."""

    def faint(logits):
        return noise(1e-3)(logits)

    def turned(logits):
        changed = logits.copy()
        changed[:, 7] += 50.0
        return changed

    near = compare(**inputs(corpus, Bigram(lambda logits: faint(np.round(logits, 1))), "quantized"))
    assert near.metrics["flips"]["near_tie_margin"] == near.floor.margin
    flips = compare(**inputs(corpus, Bigram(turned), "quantized")).metrics["flips"]
    assert flips["count"] == flips["near_tie"] + flips["real"]
    assert flips["real"] > 0.9 * flips["count"] > 0


def test_a_switched_off_floor_is_said(corpus):
    """Red when a report without a floor looks like one with a floor of 0."""
    report = compare(**inputs(corpus, Bigram(noise(0.3)), "quantized", floor_documents=0))
    assert report.floor is None
    assert report.to_json()["floor"] is None
    flips = report.metrics["flips"]
    assert (flips["near_tie"], flips["real"], flips["near_tie_margin"]) == (None, None, None)
    assert report.settings["floor_documents"] == 0
