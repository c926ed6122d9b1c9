"""The package itself: what it exports, and what importing it costs."""

import subprocess
import sys

import pytest

import bitnet_parity

EXPORTED = [
    "BATTERY",
    "Belief",
    "Cause",
    "ClusteredMean",
    "Corpus",
    "Document",
    "DocumentRow",
    "Evaluation",
    "FailureLog",
    "Finding",
    "Floor",
    "GateResult",
    "Gates",
    "Inputs",
    "Item",
    "Judgement",
    "LogitSource",
    "Numbers",
    "Plan",
    "Report",
    "ScoredDocument",
    "Side",
    "Stage",
    "TensorParity",
    "TokenRow",
    "TokenizerDifference",
    "TokenizerParity",
    "TokenizerSource",
    "Verdict",
    "WeightsParity",
    "WindowMetrics",
    "bootstrap_interval",
    "clustered_mean",
    "compare",
    "compare_tokenizers",
    "diagnose",
    "evaluate",
    "judge",
    "judge_tokenizer",
    "judge_weights",
    "load_corpus",
    "measure",
    "parse_side",
    "stream",
    "tau_b",
    "tau_b_rows",
    "weights_steps",
    "windows",
]


def test_exports_are_exactly_these():
    """Red when a name is added to or dropped from the public surface by accident."""
    assert sorted(bitnet_parity.__all__) == sorted(EXPORTED) == sorted(bitnet_parity._HOME)
    assert dir(bitnet_parity) == bitnet_parity.__all__


@pytest.mark.parametrize("name", EXPORTED)
def test_every_name_resolves(name):
    """Red when the lazy table points at a module that has no such name, or that hides it."""
    found = getattr(bitnet_parity, name)
    assert getattr(found, "__module__", "").rpartition(".")[2] != "" or name in ("BATTERY", "Item")
    assert type(found).__name__ != "module"


def test_an_unknown_name_is_an_attribute_error():
    """Red when hasattr() on the package raises something else, or answers yes to everything."""
    assert not hasattr(bitnet_parity, "compare_everything")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import bitnet_parity", ("numpy", "numba", "scipy")),
        ("import bitnet_parity; bitnet_parity.stream", ("numba", "scipy", "jax", "textual", "tokenizers")),
    ],
)
def test_imports_stay_cheap(code, absent):
    """Red when `bitnet-tui --help` pays for numba, or parity reaches for jax."""
    script = f"{code}\nimport sys; print([name for name in {absent!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{script}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
