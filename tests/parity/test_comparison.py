"""The stream, end to end over two small sources: order, numbers, verdicts, failures."""

import math
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from bitnet_engine.errors import BitnetError
from bitnet_parity import (
    DocumentRow,
    Gates,
    Plan,
    Report,
    Stage,
    TokenizerParity,
    TokenRow,
    Verdict,
    compare,
    stream,
)
from bitnet_parity.comparison import share_out

from .fakes import BOS, Bigram, Bytes, noise, write_corpus

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty-two documents of 59 bytes."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=22, words=12)


def inputs(corpus, profile="quantized", candidate=None, **more):
    given_ = {
        "reference": Bigram(),
        "candidate": candidate or Bigram(),
        "reference_tokenizer": Bytes(),
        "candidate_tokenizer": Bytes(),
        "corpus": corpus,
        "gates": Gates.profile(profile),
        "context": 16,
    }
    return given_ | more


def statuses(report):
    return [result.status for result in report.judgement.gates]


def test_items_come_in_order_and_add_up(corpus):
    """Red when a reader of the stream sees a token before the plan, or a total that is not the sum."""
    items = list(stream(**inputs(corpus, candidate=Bigram(noise(0.1)))))
    stages = [(item.name, item.status) for item in items if isinstance(item, Stage)]
    names = ("tokenize", "noise floor", "score")
    assert stages == [(name, status) for name in names for status in ("start", "done")]
    kinds = [type(item) for item in items]
    assert kinds[:7] == [Stage, TokenizerParity, *[Stage] * 4, Plan]
    assert kinds[-3:] == [DocumentRow, Stage, Report]
    rows = [item for item in items if isinstance(item, TokenRow)]
    documents = [item for item in items if isinstance(item, DocumentRow)]
    plan, report = items[6], items[-1]
    assert [row.index for row in rows] == list(range(plan.tokens))
    assert (plan.documents, plan.tokens) == (len(documents), sum(row.tokens for row in documents)) == (22, 22 * 59)
    assert report.metrics["tokens"] == plan.tokens
    assert sum(row.nll_reference for row in rows) == pytest.approx(sum(row.nll_reference for row in documents))
    assert report.metrics["mean_nll_candidate"] == pytest.approx(np.mean([row.nll_candidate for row in rows]))
    assert report.metrics["tau_b"]["median"] == pytest.approx(np.median([row.tau_b for row in rows]))
    assert report.metrics["tau_b"]["min"] == min(row.tau_b for row in rows)
    assert report.metrics["kl"]["p99"] == pytest.approx(np.quantile([row.kl for row in rows], 0.99))
    assert report.metrics["kl"]["mean"] == pytest.approx(np.mean([row.kl for row in rows]))
    assert report.metrics["flips"]["count"] == sum(not row.same_top for row in rows)
    assert report.metrics["same_top"]["share"] == pytest.approx(np.mean([row.same_top for row in rows]))


@pytest.mark.parametrize("bos", [BOS, None])
def test_each_id_is_scored_by_the_row_before_it(corpus, bos):
    """Red when rows and targets are shifted by one, which every model survives with a plausible nll."""
    tokenizer = Bytes(bos=bos)
    rows = [
        item
        for item in stream(**inputs(corpus, reference_tokenizer=tokenizer, candidate_tokenizer=tokenizer))
        if isinstance(item, TokenRow)
    ]
    table = log_softmax(Bigram().logits(range(257)).astype(np.float64), axis=1)
    document = next(corpus.documents())
    ids = list(document.text.encode())
    expected = [(i, ids[i], -table[ids[i - 1], ids[i]]) for i in range(1, len(ids))]
    found = [(r.position, r.token, r.nll_reference) for r in rows if r.document == document.name]
    if bos is not None:
        # The first id of each window of 15 follows BOS, not its neighbour.
        expected = [(i, t, -table[bos, t] if i % 15 == 0 else nll) for i, t, nll in expected]
        expected.insert(0, (0, ids[0], -table[bos, ids[0]]))
    assert [(p, t) for p, t, _ in found] == [(p, t) for p, t, _ in expected]
    np.testing.assert_allclose([nll for *_, nll in found], [nll for *_, nll in expected], rtol=1e-12)
    assert rows[0].text == chr(rows[0].token)
    assert len(rows[0].top_reference) == 10


