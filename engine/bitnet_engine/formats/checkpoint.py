"""A model file or folder, opened: what its headers say, and its tensors on request.

    with open_checkpoint("model.gguf") as checkpoint:              # formats/opening.py
        checkpoint.tensors["token_embd.weight"].shape          # (128256, 2560)
        checkpoint.read_ternary("blk.0.attn_q.weight").values  # int8 [out, in]

A tensor is read when it is asked for. Knows bytes, types and names; no architecture and no tokenizer.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bitnet_engine.errors import FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import dense, hf
from bitnet_engine.formats.byte_order import to_little
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.lookup_tables import Kernels, read_kernel_config
from bitnet_engine.formats.sniff import Format
from bitnet_engine.formats.ternary import UNPACKERS, one_scale, packing_of, shape_problem, unpack_hf, unpack_i2_s
from bitnet_engine.formats.types import (
    TERNARY_TYPES,
    ByteOrder,
    Finding,
    I2SLayout,
    Limits,
    QuantType,
    Reading,
    StoredTrits,
    TensorInfo,
    Trits,
    quoted,
)

CODE_3 = 2
"""The value that the meaningless fourth code unpacks to."""

LOOKUP_TYPES = frozenset({QuantType.TL1, QuantType.TL2})
"""Types that a kernel config describes."""

_HASH_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """An open model. Close it, or use it in a `with` statement."""

    path: Path
    format: Format
    version: str
    """`v2` or `v3` of GGUF; empty for SafeTensors, which has no versions."""
    metadata: Mapping[str, Any]
    """GGUF's key-value pairs (arrays as `MetadataArray`), or the parsed config.json ({} without one)."""
    tensors: Mapping[str, TensorInfo]
    """By name, in the order of their bytes."""
    findings: tuple[Finding, ...]
    tokenizer_files: Mapping[str, Path]
    """The tokenizer's files beside a SafeTensors model, by file name; empty for GGUF."""
    byte_order: ByteOrder
    """Of every number of a GGUF file, tensors included; SafeTensors are little-endian."""
    reading: Reading
    """How it is read in what no file states: the layout of I2_S tensors, the tiles of TL1 and TL2."""
    _sources: Mapping[Path, SourceFile] = field(repr=False)
    _config: bytes = field(repr=False)
    _kernels: Kernels | None = field(default=None, repr=False)

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold tensors, in name order."""
        return tuple(self._sources)

    @property
    def size(self) -> int:
        """Bytes of all `files`."""
        return sum(source.size for source in self._sources.values())

    def holds(self, *kinds: QuantType) -> bool:
        """Return whether a tensor is of one of these types."""
        return any(tensor.type in kinds for tensor in self.tensors.values())

    def read_as(
        self,
        *,
        i2s_layout: I2SLayout | None = None,
        kernel_config: Path | None = None,
        limits: Limits | None = None,
    ) -> "Checkpoint":
        """Return this checkpoint read with what a caller knows of it; the same open files, closed with either.

        Raises:
            FormatError: `kernel_config` is none.
            SettingError: there is no tensor of the type that one of the two describes.
            StorageError: `kernel_config` cannot be read.
        """
        kernels = None if kernel_config is None else read_kernel_config(kernel_config, limits or in_force())
        if i2s_layout is not None and not self.holds(QuantType.I2_S):
            raise SettingError(
                f"{self.path}: holds no I2_S tensor, so no I2_S layout {i2s_layout} either; leave it out"
            )
        if kernels is not None and not self.holds(*LOOKUP_TYPES):
            raise SettingError(
                f"{self.path}: holds no TL1 or TL2 tensor, which a kernel config would describe; leave it out"
            )
        reading = self.reading
        if i2s_layout is not None:
            reading = replace(reading, i2s_layout=i2s_layout, i2s_basis="given", i2s_evidence="")
        if kernels is not None:
            reading = replace(reading, kernel_config=str(kernels.path), kernel_config_sha256=kernels.sha256)
        return replace(self, reading=reading, _kernels=kernels or self._kernels)

    def close(self) -> None:
        """Close every file. Reading a tensor or a metadata array afterwards is a StorageError."""
        for source in self._sources.values():
            source.close()

    def check_unchanged(self) -> None:
        """Raise a StorageError where a file of the model is another than when it was opened; reads nothing."""
        for source in self._sources.values():
            source.read(0, 0)

    def info(self, name: str) -> TensorInfo:
        """Return what the header says of tensor `name`.

        Raises:
            FormatError: there is no such tensor.
        """
        if name not in self.tensors:
            raise FormatError(f"{self.path}: has no tensor {quoted(name)} among its {len(self.tensors)}")
        return self.tensors[name]

    def is_ternary(self, name: str) -> bool:
        """Return whether tensor `name` is stored as trits and scales."""
        return self.info(name).type in TERNARY_TYPES

    def scale_meaning(self) -> hf.ScaleMeaning | None:
        """Return what the packed tensors' `weight_scale` does; None where no tensor is packed HF's way.

        Raises:
            FormatError: config.json is absent or does not say.
        """
        if all(tensor.type is not QuantType.HF_PACKED for tensor in self.tensors.values()):
            return None
        return hf.scale_meaning(dict(self.metadata), self.path)

    def read_bytes(self, name: str) -> bytes:
        """Return the bytes of tensor `name` as they are stored.

        Raises:
            FormatError: there is no such tensor.
            StorageError: the file changed since it was opened, or cannot be read.
        """
        info = self.info(name)
        return self._sources[info.file].read(info.offset, info.nbytes)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of tensor `name` in little-endian order, a megabyte at a time; raises as `read_bytes`."""
        info = self.info(name)
        if self.byte_order != "little":
            yield self._little(name)  # what repeats in it need not end at a megabyte
            return
        for start in range(0, info.nbytes, _HASH_CHUNK):
            yield self._sources[info.file].read(info.offset + start, min(_HASH_CHUNK, info.nbytes - start))

    def read_dense(self, name: str) -> np.ndarray:
        """Return tensor `name` as float32 of its logical shape; a ternary one as trits times scale.

        Raises:
            FormatError: there is no such tensor, or its trits are bad (`read_ternary`).
            UnsupportedError: its type is not decoded here.
            StorageError: as `read_bytes`.
        """
        if self.is_ternary(name):
            return self.read_ternary(name).dense()
        return dense.decode(self.info(name), self._little(name))

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of a tensor of floats or ggml blocks, float32; other rows stay on disk.

        A row is all that one index of the first axis holds.

        Raises:
            FormatError, UnsupportedError, StorageError: as `read_dense`.
        """
        part = replace(self.info(name), shape=(stop - start, *self.info(name).shape[1:]))
        return dense.decode(part, self.row_bytes(name, start, stop))

    def row_bytes(self, name: str, start: int, stop: int) -> bytes:
        """Return rows `start` to `stop` as they are stored, in little-endian order; raises as `read_rows`."""
        info = self.info(name)
        row = info.nbytes // info.shape[0]
        data = self._sources[info.file].read(info.offset + start * row, (stop - start) * row)
        part = replace(info, shape=(stop - start, *info.shape[1:]))
        return data if self.byte_order == "little" else to_little(part, data)

    def read_ternary(self, name: str) -> Trits:
        """Return tensor `name` as int8 `[out, in]` in {-1, 0, 1} and its scale.

        Raises:
            FormatError: there is no such tensor, it holds code 3, or its scale is missing or not finite.
            UnsupportedError: it is not stored as trits, or in a layout that its file does not describe.
            StorageError: as `read_bytes`.
        """
        info = self.info(name)
        trits = self.read_codes(name)
        wrong = trits.values == CODE_3
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise self._error(
                info,
                f"holds code 3, which is no trit, {int(wrong.sum())} times, first at row {row}, column "
                f"{column}; the file is corrupt or its layout another: fetch or convert it again",
            )
        if not np.isfinite(trits.scale).all():
            count = int((~np.isfinite(trits.scale)).sum())
            raise self._error(info, f"has {count} scales that are not finite; the file is corrupt: fetch it again")
        return trits

    def read_codes(self, name: str) -> Trits:
        """Return what `read_ternary` does, unchecked: code 3 comes out as the value 2, scales as they are.

        Raises:
            FormatError, UnsupportedError, StorageError: as `read_ternary`, but for what is not checked.
        """
        info = self.info(name)
        shape = self._matrix_shape(info)
        if info.type in LOOKUP_TYPES and self._kernels is not None:
            return self._kernels.unpack(info, self._little(name))
        if info.type is QuantType.HF_PACKED:
            return unpack_hf(self.read_bytes(name), shape, self._weight_scale(info))
        if info.type is QuantType.I2_S:
            return unpack_i2_s(self._little(name), shape, self.reading.i2s_layout or I2SLayout.A)
        return UNPACKERS[info.type](self._little(name), shape)

    def read_stored(self, name: str) -> StoredTrits | None:
        """Return tensor `name` still packed, or None where only `read_ternary` has the answer, or the error.

        That is where blocks differ in scale or one is not finite, and for packings that no kernel takes. Whoever packs
        the codes again looks for code 3.

        Raises:
            FormatError, UnsupportedError, StorageError: as `read_codes`.
        """
        info = self.info(name)
        shape = self._matrix_shape(info)
        packing = packing_of(info.type, self.reading.i2s_layout or I2SLayout.A)
        if packing is None:
            return None
        if packing == "HF_PACKED":
            data, scale = self.read_bytes(name), float(self._weight_scale(info))
        else:
            data = self._little(name)
            scale = one_scale(info.type, data, shape)
        return None if scale is None or not np.isfinite(scale) else StoredTrits(packing, data, shape, scale)

    def sha256(self) -> str:
        """Return the sha256 of the model's bytes: config.json where it has one, then its files in name order.

        For one GGUF file that is what `sha256sum` prints. Reads everything once, a megabyte at a time.

        Raises:
            StorageError: a file changed since it was opened, or cannot be read.
        """
        # As it was read: what config.json says of the scales is part of the weights.
        digest = hashlib.sha256(self._config)
        for source in self._sources.values():
            for start in range(0, source.size, _HASH_CHUNK):
                digest.update(source.read(start, min(_HASH_CHUNK, source.size - start)))
        return digest.hexdigest()

    def _little(self, name: str) -> bytes:
        """Return the bytes of tensor `name` with its numbers in little-endian order."""
        data = self.read_bytes(name)
        return data if self.byte_order == "little" else to_little(self.info(name), data)

    def _matrix_shape(self, info: TensorInfo) -> tuple[int, int]:
        if info.type in LOOKUP_TYPES and self._kernels is None:
            raise UnsupportedError(
                f"{info.file}: tensor {quoted(info.name)} is {info.type}, whose tile sizes are not stored in the file; "
                f"pass --kernel-config FILE, the kernel_config.ini of the build that wrote it, or convert to I2_S"
            )
        if hf.is_bare(info):
            raise self._error(
                info,
                f"is packed (U8) and {quoted(hf.scale_name(info.name))} is missing; convert the model again",
            )
        if info.type not in TERNARY_TYPES:
            raise UnsupportedError(
                f"{info.file}: tensor {quoted(info.name)} is {info.type}, which holds no trits; read it as floats"
            )
        if len(info.shape) != 2:
            raise self._error(info, f"is {info.type} of shape {info.shape}; a matrix was expected")
        shape = info.shape[0], info.shape[1]
        if info.type in UNPACKERS and (
            problem := shape_problem(info.type, shape, self.reading.i2s_layout or I2SLayout.A)
        ):
            raise self._error(info, problem)
        return shape

    def _weight_scale(self, info: TensorInfo) -> np.ndarray:
        """Return the number that multiplies the trits, float32 `()`, whichever way it is stored."""
        meaning = hf.scale_meaning(dict(self.metadata), self.path)
        stored = self.read_dense(hf.scale_name(info.name))
        if stored.size != 1:
            raise self._error(info, f"has a weight_scale of {stored.size} values; 1 was expected")
        scale = stored.reshape(())
        with np.errstate(divide="ignore"):
            return scale if meaning == "multiply" else np.asarray(np.float32(1) / scale)

    def _error(self, info: TensorInfo, what: str) -> FormatError:
        return FormatError(f"{info.file}: tensor {quoted(info.name)} {what}")
