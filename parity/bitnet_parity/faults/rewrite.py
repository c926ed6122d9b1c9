"""A checkpoint on its way to a new file: header, tensors and tokenizer files, all open to change.

    rewrite = Rewrite(checkpoint, QuantType.I2_S, random)
    rewrite.put("blk.0.attn_q.weight", matrix)          # by canonical name, rows in Hugging Face's order
    rewrite.metadata["general.file_type"] = 1
    rewrite.write(path)

What is not touched is carried byte for byte. It checks nothing: a file that it writes may be meant to be wrong, and who
means it to be right (`diagnosis.file_repair`) proves that it is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bitnet_engine.config import Config
from bitnet_engine.diffing import weight_names
from bitnet_engine.errors import SettingError
from bitnet_engine.files import write_atomic
from bitnet_engine.formats import Checkpoint, OutTensor, QuantType, Trits, write_gguf
from bitnet_engine.formats.floats import encode, rounded
from bitnet_engine.formats.hf import CONFIG, SINGLE, scale_name
from bitnet_engine.formats.safetensors_writer import writing_safetensors
from bitnet_engine.naming import PROJECTIONS, tensor_name
from bitnet_parity.faults.draft import Tensor, Tensors, split
from bitnet_parity.faults.encoding import stored

MASTER = QuantType.F32
"""Stands for a folder of float matrices, trits · scale."""


class Rewrite:
    """The parts of a model file, each of which a fault may change before they are written."""

    def __init__(self, checkpoint: Checkpoint, storage: QuantType, random: np.random.Generator) -> None:
        """Take a checkpoint whose ternary matrices are stored as `storage` (packed where that is MASTER)."""
        self.checkpoint, self.storage, self.random = checkpoint, storage, random
        self.config = Config.from_checkpoint(checkpoint)
        self.metadata: dict[str, Any] = dict(checkpoint.metadata)
        self.files = {name: path.read_bytes() for name, path in checkpoint.tokenizer_files.items()}
        self.tensors = {name: self._carried(name) for name in checkpoint.tensors}
        self.rewritten: list[str] = []
        """Canonical names of the weights that were put, dropped or overwritten so far."""
        self.after: list[Callable[[Path], None]] = []
        """What is done to the written file's bytes, in this order."""
        self._stored = weight_names(checkpoint)
        if storage is MASTER:
            self._unpack()

    @property
    def gguf(self) -> bool:
        """Whether a GGUF is written, and no folder."""
        return self.checkpoint.format == "gguf"

    def weights(self) -> Tensors:
        """Return the model's weights for a draft."""
        return Tensors(tuple(self._stored), self.read)

    def read(self, name: str) -> Tensor:
        """Return a weight by canonical name, as it is in the source."""
        found = self._stored[name]
        if not self.checkpoint.is_ternary(found):
            tensor = self.checkpoint.read_dense(found)
        else:
            tensor = self.checkpoint.read_ternary(found)
            one = tensor.uniform_scale()
            tensor = tensor if one is None else Trits(tensor.values, np.asarray(one, np.float32))
        rows = self._rows(name)
        return tensor if rows is None else _taken(tensor, rows)

    def matrix(self) -> tuple[str, Trits]:
        """Return a seeded ternary matrix, and its name."""
        layer, part = int(self.random.integers(self.config.layers)), str(self.random.choice(PROJECTIONS))
        name = f"blk.{layer}.{part}.weight"
        matrix = self.read(name)
        if not isinstance(matrix, Trits):
            raise SettingError(f"{self.checkpoint.path}: '{name}' is not ternary; this fault takes a ternary model.")
        return name, matrix

    def put(self, name: str, tensor: Tensor, kind: QuantType | None = None) -> None:
        """Store a weight in place of the one of that canonical name, or beside the others, as `kind` where given."""
        self.rewritten.append(name)
        part = name.split(".")[-2]
        layer = int(name.split(".")[1]) if name.startswith("blk.") else None
        target = self._stored.get(name) or tensor_name(self.checkpoint, part, layer)
        rows = self._rows(name)
        tensor = tensor if rows is None else _taken(tensor, np.argsort(rows))
        if isinstance(tensor, Trits) and kind is None:
            self._put_ternary(target, tensor)
            return
        like = self.tensors.get(target) or self.tensors[self._stored["token_embd.weight"]]
        self._drop_scale(target)
        values = tensor.dense() if isinstance(tensor, Trits) else tensor
        chosen = kind or (like.type if like.type in _WRITTEN else QuantType.F32)
        self.tensors[target] = OutTensor(target, chosen, values.shape, lambda: stored(values, chosen))

    def _put_ternary(self, target: str, matrix: Trits) -> None:
        if self.storage is not QuantType.HF_PACKED:
            self.tensors[target] = OutTensor(
                target, self.storage, matrix.values.shape, lambda: stored(matrix, self.storage)
            )
            return
        packed = (matrix.values.shape[0] // 4, matrix.values.shape[1])
        codes = stored(matrix, self.storage)
        self.tensors[target] = OutTensor(target, QuantType.U8, packed, lambda: codes)
        self._put_scale(scale_name(target), matrix.scale)

    def _put_scale(self, name: str, scale: np.ndarray) -> None:
        with np.errstate(divide="ignore"):
            kept = (scale if self.checkpoint.scale_meaning() == "multiply" else 1 / scale).astype(np.float32).reshape(1)
        before = self.tensors[name].type if name in self.tensors else QuantType.F32
        # The type that the other scales have, unless it would round this one.
        kind = before if np.array_equal(rounded(kept, before), kept) else QuantType.F32
        self.tensors[name] = OutTensor(name, kind, (1,), lambda: encode(kept, kind))

    def drop(self, name: str) -> None:
        """Leave out the weight of that canonical name."""
        self.rewritten.append(name)
        found = self._stored[name]
        self._drop_scale(found)
        del self.tensors[found]

    def drop_scale(self, name: str) -> None:
        """Leave out the scale of a packed matrix, and keep its codes."""
        self.rewritten.append(name)
        self._drop_scale(self._stored[name])

    def _drop_scale(self, target: str) -> None:
        self.tensors.pop(scale_name(target), None)

    def stored_name(self, name: str) -> str:
        """Return how the file spells a weight."""
        return self._stored[name]

    def rename_architecture(self, names: dict[str, str]) -> None:
        """Rename a GGUF's architecture, by the table of old to new names, in every key that has it.

        Raises:
            SettingError: the table has no such name, or the file is no GGUF.
        """
        old = self.metadata.get("general.architecture")
        if not isinstance(old, str) or old not in names:
            raise SettingError(f"{self.checkpoint.path}: the architecture is {old}; this takes {', '.join(names)}.")
        renamed = {_prefixed(key, old, names[old]): value for key, value in self.metadata.items()}
        self.metadata = renamed | {"general.architecture": names[old]}

    def write(self, path: Path) -> None:
        """Write the GGUF file or the folder, then do what is in `after` to its bytes."""
        tensors = list(self.tensors.values())
        if self.gguf:
            write_gguf(path, self.metadata, tensors)
            file = path
        else:
            path.mkdir()
            write_atomic(path / CONFIG, orjson.dumps(self.metadata, option=orjson.OPT_INDENT_2))
            for name, data in self.files.items():
                write_atomic(path / name, data)
            file = path / SINGLE
            for _ in writing_safetensors(file, tensors):
                pass
        for change in self.after:
            change(file)

    def _carried(self, name: str) -> OutTensor:
        info = self.checkpoint.tensors[name]
        packed = info.type is QuantType.HF_PACKED
        shape = (info.shape[0] // 4, info.shape[1]) if packed else info.shape
        return OutTensor(name, QuantType.U8 if packed else info.type, shape, lambda: self.checkpoint.pieces(name))

    def _unpack(self) -> None:
        """Store every packed matrix as floats, and say so in config.json."""
        for name, found in self._stored.items():
            if self.checkpoint.is_ternary(found):
                shape = self.checkpoint.info(found).shape
                read = lambda name=name: stored(self.read(name), MASTER)  # noqa: E731
                self._drop_scale(found)
                self.tensors[found] = OutTensor(found, MASTER, shape, read)
        kind = {"linear_class": "autobitlinear", "quantization_mode": "online"}
        self.metadata["quantization_config"] = {**self.metadata["quantization_config"], **kind}

    def _rows(self, name: str) -> np.ndarray | None:
        """Where each row of Hugging Face's order lies in the file (docs/formats.md §2.11); None where they agree."""
        paired = self.gguf and self.metadata.get("general.architecture") == "llama" and name.startswith("blk.")
        if not paired or split(name)[1] not in ("attn_q", "attn_k"):
            return None
        rows = np.arange(self.checkpoint.info(self._stored[name]).shape[0])
        return rows.reshape(-1, self.config.head_dim // 2, 2).swapaxes(1, 2).reshape(-1)


_WRITTEN = (QuantType.F16, QuantType.BF16, QuantType.F32)


def _taken(tensor: Tensor, rows: np.ndarray) -> Tensor:
    if isinstance(tensor, Trits):
        return Trits(tensor.values[rows], tensor.scale[rows] if tensor.scale.ndim else tensor.scale)
    return tensor[rows]


def _prefixed(key: str, old: str, new: str) -> str:
    return f"{new}.{key.removeprefix(f'{old}.')}" if key.startswith(f"{old}.") else key