def test_both_sides_are_fed_the_references_ids(corpus):
    """Red when each side walks its own path: two texts would be compared, not two models."""
    given_ = inputs(corpus, candidate_tokenizer=Bytes(spell=str.upper), floor_documents=0)
    report = compare(**given_)
    assert given_["reference"].seen == given_["candidate"].seen
    assert max(map(len, given_["candidate"].seen)) == 16
    assert statuses(report) == [FAIL, PASS, PASS]


@pytest.mark.parametrize("profile", ["lossless", "fp32", "quantized"])
def test_a_model_against_itself_passes(corpus, profile):
    """Red when equal models differ by rounding somewhere on the way."""
    report = compare(**inputs(corpus, profile))
    assert report.judgement.verdict is PASS
    assert report.failures == 0
    assert report.metrics["kl"]["max"] == 0.0
    assert report.metrics["delta_mean_nll"]["estimate"] == 0.0


@pytest.mark.parametrize(
    ("change", "profile", "expected"),
    [
        (noise(1e-4), "lossless", [PASS, FAIL, FAIL]),
        (noise(1e-4), "fp32", [PASS, PASS, PASS]),
        (noise(0.05), "quantized", [PASS, PASS, PASS]),
        (noise(1.0), "fp32", [PASS, FAIL, FAIL]),
        (lambda logits: logits * 1.5, "quantized", [PASS, PASS, FAIL]),
        (lambda logits: -logits, "quantized", [PASS, FAIL, FAIL]),
        (np.zeros_like, "quantized", [PASS, FAIL, FAIL]),
        (lambda logits: np.full_like(logits, math.nan), "quantized", [PASS, FAIL, FAIL]),
    ],
)
def test_each_fault_fails_its_own_gate(corpus, change, profile, expected):
    """Red when a fault passes, or is blamed on the wrong gate: a wrong temperature leaves beliefs alone."""
    assert statuses(compare(**inputs(corpus, profile, Bigram(change)))) == expected


def test_undefined_taus_count_as_failing(corpus):
    """Red when rows that are constant drop out of the median and the rest passes."""

    def constant_on_letters(logits):
        changed = logits.copy()
        changed[97:123] = 0.5
        return changed

    report = compare(**inputs(corpus, "quantized", Bigram(constant_on_letters)))
    tau_b = report.metrics["tau_b"]
    assert tau_b["undefined"] > report.metrics["tokens"] / 2
    assert (tau_b["median"], tau_b["mean"]) == (None, 1.0)
    assert statuses(report)[1] is FAIL


def test_one_bad_token_is_counted_and_logged(corpus, tmp_path):
    """Red when a single NaN passes, crashes, or reaches the JSON."""

    class Once(Bigram):
        def logits(self, tokens):
            found = super().logits(tokens).copy()
            if len(self.seen) == 1:
                found[3, 5] = math.nan
            return found

    report = compare(**inputs(corpus, "quantized", Once()))
    assert report.metrics["nll_undefined"] == report.metrics["tau_b"]["undefined"] == report.failures == 1
    assert statuses(report) == [PASS, PASS, FAIL]
    lossless = report.judge(Gates.profile("lossless"))
    assert [result.status for result in lossless.gates] == [PASS, FAIL, FAIL]
    report.export(tmp_path)
    line = orjson.loads((tmp_path / "parity_failures.jsonl").read_bytes())
    assert (line["tau_b"], line["nll_candidate"], line["reasons"]) == (None, None, ["tau_b", "top", "nll"])


def test_a_failure_can_be_made_again_from_its_line(corpus, tmp_path):
    """Red when the path is one id short, or holds the id that was to be predicted."""
    described = {"reference_description": {"sha256": "aa"}, "candidate_description": {"sha256": "bb"}}
    candidate = Bigram(noise(1.0))
    report = compare(**inputs(corpus, "fp32", candidate, stamp={"id": "r1"}, **described))
    report.export(tmp_path)
    lines = [orjson.loads(line) for line in (tmp_path / "parity_failures.jsonl").read_bytes().splitlines()]
    assert len(lines) == report.failures > 0
    for line in lines[:50]:
        row = log_softmax(candidate.logits(line["path"])[-1].astype(np.float64))
        assert line["nll_candidate"] == pytest.approx(-row[line["token"]])
    assert {name: lines[0][name] for name in ("run", "reference_sha256", "candidate_sha256", "corpus_sha256")} == {
        "run": "r1",
        "reference_sha256": "aa",
        "candidate_sha256": "bb",
        "corpus_sha256": corpus.sha256,
    }


