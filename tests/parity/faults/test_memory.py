"""Faults in the engine's own model: the weights that the numpy model has, and settings that the graph obeys."""

import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.loading import load
from bitnet_parity import faults
from bitnet_parity.faults.draft import same
from bitnet_parity.faults.memory import tensors_of
from tests.parity.faults import making

OF_WEIGHTS = [
    name
    for name in faults.names()
    if "model" in faults.get(name).targets and faults.get(name).kind in ("scale", "codes", "weights")
]
NO_PLACE = {"scales-merged", "qk-swapped"}


@pytest.fixture(scope="module")
def model(tmp_path_factory, samples):
    """A random BitNet model, as the engine loads it."""
    where = tmp_path_factory.mktemp("sound") / "m"
    return load(making.folder("bitnet", where, samples / "nano" / "packed" / "tokenizer.json"))


@pytest.mark.parametrize("name", [name for name in OF_WEIGHTS if name not in NO_PLACE])
def test_a_broken_model_differs_in_what_the_ground_truth_lists(model, name):
    """Red when a matrix is packed back wrongly, or another layer's changes with it."""
    before = tensors_of(model)
    broken, where = faults.inject_model(model, name, 1)
    after = tensors_of(broken)
    names = dict.fromkeys([*before, *after])
    changed = {n for n in names if n not in before or n not in after or not _same(before[n], after[n])}
    assert changed == set(where.changed)
    assert broken.config == model.config
    assert broken.tokenizer is model.tokenizer


def _same(a, b):
    # A stack with one matrix of several scales holds all of them by blocks.
    return same(a, b) or np.array_equal(*(t.dense() if hasattr(t, "dense") else t for t in (a, b)))


@pytest.mark.parametrize("name", ["activation-other", "layers-swapped", "quantiser-missing", "ffn-sub-norm-skipped"])
def test_the_engine_computes_what_the_numpy_model_does(model, name):
    """Red when a fault is one computation in the engine and another in the specification."""
    broken, _ = faults.inject_model(model, name, 2, everywhere=True)
    twin, _ = faults.inject_numpy(model, name, 2, everywhere=True)
    expected = twin.logits(making.TOKENS)
    found = broken.logits(making.TOKENS)
    assert np.square(found - expected).sum() < 1e-3 * np.square(expected).sum()
    sound = model.logits(making.TOKENS)
    assert np.square(found - sound).sum() > 1e-6 * np.square(sound).sum()


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("eps-other", "rms_eps", float(np.float32(1e-6))), ("theta-other", "rope_theta", 500_000.0)],
)
def test_a_setting_is_the_models_config(model, name, setting, value):
    """Red when the setting stays, or another moves."""
    broken, where = faults.inject_model(model, name, 1)
    different = {key for key in vars(model.config) if getattr(broken.config, key) != getattr(model.config, key)}
    assert different == {setting}
    assert getattr(broken.config, setting) == value
    assert where.layer is None


def test_bos_is_lost_to_the_tokenizer_alone(samples):
    """Red when the fault touches the weights, or the text still begins with BOS."""
    sample = load(samples / "nano" / "packed")
    broken, where = faults.inject_model(sample, "bos-missing", 1)
    assert broken.tokenizer.encode("a") == sample.tokenizer.encode("a")[1:]
    assert broken.weights is sample.weights
    assert where.operation == "tokenizer"


@pytest.mark.parametrize(("name", "numerics"), [("activations-q8k", "llamacpp-q8k"), ("activations-bf16", "hf-bf16")])
def test_harmless_rounding_is_the_engines_own(model, name, numerics):
    """Red when what an engine may do is put in under the name of another rounding."""
    broken, _ = faults.inject_model(model, name, 1)
    assert broken.numerics == numerics


def test_the_sound_model_is_left_as_it_is(model):
    """Red when breaking a copy breaks the original, which everything is compared with."""
    before = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(model.weights)]
    for name in ("rows-zero", "head-scale", "gain-plus-one"):
        faults.inject_model(model, name, 4)
    assert all(np.array_equal(a, b) for a, b in zip(before, jax.tree.leaves(model.weights), strict=True))


def test_a_computation_that_the_engine_lacks_is_refused(model):
    """Red when a model that the fault is not in is handed out as broken."""
    with pytest.raises(engine.SettingError, match="not put into a model but into: numpy"):
        faults.inject_model(model, "mask-missing", 1)
