"""`evaluate`: one model alone scores what a comparison scores."""

import numpy as np
import orjson
import pytest

from bitnet_engine.errors import BitnetError
from bitnet_parity import Evaluation, Gates, Plan, ScoredDocument, compare, evaluate

from .fakes import Bigram, Bytes, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four documents of 59 bytes."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=4, words=12)


@pytest.mark.parametrize("max_tokens", [None, 50])
def test_agrees_with_the_comparison_to_the_bit(corpus, max_tokens):
    """Red when `eval` and `parity` print two perplexities of one model."""
    plan, *rows, found = evaluate(Bigram(), Bytes(), corpus, context=16, max_tokens=max_tokens)
    report = compare(
        reference=Bigram(),
        candidate=Bigram(),
        reference_tokenizer=Bytes(),
        candidate_tokenizer=Bytes(),
        corpus=corpus,
        gates=Gates.profile("lossless"),
        context=16,
        max_tokens=max_tokens,
    )
    assert plan == Plan(4, report.metrics["tokens"])
    expected = [ScoredDocument(row.name, row.tokens, row.nll_reference) for row in report.documents]
    assert rows == list(found.documents) == expected
    assert isinstance(found, Evaluation)
    value = found.to_json()
    assert value["mean_nll"] == report.metrics["mean_nll_reference"]
    assert value["perplexity"] == pytest.approx(np.exp(value["mean_nll"]))
    assert value["interval"][0] < value["mean_nll"] < value["interval"][1]
    assert orjson.loads(orjson.dumps(value)) == value


def test_replicas_change_no_number(corpus):
    """Red when a window's sum goes to another document, or sums are taken in the order they are done."""
    replicas = [Bigram(), Bigram()]
    alone = list(evaluate(Bigram(), Bytes(), corpus, context=16))
    assert list(evaluate(Bigram(), Bytes(), corpus, context=16, replicas=replicas)) == alone
    assert all(replica.seen for replica in replicas)


def test_a_model_smaller_than_its_tokenizer_is_named(corpus):
    """Red when an id beyond the vocabulary is an IndexError, or wraps to another id's nll."""

    class Small(Bigram):
        def logits(self, tokens):
            return super().logits(tokens)[:, :50]

    with pytest.raises(BitnetError, match=r"model: token 1\d\d has no logit, the model has 50"):
        list(evaluate(Small(), Bytes(), corpus, context=16))
