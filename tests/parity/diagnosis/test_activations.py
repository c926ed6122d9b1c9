"""Faults that another hand's numpy model computes, found and named from its results alone."""

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_engine.errors import FormatError
from bitnet_engine.layers import attention
from bitnet_parity import faults
from bitnet_parity.diagnosis.combining import combined
from bitnet_parity.diagnosis.examining import Examination
from bitnet_parity.diagnosis.graph import layer_ops
from bitnet_parity.diagnosis.repairing import nmse
from bitnet_parity.diagnosis.replay import Case, Reference
from docs.measure_diagnosis import NAMES
from tests.parity.diagnosis.conftest import IDS

OF_WEIGHTS = (
    ("scale-inverse", 1),
    ("scale-lost", 1),
    ("scale-double-absmean", 1),
    ("scale-gain", 2),
    ("scale-of-another", 2),
    ("scale-of-block", 1),
    ("rows-zero", 1),
    ("rows-minus-one", 1),
    ("columns-zero", 1),
    ("bit-flipped", 1),
    ("code-3", 1),
    ("trits-dropped", 1),
    ("i2s-layout-b", 1),
    ("i2s-lowest-first", 1),
    ("codes-as-values", 1),
    ("transposed", 1),
    ("rows-permuted", 1),
    ("chunk-misplaced", 1),
    ("layers-swapped", 1),
    ("gate-up-swapped", 1),
    ("norms-swapped", 1),
    ("qk-permuted", 1),
    ("gain-plus-one", 1),
    ("embedding-shifted", 1),
    ("head-scale", 1),
)
OF_ENGINES = tuple(
    name for name in faults.names() if name not in faults.names("harmless") and faults.get(name).targets == {"numpy"}
)
SETTINGS = ("activation-other", "eps-other", "theta-other", "quantiser-missing")


def examined(reference, candidate):
    """Return what a replay finds, without running the engine."""
    examination = Examination(Reference(reference), candidate.tokens, account=True)
    for _ in examination.run(candidate.parts(), reference.config.layers):
        pass
    return examination


def found(sound, family, name, seed):
    reference, model = sound[family]
    broken, where = faults.inject_numpy(model, name, seed)
    return examined(reference, faults.Traced(broken, IDS, name)), where


def error(examination):
    """NMSE of the logits of the reference with every cause put in, against the candidate's."""
    return nmse(examination.accounted, examination.logits)


@pytest.mark.parametrize(("name", "seed"), OF_WEIGHTS)
def test_a_wrong_weight_is_named_from_what_it_gives(sound, name, seed):
    """Red when a hypothesis is lost, or one before it takes what is another's."""
    found_, where = found(sound, "bitnet", name, seed)
    causes = combined(found_.causes, sound["bitnet"][1].config)
    assert {cause.name for cause in causes} == {NAMES.get(name, (name,))[0]}
    assert not found_.unexplained
    first = next(result for result in found_.results if result.differs)
    assert (first.layer, first.operation) == (where.layer, where.operation)
    assert error(found_) < 1e-12


@pytest.mark.parametrize("name", [*OF_ENGINES, *SETTINGS])
def test_a_wrong_computation_is_named_and_accounts_for_every_logit(sound, name):
    """Red when an alternative is not computed as an independent engine computes it, or the proof is given away."""
    found_, where = found(sound, "bitnet", name, 1)
    assert {cause.name for cause in found_.causes} == {NAMES.get(name, (name,))[0]}
    assert not found_.unexplained
    assert next(result for result in found_.results if result.differs).operation == where.operation
    assert error(found_) < 1e-12


@pytest.mark.parametrize("family", ["bitnet", "llama"])
def test_a_sound_engine_is_the_same(sound, family):
    """Red when rounding, of float32 or on an edge of int8, is taken for a difference."""
    reference, model = sound[family]
    found_ = examined(reference, faults.Traced(faults.as_numpy(model), IDS, "sound"))
    assert not found_.differs
    assert len(found_.results) > 20


