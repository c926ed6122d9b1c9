"""Our numbers beside those that llama-perplexity printed of one pair (samples/golden/record_llama_perplexity.py).

The base is its own file, uint16 and all; the candidate is the float32 logits that llama.cpp gave for the same chunks.
"""

import importlib.util
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_engine import QuantType, load, load_tokenizer, open_checkpoint
from bitnet_parity import Gates, compare, faults
from bitnet_parity.kld_base import STEP, KldBase
from bitnet_parity.peers import open_peer
from bitnet_parity.sources import Side

A_TOKEN, THE_MEAN = STEP / 2, STEP / 8
"""Nats. A row of uint16 sums to 1 only within its rounding; here it is made a distribution, there it is not."""


class Chunks:
    """The recorded logits of each chunk's second half, as a source."""

    def __init__(self, base, logits):
        self.base, self.rows = base, logits

    def logits(self, tokens):
        found = np.full((len(tokens), self.rows.shape[2]), np.nan, np.float32)
        chunk = self.base._find(tokens)
        found[self.base.first : -1] = self.rows[chunk]
        return found


@pytest.fixture(scope="module")
def folder(samples):
    return samples / "golden" / "llama-perplexity"


@pytest.fixture(scope="module")
def printed(folder):
    """What llama-perplexity printed, by the names it uses; shares in per cent."""
    rows = re.findall(r"^ *(\S.*?) *: +(-?[\d.]+)", (folder / "printed.txt").read_text(), re.M)
    return {re.sub(r" +", " ", name): float(value) for name, value in rows}


@pytest.fixture(scope="module")
def report(folder, packed):
    """The same pair, compared here."""
    base = KldBase.open(folder / "base.kld")
    with open_checkpoint(packed) as checkpoint:
        tokenizer = load_tokenizer(checkpoint)
    return compare(
        reference=base,
        candidate=Chunks(base, load_file(folder / "candidate.safetensors")["logits"]),
        reference_tokenizer=tokenizer,
        candidate_tokenizer=tokenizer,
        corpus=base.corpus(tokenizer.bos),
        gates=Gates.profile("quantized"),
        context=base.context,
    )


def test_perplexities_are_those_that_were_printed(report, printed):
    """Red when chunks, targets, BOS or the scale of a row are read otherwise than llama.cpp wrote them."""
    found = report.metrics
    assert found["tokens"] == 4 * 31
    assert found["perplexity_candidate"] == pytest.approx(printed["Mean PPL(Q)"], rel=1e-7)
    assert found["perplexity_reference"] == pytest.approx(printed["Mean PPL(base)"], rel=THE_MEAN)
    assert found["delta_mean_nll"]["estimate"] == pytest.approx(printed["Mean ln(PPL(Q)/PPL(base))"], abs=THE_MEAN)
    assert 100 * found["nll_correlation"] == pytest.approx(printed["Cor(ln(PPL(Q)), ln(PPL(base)))"], abs=0.0051)


KLD = {"mean": "Mean KLD", "max": "Maximum KLD", "min": "Minimum KLD", "median": "Median KLD"}
KLD |= {f"p{share}": f"{share}% KLD" for share in (99.9,)}
KLD |= {f"p{share:02}": f"{share:.1f}% KLD" for share in (99, 95, 90, 10, 5, 1)} | {"p00.1": "0.1% KLD"}


@pytest.mark.parametrize(("name", "theirs"), KLD.items())
def test_divergences_are_those_that_were_printed(report, printed, name, theirs):
    """Red when KL is of the other direction, in bits, or its percentiles are interpolated otherwise."""
    near = THE_MEAN if name == "mean" else A_TOKEN
    assert report.metrics["kl"][name] == pytest.approx(printed[theirs], abs=near)


DELTA_P = {name: theirs.replace("KLD", "Δp") for name, theirs in KLD.items()}
DELTA_P |= {"p75": "75.0% Δp", "p25": "25.0% Δp", "rms": "RMS Δp"}


@pytest.mark.parametrize(("name", "theirs"), DELTA_P.items())
def test_differences_of_probability_are_those_that_were_printed(report, printed, name, theirs):
    """Red when Δp is reference less candidate, or of the best id and not of the one that follows."""
    assert 100 * report.metrics["delta_p"][name] == pytest.approx(printed[theirs], abs=1e-3)


def test_the_best_id_is_the_same_as_often(report, printed):
    """Red when ties, or the ids of the padding, make another best id."""
    assert 100 * report.metrics["same_top"]["share"] == pytest.approx(printed["Same top p"], abs=5.1e-4)


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="the [llama] extra is not installed")
def test_llama_cpp_agrees_with_this_engine_on_ids_and_nearly_on_logits(packed, samples, tmp_path):
    """Red when llama.cpp cannot load what is written here, or is fed other ids; it rounds activations in blocks."""
    path = tmp_path / "silu.gguf"
    faults.inject_file(packed, path, "activation-other", 1, QuantType.TQ2_0)
    peer, model = open_peer(Side("llama", str(path)), context=64), load(path)
    text = (samples / "eval" / "austen-emma-08.txt").read_text()[:200]
    ids = model.tokenizer.encode(text)
    assert peer.tokenizer.encode(text) == ids
    found, expected = peer.logits(ids), model.logits(ids)
    assert np.square(found - expected).sum() / np.square(expected).sum() < 1e-3
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.9
