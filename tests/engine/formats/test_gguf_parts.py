"""A GGUF in parts is the file that its parts are of, from whichever part it is opened; else it is one clear error."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from bitnet_engine.errors import FormatError
from bitnet_engine.formats import Limits, MetadataArray, open_checkpoint, part_names
from tests.badfiles.builders import Tensor, gguf_file, u32

TENSORS = {f"t{i}": np.full((2, 32), i, np.float32) for i in range(5)}


def written(path: Path, per_part: int = 0) -> None:
    """Write TENSORS as gguf-py does, in parts of so many tensors; 0: in one file."""
    writer = gguf.GGUFWriter(path, "bitnet-b1.58", split_max_tensors=per_part)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for name, values in TENSORS.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Three files of 2, 2 and 1 tensors, alone in a folder."""
    folder = tmp_path / "parts"
    folder.mkdir()
    written(folder / "m.gguf", per_part=2)
    return sorted(folder.iterdir())


def test_any_part_and_their_folder_are_the_whole_model(tmp_path: Path, parts: list[Path]):
    """A part read alone, tensors read from the wrong file, parts hashed in another order, or `split.*` handed on."""
    written(tmp_path / "whole.gguf")
    with open_checkpoint(tmp_path / "whole.gguf") as checkpoint:
        whole = {name: value for name, value in checkpoint.metadata.items() if not isinstance(value, MetadataArray)}
    hashes = set[str]()
    for path in (*parts, parts[0].parent):
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.files == tuple(parts)
            assert checkpoint.findings == ()
            found = dict(checkpoint.metadata)
            assert found.pop("tokenizer.ggml.tokens").tolist() == ["a", "b"]
            assert found == whole
            for name, values in TENSORS.items():
                np.testing.assert_array_equal(checkpoint.read_dense(name), values)
            hashes.add(checkpoint.sha256())
    assert len(hashes) == 1


def test_a_missing_part_is_named(parts: list[Path]):
    """A model read without its last layers."""
    parts[2].unlink()
    for path in parts[:2]:
        with pytest.raises(FormatError, match=r"is one of 3 parts, and 'm-00003-of-00003.gguf' is not beside it"):
            open_checkpoint(path)


def test_parts_of_other_models_are_refused(parts: list[Path]):
    """Parts that were renamed, or are of two downloads, read as one model."""
    first, second = parts[0].read_bytes(), parts[1].read_bytes()
    parts[0].write_bytes(second)
    with pytest.raises(FormatError, match=r"says it is part 1 \(from 0\) of 3, its name says 0 of 3"):
        open_checkpoint(parts[1])
    parts[0].write_bytes(first)
    pairs = [("split.no", u32(1)), ("split.count", u32(3)), ("split.tensors.count", u32(5))]
    for name, said in (("t0", r"tensor 't0' is also in 'm-00001-of-00003.gguf'"), ("", "hold 3 tensors of 5")):
        parts[1].write_bytes(gguf_file(pairs, [Tensor(name, 0, (8,), 0)] if name else [], bytes(32 if name else 0)))
        with pytest.raises(FormatError, match=said):
            open_checkpoint(parts[0])
    parts[1].write_bytes(b"PK\3\4" + bytes(60))
    with pytest.raises(FormatError, match=r"m-00002-of-00003\.gguf"):
        open_checkpoint(parts[0])


def test_limits_hold_for_all_parts_together(parts: list[Path]):
    """A limit that parts multiply."""
    with pytest.raises(FormatError, match="its parts hold 5 tensors, the limit is 4"):
        open_checkpoint(parts[0], limits=Limits(tensors=4))


def test_a_name_alone_makes_no_part(tmp_path: Path):
    """A whole file that kept a part's name waiting for others; a number beyond the count; part 0."""
    path = tmp_path / "m-00001-of-00002.gguf"
    written(path)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.files == (path,)
    assert part_names("m-00003-of-00002.gguf") == ["m-00003-of-00002.gguf"]
    assert part_names("m-00000-of-00000.gguf") == ["m-00000-of-00000.gguf"]
    path = tmp_path / "m-00004-of-00003.gguf"
    path.write_bytes(gguf_file([("split.count", u32(3)), ("split.no", u32(3))], []))
    with open_checkpoint(path) as checkpoint:
        assert [finding.code for finding in checkpoint.findings] == ["split"]
