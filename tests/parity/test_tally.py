"""The table of metrics: each number against numpy and scipy over the same rows."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import binomtest, pearsonr

from bitnet_parity import Gates, Report, TokenRow, belief, compare, stream
from bitnet_parity.tally import Tally

from .fakes import Bigram, Bytes, noise, write_corpus


def inputs(corpus, **more):
    return {
        "reference": Bigram(),
        "candidate": Bigram(noise(0.5)),
        "reference_tokenizer": Bytes(),
        "candidate_tokenizer": Bytes(),
        "corpus": corpus,
        "gates": Gates.profile("quantized"),
        "context": 64,
        **more,
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty-one documents of 59 bytes."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=21, words=12)


@pytest.fixture(scope="module")
def run(corpus):
    """The rows of a run, in columns, and the metrics of its report."""
    items = list(stream(**inputs(corpus)))
    rows = [item for item in items if isinstance(item, TokenRow)]
    report = next(item for item in items if isinstance(item, Report))
    return rows, report.metrics


def column(rows, name):
    return np.array([getattr(row, name) for row in rows])


@pytest.mark.parametrize("name", ["js", "nmse", "cosine", "max_abs", "overlap"])
def test_means_and_ends_are_numpys(run, name):
    """Red when a mean is of windows instead of tokens."""
    rows, metrics = run
    values = column(rows, name)
    found = metrics[name]
    assert (found["mean"], found["min"], found["max"]) == (pytest.approx(values.mean()), values.min(), values.max())
    assert found["undefined"] == 0


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("kl", [99.9, 99, 95, 90, 10, 5, 1, 0.1]),
        ("delta_p", [99.9, 99, 95, 90, 75, 25, 10, 5, 1, 0.1]),
        ("tau_b", [10, 5, 1]),
        ("tau_top", [10, 5, 1]),
    ],
)
def test_percentiles_are_numpys(run, name, shares):
    """Red when a percentile stands under another's name."""
    rows, metrics = run
    values, found = column(rows, name), metrics[name]
    names = {
        "p00.1" if share == 0.1 else f"p{share:04.1f}" if share == 99.9 else f"p{share:02}": share for share in shares
    }
    for key, share in names.items():
        assert found[key] == pytest.approx(np.percentile(values, share)), key
    assert found["median"] == pytest.approx(np.median(values))
    assert found["min"] == values.min()
    assert found["mean"] == pytest.approx(values.mean())


def test_the_perplexity_statistics_of_llama_cpp(run):
    """Red when Cor is of perplexities a document, or ln(PPL(Q)/PPL(base)) has its sides swapped."""
    rows, metrics = run
    base, q = column(rows, "nll_reference"), column(rows, "nll_candidate")
    assert metrics["nll_correlation"] == pytest.approx(pearsonr(q, base).statistic)
    assert metrics["perplexity_reference"] == pytest.approx(math.exp(base.mean()))
    assert metrics["delta_mean_nll"]["estimate"] == pytest.approx(
        math.log(metrics["perplexity_candidate"] / metrics["perplexity_reference"])
    )
    low, high = metrics["delta_mean_nll"]["bootstrap"]["interval"]
    assert low < metrics["delta_mean_nll"]["estimate"] < high
    assert metrics["delta_p"]["rms"] == pytest.approx(math.sqrt(np.mean((np.exp(-q) - np.exp(-base)) ** 2)))


def test_counts_have_their_intervals_and_tests(run):
    """Red when McNemar's pairs are those where both are right, or a share lacks its interval."""
    rows, metrics = run
    target = column(rows, "token")
    hits = [
        np.array([getattr(row, f"top_{side}")[0][0] for row in rows]) == target for side in ("reference", "candidate")
    ]
    accuracy = metrics["accuracy"]
    assert accuracy["only_reference"] == int((hits[0] & ~hits[1]).sum())
    assert accuracy["only_candidate"] == int((~hits[0] & hits[1]).sum())
    assert accuracy["reference"]["share"] == pytest.approx(hits[0].mean())
    same = int(column(rows, "same_top").sum())
    expected = binomtest(same, len(rows)).proportion_ci(0.95, "wilson")
    assert metrics["same_top"]["interval"] == pytest.approx([expected.low, expected.high])
    total = accuracy["only_reference"] + accuracy["only_candidate"]
    assert accuracy["mcnemar_p"] == pytest.approx(binomtest(accuracy["only_reference"], total).pvalue if total else 1.0)


def test_the_worst_are_the_lowest(run):
    """Red when the list is of the first tokens, or best first."""
    rows, metrics = run
    lowest = sorted(rows, key=lambda row: (row.tau_b, row.index))[: belief.WORST]
    assert [row["index"] for row in metrics["tau_b"]["worst"]] == [row.index for row in lowest]


def test_rows_alone_make_the_summary(run):
    """Red when a run that is taken up again, from its stored rows, ends in other numbers."""
    rows, metrics = run
    tally = Tally(near_tie=metrics["flips"]["near_tie_margin"], top_k=10)
    for row in rows:
        tally.add(row)
    found = tally.summary((), {"policy": "exact", "reason": metrics["tau_b"]["reason"], "subset": None, "top": 1024})
    of_documents = ("mean_nll_reference", "mean_nll_candidate", "perplexity_reference", "perplexity_candidate")
    for name in metrics.keys() - {*of_documents, "delta_mean_nll"}:
        assert found[name] == metrics[name], name


def test_an_undefined_token_is_counted_everywhere(run):
    """Red when a NaN is averaged, or drops out without a count."""
    rows, _ = run
    broken = {
        field.name: math.nan
        for field in dataclasses.fields(TokenRow)
        if isinstance(getattr(rows[0], field.name), float)
    }
    tally = Tally(near_tie=0.1, top_k=10)
    for row in (dataclasses.replace(rows[0], same_top=True), dataclasses.replace(rows[1], **broken, same_top=False)):
        tally.add(row)
    found = tally.summary((), {})
    for name in ("kl", "delta_p", "tau_top", "js", "nmse", "cosine", "max_abs", "overlap"):
        assert found[name]["undefined"] == 1, name
    assert found["nll_undefined"] == 1
    assert found["delta_p"]["median"] is None
    assert (found["flips"]["near_tie"], found["tau_b"]["worst"][0]["tau_b"]) == (0, None)


def test_a_large_vocabulary_is_estimated_and_says_so(corpus, monkeypatch):
    """Red when a report does not tell an estimate from an exact value, or the worst tokens are not exact."""
    for name, value in (("SMALL", 128), ("SUBSET", 64), ("TOP", 16), ("GROUPS", 4)):
        monkeypatch.setattr(belief, name, value)
    found = compare(**inputs(corpus)).metrics["tau_b"]
    assert (found["policy"], found["subset"], found["top"]) == ("estimate", 64, 16)
    assert found["reason"] == "the vocabulary of 257 ids is over 128"
    assert 0 < found["estimated"] < 21 * 59
    assert 0 < found["error"] < 0.2
    assert {row["tau_b_error"] for row in found["worst"]} == {0.0}
    exact = compare(**inputs(corpus, exact=True)).metrics["tau_b"]
    assert (exact["policy"], exact["reason"], exact["estimated"]) == ("exact", "exact was asked for", 0)
    assert found["median"] == pytest.approx(exact["median"], abs=0.05)
    # What proves sameness token by token cannot rest on an estimate.
    assert compare(**inputs(corpus, gates=Gates.profile("lossless"))).metrics["tau_b"]["policy"] == "exact"