def test_few_documents_are_inconclusive(tmp_path):
    """Red when 19 documents pass on a mean."""
    report = compare(**inputs(write_corpus(tmp_path / "few", documents=19), "quantized", Bigram(noise(0.01))))
    assert statuses(report) == [PASS, PASS, INCONCLUSIVE]
    assert report.judgement.verdict is INCONCLUSIVE


def test_nothing_to_score_never_passes(tmp_path):
    """Red when documents too short to score make a comparison of 0 tokens that passes."""
    (tmp_path / "a.txt").write_text("x")
    from bitnet_parity import load_corpus

    tokenizer = Bytes(bos=None)
    report = compare(**inputs(load_corpus(tmp_path), reference_tokenizer=tokenizer, candidate_tokenizer=tokenizer))
    assert report.metrics["tokens"] == 0
    assert report.judgement.verdict is FAIL
    assert orjson.loads(orjson.dumps(report.to_json())) == report.to_json()


def test_max_tokens_is_shared_by_the_documents(corpus):
    """Red when a short run scores one document and can never reach a verdict."""
    report = compare(**inputs(corpus, max_tokens=100))
    assert report.metrics["tokens"] == 100
    assert len(report.documents) == 22
    expected = {"context": 16, "top_k": 10, "max_tokens": 100, "exact": False, "seed": 0, "floor_documents": 4}
    assert report.settings == expected
    assert report.corpus["tokens"] == 22 * 59
    # A document without a token to score is no document of the statistics.
    assert [row.tokens for row in compare(**inputs(corpus, max_tokens=5)).documents] == [1] * 5


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 400))
def test_shares_are_even_and_complete(available, total):
    """Red when a short document's leftover is lost, or a document gets more than it has."""
    shares = share_out(available, total)
    assert sum(shares) == min(total, sum(available))
    assert all(share <= have for share, have in zip(shares, available, strict=True))
    cut = [share for share, have in zip(shares, available, strict=True) if share < have]
    assert not cut or max(cut) - min(cut) <= 1


@pytest.mark.parametrize(
    ("name", "value"), [("context", 1), ("top_k", 0), ("max_tokens", 0), ("seed", -1), ("floor_documents", -1)]
)
def test_limits_that_leave_nothing_are_refused(corpus, name, value):
    """Red when a limit of 0 means no limit, or scores nothing."""
    with pytest.raises(BitnetError, match=f"{name} is {value}; "):
        compare(**inputs(corpus, **{name: value}))


def test_vocabularies_of_two_sizes_are_an_error(corpus):
    """Red when a smaller vocabulary is compared on the ids both have."""

    class Small(Bigram):
        def logits(self, tokens):
            return super().logits(tokens)[:, :200]

    with pytest.raises(BitnetError, match="reference 257, candidate 200"):
        compare(**inputs(corpus, candidate=Small()))


def test_a_source_that_skips_rows_is_named(corpus):
    """Red when logits of the last token only are broadcast over the window."""

    class LastOnly(Bigram):
        def logits(self, tokens):
            return super().logits(tokens)[-1:]

    with pytest.raises(BitnetError, match="candidate: 1 rows of logits for 16 tokens"):
        compare(**inputs(corpus, candidate=LastOnly()))


def test_padding_of_the_embedding_is_not_compared(corpus):
    """Red when equal padding columns raise every tau."""

    class Padded(Bigram):
        def logits(self, tokens):
            found = super().logits(tokens)
            return np.hstack([found, np.full((len(found), 63), 9.0, np.float32)])

    candidate, shift = Bigram(noise(0.3)), noise(0.3)
    bare = compare(**inputs(corpus, candidate=candidate))
    padded = compare(**inputs(corpus, reference=Padded(), candidate=Padded(shift)))
    assert padded.metrics == bare.metrics


def test_rows_are_events(corpus):
    """Red when a field of an event is renamed on one side only."""
    table = (Path(__file__).parents[2] / "bitnet_tui" / "core" / "events.py").read_text()
    for item in stream(**inputs(corpus, max_tokens=1)):
        kind = {Stage: "stage", Plan: "plan", TokenRow: "token", DocumentRow: "document"}.get(type(item))
        if kind is not None:
            fields = table.partition(f"| `{kind}` |")[2].partition("\n| `")[0]
            assert [name for name in item.to_json() if name not in fields] == []
            assert orjson.loads(orjson.dumps(item.to_json())) == item.to_json()