@pytest.mark.parametrize("name", ["embedding-q8-0", "embedding-q6-k", "scales-f16", "ffn-permuted", "head-duplicate"])
@pytest.mark.parametrize("family", ["bitnet", "llama"])
def test_what_is_harmless_raises_no_alarm(sound, family, name):
    """Red when storage that rounds, or another order of features, is called a fault."""
    found_, _ = found(sound, family, name, 1)
    assert not found_.unexplained
    assert all(cause.harmless for cause in combined(found_.causes, sound[family][1].config))


def test_attention_of_large_scores_rounds_more(sound):
    """Red when a sound engine's attention is a difference where scores are in the thousands and close together."""
    reference = sound["bitnet"][0]
    chance, dim = np.random.default_rng(3), reference.config.head_dim
    direction = 60 * chance.normal(size=(1, 1, dim))
    q, k, v = ((near + chance.normal(size=(16, 2, dim))).astype(np.float32) for near in (direction, direction, 0.0))
    found_ = attention(*map(jnp.asarray, (q, k, v)), jnp.arange(16))
    op = next(op for op in layer_ops(reference.config) if op.kind == "attention")
    inputs = tuple(x.astype(np.float64) for x in (q, k, v))
    case = Case(Reference(reference), op, 0, inputs, np.asarray(found_, np.float64), IDS)
    assert op.tolerance < case.residual <= case.tolerance
    assert not case.differs


def test_two_faults_in_different_layers_are_both_named(sound):
    """Red when the first fault hides the second: each operation is judged on the candidate's own input."""
    reference, model = sound["bitnet"]
    inversed = (faults.inject_model(model, "scale-inverse", seed) for seed in range(20))
    broken = next(broken for broken, where in inversed if where.layer == 0)
    turned = (faults.inject_numpy(broken, "rope-neighbours", seed) for seed in range(20))
    broken = next(broken for broken, where in turned if where.layer == 1)
    found_ = examined(reference, faults.Traced(broken, IDS, "both"))
    assert {(cause.layer, cause.name) for cause in found_.causes} == {(0, "scale-inverse"), (1, "rope-neighbours")}
    assert not found_.unexplained
    assert error(found_) < 1e-12


def test_a_head_of_another_model_has_no_name(sound):
    """Red when a cause is named that a few tokens cannot prove."""
    found_, _ = found(sound, "llama", "head-replaced", 1)
    assert not found_.causes
    assert [(left.layer, left.operation) for left in found_.unexplained] == [(None, "output")]


def test_noise_has_no_name_and_is_described_and_kept(sound, tmp_path):
    """Red when a hypothesis takes noise for its own, or the reproduction does not hold both results."""
    reference, model = sound["bitnet"]
    source = faults.Traced(faults.as_numpy(model), IDS, "noise")
    examination = Examination(Reference(reference), IDS, reproduction=tmp_path)
    for _ in examination.run(map(_noisy, source.parts()), reference.config.layers):
        pass
    assert not examination.causes
    # attn_out, and the sum that takes it: the noise was put in behind its product.
    left = examination.unexplained[0]
    assert (left.layer, left.operation) == (1, "attn_output")
    assert "concentrated in 2 of 256 channels: 3, 5" in left.description
    kept = load_file(left.reproduction)
    assert set(kept) == {"input.attn_sub_norm", "found", "expected"}
    assert kept["found"].shape == kept["expected"].shape == (len(IDS), 256)


def _noisy(part):
    if part.layer == 1:
        part.values["attn_out"][:, [3, 5]] *= np.random.default_rng(0).normal(size=(len(IDS), 2)).astype(np.float32)
    return part


def test_a_capture_that_lacks_a_result_is_refused(sound):
    """Red when an operation is passed over because its input was not captured."""
    reference, model = sound["bitnet"]
    source = faults.Traced(faults.as_numpy(model), IDS, "cut")

    def parts():
        for part in source.parts():
            part.values.pop("kqv_out", None)
            yield part

    with pytest.raises(FormatError, match="no 'kqv_out' of layer 0, which attention has"):
        list(Examination(Reference(reference), IDS).run(parts(), 2))
