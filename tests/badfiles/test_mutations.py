"""Sound files with one thing changed: opened and read in full, or refused in one line, and nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitnet_engine.errors import BitnetError
from bitnet_engine.formats import MetadataArray, open_checkpoint
from bitnet_engine.inspection import inspect, tensor_stats
from bitnet_engine.scanning import scan_findings
from tests.badfiles.builders import big_endian_gguf, config, small_gguf, small_safetensors

FILES = {
    "model.gguf": small_gguf(),
    "model.safetensors": small_safetensors(),
    "big-endian.gguf": big_endian_gguf(),
}
HEADERS = {
    "model.gguf": small_gguf().index(b"blk.0.attn_k.weight") + 64,
    "model.safetensors": 8 + small_safetensors()[0],
    "big-endian.gguf": big_endian_gguf().index(b"blk.0.attn_q.weight") + 56,
}
FIXTURE = HealthCheck.function_scoped_fixture


def use_all(path: Path) -> bool:
    """Do all that reading allows; return whether the file was accepted. Only a BitnetError is an answer."""
    try:
        inspect(path).to_json()
        with open_checkpoint(path) as checkpoint:
            for value in checkpoint.metadata.values():
                if isinstance(value, MetadataArray):
                    value.tolist()
            for name in checkpoint.tensors:
                checkpoint.read_dense(name)
                tensor_stats(checkpoint, name)
            scan_findings(checkpoint)
    except BitnetError:
        return False
    return True


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sound file, with a config.json that gives its scales a meaning."""
    (tmp_path / "config.json").write_text(json.dumps(config()))
    path = tmp_path / request.param
    path.write_bytes(FILES[path.name])
    return path


def test_the_file_is_sound(file: Path):
    """Mutations of a file that was refused anyway."""
    assert use_all(file)


@settings(max_examples=60, suppress_health_check=[FIXTURE], deadline=None)
@given(data=st.data())
def test_truncated_anywhere(file: Path, data: st.DataObject):
    """A cut file read past its end, or accepted with a tensor missing."""
    whole = FILES[file.name]
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    # The padding after the last tensor may be missing: llama.cpp writes files without it.
    assert not use_all(file)


@settings(max_examples=300, suppress_health_check=[FIXTURE], deadline=None)
@given(data=st.data())
def test_any_header_byte_changed(file: Path, data: st.DataObject):
    """An exception of Python or numpy that a single wrong byte can cause."""
    mutated = bytearray(FILES[file.name])
    at = data.draw(st.integers(0, HEADERS[file.name] - 1))
    mutated[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(mutated)
    use_all(file)


@settings(max_examples=150, suppress_health_check=[FIXTURE], deadline=None)
@given(data=st.data())
def test_any_eight_bytes_replaced(file: Path, data: st.DataObject):
    """A length, count, offset or scale of an extreme value."""
    mutated = bytearray(FILES[file.name])
    at = data.draw(st.integers(0, len(mutated) - 8))
    extremes = st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**61, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 1])
    mutated[at : at + 8] = data.draw(extremes).to_bytes(8, "little")
    file.write_bytes(mutated)
    use_all(file)
