"""The journal: whatever is cut off, the resumed run ends in the same bytes, and never in another run's."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitnet_engine.errors import SettingError
from bitnet_parity import Gates, compare
from bitnet_parity.journal import Journal

from .fakes import Bigram, Bytes, noise, write_corpus

JOURNAL = "journal"
IDENTITY = {"stamp": {"threads": 2}, "settings": {"context": 16}}


class Noisy(Bigram):
    """A candidate with a NaN, an infinity and a -0.0 in its logits."""

    def logits(self, tokens):
        found = super().logits(tokens).copy()
        found[1, 5], found[2, 6], found[3, 7] = math.nan, -math.inf, -0.0
        return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Six documents."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=6, words=8)


def run(corpus, folder, *, resume=False, candidate=None, replicas=()):
    with Journal.open(folder / JOURNAL, IDENTITY, resume=resume) as journal:
        report = compare(
            reference=Bigram(),
            candidate=candidate or Noisy(noise(0.3)),
            reference_tokenizer=Bytes(),
            candidate_tokenizer=Bytes(),
            corpus=corpus,
            gates=Gates.profile("fp32"),
            context=16,
            journal=journal,
            replicas=replicas,
        )
        report.export(folder)
    return journal


def artifacts(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != JOURNAL}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, corpus):
    """A run that was never interrupted, and its journal."""
    folder = tmp_path_factory.mktemp("whole")
    run(corpus, folder)
    return folder


def test_replicas_change_no_byte_and_measure_nothing_twice(tmp_path, corpus, whole):
    """Red when windows are counted as they are done and not as they stand, or what is kept is computed again."""
    sides = [(Bigram(), Noisy(noise(0.3))) for _ in range(3)]
    run(corpus, tmp_path, replicas=sides)
    assert artifacts(tmp_path) == artifacts(whole)
    assert (tmp_path / JOURNAL).read_bytes() == (whole / JOURNAL).read_bytes()
    assert all(side.seen for pair in sides for side in pair)
    again = [(Bigram(), Noisy(noise(0.3))) for _ in range(3)]
    run(corpus, tmp_path, resume=True, replicas=again)
    assert not any(side.seen for pair in again for side in pair)
    assert artifacts(tmp_path) == artifacts(whole)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_journal_cut_anywhere_ends_in_the_same_bytes(tmp_path_factory, corpus, whole, share):
    """Red when a torn line is believed, a window is scored twice, or a number changes on its way."""
    folder, data = tmp_path_factory.mktemp("cut"), (whole / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(data[: round(share * len(data))])
    run(corpus, folder, resume=True)
    assert artifacts(folder) == artifacts(whole)
    assert (folder / JOURNAL).read_bytes() == data


def test_what_is_kept_is_not_computed_again(corpus, whole, tmp_path):
    """Red when resuming costs as much as beginning."""

    class Never(Bigram):
        def logits(self, tokens):
            raise AssertionError("scored again")

    (tmp_path / JOURNAL).write_bytes((whole / JOURNAL).read_bytes())
    assert (
        run(corpus, tmp_path, resume=True, candidate=Never()).resumed == (whole / JOURNAL).read_bytes().count(b"\n") - 1
    )


def test_without_resume_a_run_begins_again(corpus, whole, tmp_path):
    """Red when an old journal is used although nobody asked."""
    (tmp_path / JOURNAL).write_bytes((whole / JOURNAL).read_bytes())
    assert run(corpus, tmp_path).resumed == 0


def test_a_changed_byte_ends_what_is_believed(whole, tmp_path):
    """Red when a damaged line is resumed from: its numbers would be in the report."""
    data = bytearray((whole / JOURNAL).read_bytes())
    second = data.index(b"\n", data.index(b"\n") + 1)
    data[second + 40] ^= 1
    (tmp_path / JOURNAL).write_bytes(data)
    with Journal.open(tmp_path / JOURNAL, IDENTITY, resume=True) as journal:
        assert journal.resumed == 1


def test_another_run_is_refused_by_the_first_difference(whole, tmp_path):
    """Red when windows of two machines or two models are mixed in one report."""
    (tmp_path / JOURNAL).write_bytes((whole / JOURNAL).read_bytes())
    other = IDENTITY | {"stamp": {"threads": 1}}
    with pytest.raises(SettingError, match=r"begun by another run: stamp\.threads is 2 there and 1 here"):
        Journal.open(tmp_path / JOURNAL, other, resume=True)


def test_other_windows_are_refused(whole, tmp_path):
    """Red when a journal answers for ids that it never saw."""
    (tmp_path / JOURNAL).write_bytes((whole / JOURNAL).read_bytes())
    with (
        Journal.open(tmp_path / JOURNAL, IDENTITY, resume=True) as journal,
        pytest.raises(SettingError, match="was begun on other windows"),
    ):
        journal.kept([1, 2, 3], lambda: pytest.fail("measured"))


def test_every_kind_of_number_comes_back(corpus, whole, tmp_path):
    """Red when NaN, infinity or -0.0 becomes something else."""
    from bitnet_parity.belief import Belief
    from bitnet_parity.journal import _decoded, _encoded
    from bitnet_parity.metrics import measure

    rows = Noisy(noise(0.3)).logits([1, 2, 3, 4])
    metrics = measure(Bigram().logits([1, 2, 3, 4]), rows, [2, 3, 4, 5], vocab=257, top_k=3, belief=Belief(vocab=257))
    again = _decoded(_encoded(metrics))
    assert repr(again.top_candidate) == repr(metrics.top_candidate)
    for name in ("tau_b", "kl", "nll_reference", "nll_candidate", "same_top", "margin"):
        assert np.asarray(getattr(again, name)).tobytes() == np.asarray(getattr(metrics, name)).tobytes()
