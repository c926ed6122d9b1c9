"""A failure measured again from its line: the same bits, whatever the length of its window."""

import json

import numpy as np
import pytest

from bitnet_engine.errors import FormatError, SettingError
from bitnet_parity import Gates, compare
from bitnet_parity.replay import FailureLine, replay

from .fakes import Bigram, Bytes, noise, write_corpus

STAMP = {"id": "r1", "cpu": "this", "numerics": "exact-int8"}


class ByShape(Bigram):
    """A model that rounds by the length of its window, as padded shapes do."""

    def logits(self, tokens):
        return super().logits(tokens) * np.float32(1 + 1e-6 * len(tokens))


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """The failures of a noisy candidate."""
    folder = tmp_path_factory.mktemp("run")
    compare(
        reference=ByShape(),
        candidate=ByShape(noise(0.5)),
        reference_tokenizer=Bytes(),
        candidate_tokenizer=Bytes(),
        corpus=write_corpus(folder / "eval", documents=3, words=8),
        gates=Gates.profile("lossless"),
        context=16,
        stamp=STAMP,
        reference_description={"path": "a", "sha256": "aa", "config": {"large": 1}},
        candidate_description={"path": "b", "sha256": "bb", "config": {"large": 1}},
    ).export(folder)
    return folder / "parity_failures.jsonl"


def again(line, stamp=STAMP):
    sides = {"reference": ByShape(), "candidate": ByShape(noise(0.5))}
    return replay(line, **sides, tokenizer=Bytes(), stamp=stamp)


def test_every_line_gives_its_numbers_bit_for_bit(failures):
    """Red when a replay feeds the path alone: the model above then rounds otherwise."""
    lines = failures.read_bytes().count(b"\n")
    assert lines > 20
    for row in range(1, lines + 1, 7):
        found = again(FailureLine.read(failures, row), {**STAMP, "id": "another run"})
        assert found.identical, found.to_json()
        assert found.stamp_differences == ()
        assert "config" not in found.line.fields["reference"]


def test_another_stamp_is_named_and_the_difference_measured(failures):
    """Red when a difference between machines is called a defect, or has no size."""
    line = FailureLine.read(failures, 2)
    changed = FailureLine(line.where, {**line.fields, "kl": line.fields["kl"] + 0.5, "tau_b": None})
    found = again(changed, {**STAMP, "cpu": "that"})
    assert not found.identical
    assert found.stamp_differences == ("cpu is 'this' there and 'that' here",)
    by_name = {number.name: number for number in found.numbers}
    assert by_name["kl"].difference == pytest.approx(-0.5)
    assert by_name["tau_b"].difference is None


def test_a_line_past_the_end(failures):
    """Red when the last line answers for one that is not there."""
    with pytest.raises(SettingError, match=r"has \d+ lines; --row 999999 is past its end"):
        FailureLine.read(failures, 999999)


@pytest.mark.parametrize(
    "broken", [{"path": []}, {"following": []}, {"path": ["x"]}, {"settings": {}}, {"reference": {}}]
)
def test_a_damaged_line_is_one_line(failures, tmp_path, broken):
    """Red when a hand-edited line is a traceback."""
    fields = json.loads(failures.read_bytes().splitlines()[0])
    (tmp_path / "f.jsonl").write_text(json.dumps(fields | broken))
    with pytest.raises(FormatError, match=r"f\.jsonl: line 1: its path, settings or sides are damaged"):
        FailureLine.read(tmp_path / "f.jsonl", 1)
