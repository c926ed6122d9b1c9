"""Broken files: they hold what the ground truth says, load or are refused as the library states, and nothing more."""

import itertools

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.conversion import convert
from bitnet_engine.formats import Trits, open_checkpoint
from bitnet_engine.loading import load
from bitnet_parity import faults
from bitnet_parity.faults.draft import same
from bitnet_parity.faults.fault import HF_PACKED, I2_S, MASTER, STORAGES, TQ1_0, TQ2_0
from bitnet_parity.faults.numpy_injection import inject_tensors
from bitnet_parity.faults.rewrite import Rewrite
from tests.engine import families, families_gguf
from tests.parity.faults import making

NO_PLACE = {"qk-swapped": "different shapes"}
IN_FILES = [name for name in faults.names() if "file" in faults.get(name).targets and name not in NO_PLACE]
TWINS = [
    ("scale-inverse", I2_S),
    ("scale-lost", HF_PACKED),
    ("rows-minus-one", TQ1_0),
    ("bit-flipped", TQ2_0),
    ("qk-permuted", I2_S),
    ("gain-ones", HF_PACKED),
    ("head-replaced", TQ2_0),
    ("transposed", MASTER),
    ("layers-swapped", I2_S),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, samples):
    """A random BitNet model, packed."""
    where = tmp_path_factory.mktemp("sound") / "m"
    return making.folder("bitnet", where, samples / "nano" / "packed" / "tokenizer.json")


@pytest.fixture(scope="module")
def storages(folder, tmp_path_factory):
    """The same model in each storage that is not packed already, so that no test converts it again."""
    room = tmp_path_factory.mktemp("storages")
    for kind in (I2_S, TQ1_0, TQ2_0):
        convert(folder, room / f"{kind}.gguf", kind)
    return {kind: room / f"{kind}.gguf" for kind in (I2_S, TQ1_0, TQ2_0)} | {HF_PACKED: folder, MASTER: folder}


def weights(path, kind):
    """All weights of a file by canonical name, ternary ones as trits whatever holds them."""
    with open_checkpoint(path) as checkpoint:
        found = Rewrite(checkpoint, HF_PACKED if kind is MASTER else kind, np.random.default_rng(0)).weights()
        return {name: found[name] for name in found}


def equal(a, b):
    dense = [tensor.dense() if isinstance(tensor, Trits) else tensor for tensor in (a, b)]
    return same(a, b) or np.array_equal(*dense)


def chosen_storage(name):
    """One storage a fault, another for each, so that together they cover all."""
    kinds = faults.get(name).storages
    return kinds[faults.names().index(name) % len(kinds)]


@pytest.mark.parametrize("name", IN_FILES)
def test_a_broken_file_is_refused_or_differs_in_what_the_ground_truth_lists(storages, tmp_path, name):
    """Red when the engine runs a file that it should refuse, or a fault changes other weights than it names."""
    kind, fault = chosen_storage(name), faults.get(name)
    where = faults.inject_file(storages[kind], tmp_path / "m", name, 1, kind)
    if kind in fault.refused:
        with pytest.raises((engine.FormatError, engine.UnsupportedError)):
            load(tmp_path / "m")
        return
    load(tmp_path / "m")
    before, after = weights(storages[kind], kind), weights(tmp_path / "m", kind)
    names = before.keys() | after.keys()
    changed = {n for n in names if n not in before or n not in after or not equal(before[n], after[n])}
    if name == "divide-for-multiply":  # the weights' bytes are as they were; what they mean is not
        assert len(changed) == 7 * families.SIZES.layers
        assert where.changed == ()
    elif fault.kind in ("scale", "codes", "weights"):
        assert changed == set(where.changed)
    else:  # what is stored otherwise may be the same numbers
        assert changed <= set(where.changed)


@pytest.mark.parametrize(("name", "kind"), TWINS)
def test_a_file_is_the_model_that_memory_breaks(storages, tmp_path, name, kind):
    """Red when a fault is one thing in a file and another in memory: then a diagnosis learns two."""
    where = faults.inject_file(storages[kind], tmp_path / "m", name, 3, kind)
    made = families.make("bitnet")
    tensors = making.tensors(made)
    _, twin = inject_tensors(making.config(made), tensors, name, 3)
    assert (where.layer, where.tensor, where.rows) == (twin.layer, twin.tensor, twin.rows)
    written = weights(tmp_path / "m", kind)
    assert all(equal(written[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("kind", STORAGES)
def test_the_same_seed_writes_the_same_bytes(storages, tmp_path, kind):
    """Red when a time, a path or an unordered set gets into a file."""
    found = []
    for target in (tmp_path / "a", tmp_path / "b"):
        faults.inject_file(storages[kind], target, "rows-zero", 5, kind)
        files = sorted(target.iterdir()) if target.is_dir() else [target]
        found.append([(file.name if target.is_dir() else "", file.read_bytes()) for file in files])
    assert found[0] == found[1]


def test_a_format_twin_is_the_model(storages, folder, tmp_path):
    """Red when what nothing was done to is changed on its way."""
    for kind in STORAGES:
        faults.inject_file(folder, tmp_path / kind, "format-twin", 1, kind)
        assert engine.diff(folder, tmp_path / kind).identical
    for one, other in itertools.combinations((I2_S, TQ1_0), 2):
        assert engine.diff(tmp_path / one, tmp_path / other).identical


def test_rows_of_llama_keep_their_order_in_gguf(samples, tmp_path):
    """Red when q and k rows are put back into a GGUF in Hugging Face's order: a second fault nobody asked for."""
    made, tokenizer = families.make("llama"), samples / "nano" / "packed" / "tokenizer.json"
    source = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", tokenizer)
    where = faults.inject_file(source, tmp_path / "broken", "scale-gain", 1, TQ2_0, everywhere=True)
    before, after = weights(source, TQ2_0), weights(tmp_path / "broken", TQ2_0)
    name = "blk.1.attn_q.weight"
    assert name in where.changed
    assert np.array_equal(before[name].values, after[name].values)
    assert np.array_equal(before[name].values, made.plain.ternary["blk.1.attn_q"][0])
    assert after[name].scale == before[name].scale * np.float32(1.0625)


@pytest.mark.parametrize(
    ("name", "kind", "error", "message"),
    [
        ("mask-missing", I2_S, engine.SettingError, "is not put into a file but into: numpy"),
        (
            "pre-missing",
            HF_PACKED,
            engine.SettingError,
            "in no file of HF_PACKED; it is in those of I2_S, TQ1_0",
        ),
        ("rows-zero", engine.QuantType.Q4_0, engine.SettingError, "not written to Q4_0"),
        ("qk-swapped", I2_S, engine.SettingError, "different shapes"),
    ],
)
def test_what_no_file_can_show_is_refused(storages, tmp_path, name, kind, error, message):
    """Red when a file is written that does not have the fault it is named for."""
    with pytest.raises(error, match=message):
        faults.inject_file(storages.get(kind, storages[I2_S]), tmp_path / "m", name, 1, kind)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_there_is_kept(folder, tmp_path):
    """Red when breaking a copy overwrites a model."""
    (tmp_path / "m").write_text("a model")
    with pytest.raises(engine.StorageError, match="is there already"):
        faults.inject_file(folder, tmp_path / "m", "rows-zero", 1, I2_S)
    assert (tmp_path / "m").read_text() == "a model"
