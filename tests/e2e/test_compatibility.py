"""docs/COMPATIBILITY.md against the code: nothing left out, nothing claimed that is not so, every linked test there."""

import re
from pathlib import Path

import pytest

from bitnet_engine.config import GGUF_FAMILIES, HF_FAMILIES
from bitnet_engine.conversion import TARGETS
from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import QuantType, open_checkpoint
from bitnet_engine.formats.floats import WIDTHS
from bitnet_engine.formats.ggml_types import COLLIDING, GGML_TYPES, byte_size, candidates
from bitnet_engine.formats.safetensors import DTYPES
from bitnet_engine.numerics import NAMES
from bitnet_engine.tokenizer_gguf import RULES
from tests.badfiles.builders import Tensor, gguf_file, safetensors_file

PAGE = Path(__file__).parents[2] / "docs" / "COMPATIBILITY.md"
SHAPE = (64, 2560)
TILES = {QuantType.TL1: "bm = 64\nbk = 128\nbmm = 32", QuantType.TL2: "bm = 64\nbk = 96\nbmm = 32"}
TYPES = [kind for kind in QuantType if kind is not QuantType.UNKNOWN]
LINK = re.compile(r"\[(test_\w+\.py)::(test_\w+)\]\(([^)]+)\)")


def rows(section: str) -> list[list[str]]:
    """Return the cells of each row of the table under that heading."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named(cells: list[str]) -> list[str]:
    """Return what stands in backticks."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("section", re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[:-1])
def test_every_row_names_tests_that_exist(section):
    """Red when a test is renamed or removed and the page still leans on it, or a row leans on none."""
    for row in rows(section):
        links = LINK.findall(row[-1])
        assert links, row[0]
        assert len(links) == row[-1].count("]("), row[0]
        for file, name, target in links:
            path = (PAGE.parent / target).resolve()
            assert path.name == file
            assert re.search(rf"^(async )?def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE), (file, name)


def test_every_linked_file_exists():
    """Red when a measurement or a page that is named was never written."""
    targets = re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


def test_nothing_is_left_out():
    """Red when a type, architecture, numerics or split rule is added and the page does not say so."""
    types = named([row[0] for row in rows("Tensor types")])
    assert sorted(types) == sorted(kind.value for kind in TYPES)
    graphs = rows("Graphs")
    assert set(named([row[1] for row in graphs])) == set(HF_FAMILIES)
    assert set(named([row[2] for row in graphs])) == set(GGUF_FAMILIES)
    assert named([row[0] for row in rows("Numerics")]) == list(NAMES)
    pres = [name for row in rows("Tokenizers") if "one of" in row[0] for name in named([row[0].split("one of")[1]])]
    assert sorted(pres) == sorted(RULES)


@pytest.mark.parametrize("kind", TYPES)
def test_a_tensor_type_is_what_its_row_says(tmp_path, packed, kind):
    """Red when a row promises what the reader refuses, or calls unreadable or unwritten what is read or written."""
    (row,) = [row for row in rows("Tensor types") if kind.value in named(row[:1])]
    assert row[1].startswith("✔") == is_read(kind, tmp_path, packed)
    assert row[3].startswith("✔") == (kind in {*TARGETS, *WIDTHS})


def is_read(kind: QuantType, folder: Path, packed: Path) -> bool:
    path, config = packed, None
    if kind is not QuantType.HF_PACKED:
        path = written(kind, folder)
    if kind in TILES:
        config = folder / "kernel_config.ini"
        config.write_text(f"[k]\nm = {SHAPE[0]}\nk = {SHAPE[1]}\n{TILES[kind]}\n")
    with open_checkpoint(path, kernel_config=config) as checkpoint:
        name = next(tensor.name for tensor in checkpoint.tensors.values() if tensor.type is kind)
        try:
            return checkpoint.read_dense(name).shape == checkpoint.info(name).shape
        except UnsupportedError:
            return False


def written(kind: QuantType, folder: Path) -> Path:
    """Write a file of one tensor of that type, all its bytes zero."""
    type_id = next((i for i in (*GGML_TYPES, *COLLIDING) if kind in candidates(i)), None)
    if type_id is None:
        dtype, width = next((name, width) for name, (known, width) in DTYPES.items() if known is kind)
        path, size = folder / "w.safetensors", SHAPE[0] * SHAPE[1] * width
        entry = {"dtype": dtype, "shape": list(SHAPE), "data_offsets": [0, size]}
        path.write_bytes(safetensors_file({"w": entry}, bytes(size)))
        return path
    path, size = folder / "w.gguf", byte_size(kind, SHAPE)
    assert size is not None
    path.write_bytes(gguf_file([], [Tensor("w", type_id, SHAPE[::-1], 0)], bytes(-(-size // 32) * 32)))
    return path
