"""Every fault that the numpy model can have: it changes what it says, first where it says, and nothing else."""

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import Trits
from bitnet_parity import faults
from bitnet_parity.faults.draft import same
from bitnet_parity.faults.numpy_injection import inject_tensors
from tests.engine import families
from tests.parity.faults import making

FAMILIES = {"scales-merged": "trilm", "qk-swapped": "mha"}
"""Faults of models that are not the grouped-query one of BitNet."""
IN_NUMPY = [name for name in faults.names() if "numpy" in faults.get(name).targets]
ROUNDING = ("scales-", "embedding-")
"""Beginnings of changes that need a model of more bits than float16 has: 1bitLLM's."""


@pytest.fixture(scope="module")
def made():
    """Random models by family."""
    made = {family: families.make(family) for family in ("bitnet", "trilm", "1bitllm")}
    table = made["1bitllm"].plain.dense["token_embd"]
    table += np.random.default_rng(2).normal(0, 1e-3, table.shape).astype(np.float32)
    return made | {"mha": making.multi_head()}


def family_of(name):
    """The family whose model has a place for the fault."""
    return FAMILIES.get(name, "1bitllm" if name.startswith(ROUNDING) and not name.endswith("shifted") else "bitnet")


@pytest.fixture(scope="module")
def sound(made):
    """The trace of each, unbroken, by operation."""
    return {family: list(making.model(model).trace(making.TOKENS)) for family, model in made.items()}


def inject(made, name, seed=1, **options):
    tensors = making.tensors(made)
    model, where = inject_tensors(making.config(made), tensors, name, seed, **options)
    return model, where, tensors


def different(a, b):
    return not (a.output.shape == b.output.shape and np.array_equal(a.output, b.output, equal_nan=True))


@pytest.mark.parametrize("name", IN_NUMPY)
def test_a_fault_shows_first_where_it_says(made, sound, name):
    """Red when a fault changes nothing, or the ground truth names another layer or operation than the first wrong."""
    family = family_of(name)
    model, where, _ = inject(made[family], name)
    pairs = zip(model.trace(making.TOKENS), sound[family], strict=True)
    first = next((a.name for a, b in pairs if different(a, b)), None)
    if name == "head-duplicate":
        assert first is None
        return
    assert first is not None
    prefix = "" if where.operation in ("token_embd", "output_norm", "output") else f"blk.{where.layer or 0}."
    assert first == prefix + where.operation


@pytest.mark.parametrize("name", IN_NUMPY)
def test_the_ground_truth_lists_every_weight_that_changed(made, name):
    """Red when a fault touches a weight, or a row, that its ground truth does not name."""
    family = family_of(name)
    before = making.tensors(made[family])
    _, where, after = inject(made[family], name)
    names = dict.fromkeys([*before, *after])
    changed = {n for n in names if n not in before or n not in after or not same(before[n], after[n])}
    assert changed == set(where.changed)
    assert where.tensor is None or where.tensor in changed
    if where.rows:
        a, b = before[where.tensor], after[where.tensor]
        a, b = (t.dense() if isinstance(t, Trits) else t for t in (a, b))
        assert np.flatnonzero((a != b).any(axis=1)).tolist() == list(where.rows)


@pytest.mark.parametrize("name", ["scale-inverse", "rows-permuted", "mask-missing", "head-replaced"])
def test_a_seed_is_a_place(made, name):
    """Red when the same seed breaks two models differently, or all seeds break them alike."""
    places = [inject(made["bitnet"], name, seed)[1] for seed in (1, 1, 2, 3, 4)]
    assert places[0] == places[1]
    first, second = (inject(made["bitnet"], name, 1)[0].logits([5, 6]) for _ in range(2))
    assert np.array_equal(first, second)
    assert len({(place.layer, place.tensor, place.rows) for place in places}) > 1 or name == "head-replaced"


def test_everywhere_is_every_matrix(made):
    """Red when a converter's bug, which no matrix escapes, is put into one."""
    _, where, _ = inject(made["bitnet"], "scale-inverse", everywhere=True)
    assert len(where.changed) == 7 * families.SIZES.layers
    assert where.layer is None


def logits(made, name, tokens, **options):
    return inject(made, name, everywhere=True, **options)[0].logits(tokens)


def test_only_without_a_mask_do_later_tokens_matter(made):
    """Red when the fault of the mask leaves the mask on."""
    one, other = [5, 6, 7, 8], [5, 6, 7, 200]
    sound = making.model(made["bitnet"])
    assert np.array_equal(sound.logits(one)[:3], sound.logits(other)[:3])
    broken = [logits(made["bitnet"], "mask-missing", tokens)[0] for tokens in (one, other)]
    assert not np.array_equal(*broken)


@pytest.mark.parametrize("name", ["theta-other", "rope-neighbours", "rope-reversed", "rope-skipped", "qk-permuted"])
def test_faults_of_rope_leave_position_0(made, name):
    """Red when a fault of rope changes more than rope: at position 0 there is nothing to turn."""
    sound = making.model(made["bitnet"]).logits(making.TOKENS)
    broken = logits(made["bitnet"], name, making.TOKENS)
    # A permutation orders a sum anew; nothing else moves.
    assert np.allclose(broken[0], sound[0], rtol=1e-5, atol=1e-5)
    assert not np.allclose(broken[1], sound[1], rtol=1e-3, atol=1e-3)


def test_an_order_that_all_weights_share_changes_no_logits(made):
    """Red when the harmless permutation misses a weight and becomes a fault."""
    sound = making.model(made["bitnet"]).logits(making.TOKENS)
    assert np.allclose(logits(made["bitnet"], "ffn-permuted", making.TOKENS), sound, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "name", "message"),
    [
        ("bitnet", "scale-invers", "no fault 'scale-invers'; the nearest is 'scale-inverse'"),
        ("bitnet", "zero-tail", "not put into a numpy but into: file"),
        ("bitnet", "scales-merged", "one scale already"),
        ("bitnet", "qk-swapped", "different shapes"),
        ("mha", "kv-modulo", "both mappings are the same"),
        ("trilm", "quantiser-missing", "no quantiser to break"),
        ("trilm", "attn-sub-norm-skipped", "has no attn_sub_norm"),
    ],
)
def test_a_fault_without_a_place_is_refused(made, family, name, message):
    """Red when a fault that cannot be in a model is reported as injected."""
    with pytest.raises(engine.SettingError, match=message):
        inject(made[family], name)
