"""What a comparison holds does not grow with the corpus; docs/measure_corpus_memory.py shows it at length."""

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest

from bitnet_parity import DocumentRow, Gates, stream
from bitnet_parity.failures import FailureLog
from bitnet_parity.rows import TokenRow

from .fakes import Bytes, write_corpus

VOCAB = 128_256


class Wide(Bytes):
    """Bytes with the vocabulary of Llama 3."""

    @property
    def vocab_size(self):
        return VOCAB


class Rows:
    """A model of that vocabulary: a row of noise, turned by the last id."""

    def __init__(self, seed):
        self._row = np.random.default_rng(seed).normal(size=VOCAB).astype(np.float32)

    def logits(self, tokens):
        return np.stack([np.roll(self._row, token) for token in tokens])


def test_documents_leave_some_numbers_a_token(tmp_path):
    """Red when a window's logits, or a row of the vocabulary, outlive their window: 0.5 MB a token a side."""
    corpus = write_corpus(tmp_path / "eval", documents=5, words=1)
    # Other models, so that every token is a failure and is logged.
    inputs = {"reference": Rows(0), "candidate": Rows(1), "reference_tokenizer": Wide(), "candidate_tokenizer": Wide()}
    held, tokens = [], 0
    tracemalloc.start()
    try:
        for item in stream(**inputs, corpus=corpus, gates=Gates.profile("fp32"), context=16, floor_documents=0):
            if isinstance(item, DocumentRow):
                tokens += item.tokens
                held.append((tokens, tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    assert len(held) == 5
    (early, before), (late, after) = held[2], held[-1]
    assert (after - before) / (late - early) < 20_000


def failure(index):
    """A token that disagrees."""
    names = [field.name for field in fields(TokenRow) if field.type is float]
    numbers = dict.fromkeys(names, 0.5)
    empty = {"top_reference": (), "top_candidate": ()}
    return TokenRow(index=index, document="a", position=1, token=2, text="x", same_top=False, **empty, **numbers)


def test_a_long_log_of_failures_is_on_disk(tmp_path):
    """Red when a run that fails everywhere holds 64 MB of lines."""
    log, path = FailureLog({"run": "r"}), list(range(3000))
    tracemalloc.start()
    try:
        for _ in range(300):
            log.add(failure(0), path, [1], ["top"])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    log.write(tmp_path / "failures.jsonl")
    assert (len(log), log.omitted) == (300, 0)
    assert (tmp_path / "failures.jsonl").stat().st_size > 4_000_000
    assert held < 2_000_000
    assert (tmp_path / "failures.jsonl").read_bytes().count(b"\n") == 300


@pytest.mark.parametrize("lines", [1, 400])
def test_a_log_is_written_whole_wherever_it_waited(tmp_path, lines):
    """Red when what is in memory, or on disk, is lost or written twice."""
    log = FailureLog({"run": "r"})
    for index in range(lines):
        log.add(failure(index), [1] * 3000, [1], ["top"])
    for _ in range(2):
        log.write(tmp_path / "failures.jsonl")
        assert (tmp_path / "failures.jsonl").read_bytes().count(b"\n") == lines
