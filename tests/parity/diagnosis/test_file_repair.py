"""Repaired files: each kind of cause, in each format; and that nothing is written where a cause is in no file."""

import pytest

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.errors import SettingError, StorageError
from bitnet_engine.formats import QuantType
from bitnet_parity import faults
from bitnet_parity.diagnosis.captures import write_capture
from bitnet_parity.diagnosis.file_repair import Repair, check_target, repair_steps
from docs.measure_diagnosis import NAMES
from tests.parity.diagnosis.conftest import IDS

PACKED, I2_S = QuantType.HF_PACKED, QuantType.I2_S
BROKEN = {
    I2_S: ("bitnet", ("scale-inverse", "gain-ones", "activation-other", "template-wrong")),
    PACKED: ("llama", ("rows-zero", "eps-other", "bos-missing")),
}
"""By storage: the graph, and faults of a weight, a setting and the tokenizer, all of them in one file."""


def repaired(reference, candidate, target):
    finding = parity.diagnose(reference=reference, candidate=candidate, tokens=IDS)
    steps = list(repair_steps(str(reference), str(candidate), finding, target, tokens=IDS))
    assert [type(step) for step in steps[:-1]] == [tuple] * (len(steps) - 1)
    assert isinstance(steps[-1], Repair)
    return finding, steps[-1]


@pytest.mark.parametrize("kind", BROKEN)
def test_several_faults_of_a_file_are_repaired_at_once(sound, tmp_path, kind):
    """Red when a second fault hides behind the first, or a repair takes another format or changes what was right."""
    family, names = BROKEN[kind]
    folder = sound[family][0].checkpoint.path
    suffix, changed, broken = "" if kind is PACKED else ".gguf", set(), folder
    for name in names:
        before, broken = broken, tmp_path / f"{name}{suffix}"
        changed |= set(faults.inject_file(before, broken, name, 1, kind).changed)
    target = tmp_path / f"repaired{suffix}"
    finding, repair = repaired(folder, broken, target)
    said = {cause.name for cause in finding.causes if not cause.harmless}
    assert all(said & set(NAMES.get(name, (name,))) for name in names)
    assert (repair.path, set(repair.tensors)) == (str(target), changed), repair.says
    assert repair.says.endswith(("SAME", "HARMLESS"))
    assert not any(path.name.endswith(".unproved") for path in tmp_path.iterdir())
    with engine.open_checkpoint(broken) as wrong, engine.open_checkpoint(target) as right:
        assert {name: info.type for name, info in right.tensors.items()} == {
            name: info.type for name, info in wrong.tensors.items()
        }


def test_what_is_no_matter_of_the_file_is_said_and_not_written(sound, tmp_path):
    """Red when an engine's fault, a cut file or a twin ends in a file that claims to be a repair."""
    folder, model = sound["bitnet"][0].checkpoint.path, sound["bitnet"][1]
    cut = tmp_path / "cut.gguf"
    faults.inject_file(folder, cut, "file-cut", 1, I2_S)
    broken, _ = faults.inject_numpy(model, "mask-missing", 1)
    capture = tmp_path / "capture"
    write_capture(capture, IDS, faults.Traced(broken, IDS, "another").parts(), {})
    expected = {cut: "file-refused is not repaired in a copy", capture: "in the engine that was captured"}
    for candidate, words in {**expected, folder: "nothing to repair"}.items():
        _, repair = repaired(folder, candidate, tmp_path / "repaired")
        assert (repair.path, repair.tensors) == (None, ())
        assert words in repair.says
    assert not (tmp_path / "repaired").exists()


def test_a_target_is_refused_before_anything_is_computed(sound, tmp_path):
    """Red when minutes of diagnosis end in a file that cannot be written, or replace one that is there."""
    folder = str(sound["bitnet"][0].checkpoint.path)
    with pytest.raises(StorageError, match="is there already"):
        check_target(folder, tmp_path)
    with pytest.raises(StorageError, match="there is no folder"):
        check_target(folder, tmp_path / "none" / "x.gguf")
    with pytest.raises(SettingError, match="leave"):
        check_target(folder, tmp_path / "x.gguf")
