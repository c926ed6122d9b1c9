"""The labels of a determinism proof, on answers made by hand: each is earned, and none is given away."""

import hashlib

import numpy as np
import pytest

from bitnet_engine.errors import FormatError, SettingError, StorageError
from bitnet_parity import verify
from bitnet_parity.verify import Proof, Run, compared, verify_steps
from tests.badfiles.builders import small_gguf

LOGITS = np.random.default_rng(3).normal(scale=2.0, size=(8, 5, 11)).astype(np.float32)
SUMS = np.arange(-40, 40, dtype=np.int32)


def answer(folder, **arrays):
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return Run(
        "exact-int8", {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}, folder
    )


def check(tmp_path, one, other):
    a, b = answer(tmp_path / "a", x=one), answer(tmp_path / "b", x=other)
    return compared("x", "what", [(a, "x"), (b, "x")], "a batch is summed in another order")


def test_the_same_bytes_are_bit_exact(tmp_path):
    """Red when equal answers are not called so, or the number of runs is invented."""
    found = check(tmp_path, LOGITS, LOGITS.copy())
    assert (found.label, found.reproducible, found.difference) == ("bit-exact (2 runs)", True, 0.0)


def test_one_flipped_bit_is_not_bit_exact(tmp_path):
    """Red when a difference in the last bit passes as the same."""
    other = LOGITS.copy()
    other[1, 2, 3] = np.nextafter(other[1, 2, 3], np.float32(np.inf))
    found = check(tmp_path, LOGITS, other)
    assert found.label.startswith("reproducible to ")
    assert found.difference == float(other[1, 2, 3]) - float(LOGITS[1, 2, 3])
    assert found.why == "a batch is summed in another order; the best id moves on 0 of 40 tokens"


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_a_large_difference_is_not_reproducible(tmp_path, scale):
    """Red when a wrong answer is excused as rounding."""
    found = check(tmp_path, LOGITS, LOGITS + np.float32(scale))
    assert (found.label, found.reproducible) == ("not reproducible", False)
    assert "1 % of the root mean square" in found.why


def test_a_nan_is_not_reproducible(tmp_path):
    """Red when NaN compares as no difference: it did in two of three ways to write it."""
    other = LOGITS.copy()
    other[0, 0, 0] = np.nan
    found = check(tmp_path, LOGITS, other)
    assert (found.label, found.why, found.difference) == ("not reproducible", "a logit is not finite", None)


def test_integer_sums_have_no_tolerance(tmp_path):
    """Red when integer sums that differ by one are excused."""
    other = SUMS.copy()
    other[7] += 1
    found = check(tmp_path, SUMS, other)
    assert found.label == "not reproducible"
    assert found.why.startswith("1 of 80 integer sums differ")


def test_a_proof_holds_if_every_check_does(tmp_path):
    """Red when one bad check is outvoted."""
    good, bad = check(tmp_path, SUMS, SUMS.copy()), None
    (tmp_path / "more").mkdir()
    bad = check(tmp_path / "more", SUMS, SUMS + 1)
    assert Proof("m", "exact-int8", 2, 5, (good,)).holds
    proof = Proof("m", "exact-int8", 2, 5, (good, bad)).to_json()
    assert (proof["holds"], [row["reproducible"] for row in proof["checks"]]) == (False, [True, False])


def test_one_run_proves_nothing():
    """Red when a single run is called bit-exact."""
    with pytest.raises(SettingError, match="--runs 1: one run proves nothing"):
        next(verify_steps("m", "exact-int8", runs=1, tokens=4))


def test_what_a_process_cannot_read_is_its_error(tmp_path):
    """Red when a bad file ends as a defect, with the end of a traceback."""
    path = tmp_path / "no-graph.gguf"
    path.write_bytes(small_gguf())
    with pytest.raises(FormatError, match=r"no-graph\.gguf"):
        list(verify_steps(str(path), "exact-int8", runs=2, tokens=4))


def test_another_file_is_not_another_answer(tmp_path, monkeypatch):
    """Red when a model that is replaced between two processes is called not reproducible."""
    path = tmp_path / "model.gguf"
    path.write_bytes(small_gguf())

    def replaced(_request, save):
        (save / "new").write_bytes(small_gguf())
        (save / "new").replace(path)
        return answer(save / "answer", logits=LOGITS)

    monkeypatch.setattr(verify, "_run", replaced)
    with pytest.raises(StorageError, match="changed while it was read"):
        list(verify_steps(str(path), "exact-int8", runs=2, tokens=4))
