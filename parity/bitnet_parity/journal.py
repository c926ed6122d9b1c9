"""What an interrupted comparison has measured, so that the next run need not: a line a window, on disk at once.

    with Journal.open(folder / "journal", identity, resume=True) as journal:
        parity.compare(..., journal=journal)

A line is a checksum and JSON with the window's measures, bit for bit: everything behind the measures is computed again
from them, so that a resumed run ends in the bytes of one that was never interrupted. The first line is who was
compared, how and on what; a journal of another identity is refused. A torn last line is dropped. Knows no gate.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import orjson

from bitnet_engine.errors import SettingError, StorageError
from bitnet_parity.metrics import WindowMetrics
from bitnet_parity.stamps import differences

SCHEMA = "bitnet-tui/parity-journal"
SCHEMA_VERSION = 1

_SYNC_EVERY = 8
_DIGEST = 16
_LINE_BYTES = 256 << 20


class Journal:
    """The windows of one comparison, in the order they are scored; `resumed` of them were there already.

    What is there is read a line at a time, when its window comes up: a journal can be larger than memory.
    """

    def __init__(self, path: Path, stream: BinaryIO, resumed: int) -> None:
        self._path, self._stream = path, stream
        self._kept = _windows(path, resumed)
        self._written = 0
        self.resumed = resumed

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, Any], *, resume: bool) -> "Journal":
        """Begin a journal, or go on with the one that is there.

        Raises:
            SettingError: the journal there is of another comparison, stamp or setting.
            StorageError: it cannot be read or written.
        """
        head = _line({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "identity": dict(identity)})
        try:
            found, lines, size = _sound(path) if resume and path.exists() else (b"", 0, 0)
            if lines:
                _check_identity(path, found, head)
            stream = path.open("r+b" if lines else "wb", buffering=0)
            stream.truncate(size)
            stream.seek(size)
            if not lines:
                stream.write(head)
        except OSError as error:
            raise StorageError(f"{path}: cannot be read or written: {error.strerror}") from error
        return cls(path, stream, max(0, lines - 1))

    def kept(self, path: Sequence[int], measure: Callable[[], WindowMetrics]) -> WindowMetrics:
        """Return what was kept of the window `path`, else what `measure` finds, and keep that.

        Raises:
            SettingError: the window kept at this place is another one.
            StorageError: the disk is full.
        """
        digest = hashlib.sha256(orjson.dumps(list(path))).hexdigest()
        if (line := next(self._kept, None)) is not None:
            value = orjson.loads(line[_DIGEST + 1 :])
            if value["path_sha256"] != digest:
                raise SettingError(f"{self._path}: was begun on other windows; run without --resume to begin again.")
            return _decoded(value["metrics"])
        metrics = measure()
        self._append(_line({"path_sha256": digest, "metrics": _encoded(metrics)}))
        return metrics

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kept.close()
        self._stream.close()

    def _append(self, line: bytes) -> None:
        try:
            self._stream.write(line)
            self._written += 1
            if self._written % _SYNC_EVERY == 0:
                os.fsync(self._stream.fileno())
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written: {error.strerror}") from error


def _line(value: Mapping[str, Any]) -> bytes:
    text = orjson.dumps(value)
    return _checksum(text) + b" " + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_DIGEST].encode()


def _sound(path: Path) -> tuple[bytes, int, int]:
    """Return the first line, how many there are up to the first that is torn, and where that begins."""
    first, lines, size = b"", 0, 0
    with path.open("rb") as stream:
        while line := stream.readline(_LINE_BYTES):
            if not line.endswith(b"\n") or _checksum(line[_DIGEST + 1 : -1]) != line[:_DIGEST]:
                break
            first = first or line
            lines, size = lines + 1, size + len(line)
    return first, lines, size


def _windows(path: Path, count: int) -> Generator[bytes, None, None]:
    """Yield the lines of the `count` windows that were found sound, which follow the first line."""
    if count:
        with path.open("rb") as stream:
            yield from islice(stream, 1, count + 1)


def _check_identity(path: Path, found: bytes, wanted: bytes) -> None:
    there, here = (orjson.loads(line[_DIGEST + 1 :]) for line in (found, wanted))
    if (difference := next(differences(there["identity"], here["identity"]), None)) is not None:
        raise SettingError(
            f"{path}: was begun by another run: {difference}. Go on as it was begun, or begin again without --resume."
        )


def _encoded(metrics: WindowMetrics) -> dict[str, Any]:
    """Return every field as its type, shape and bytes in hex: JSON's numbers have neither NaN nor -0.0."""
    found = {}
    for field in fields(metrics):
        value = getattr(metrics, field.name)
        # Tuples are rows of (id, value), and an id is exact in float64.
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float64)
        found[field.name] = [array.dtype.str, list(array.shape), array.tobytes().hex(), array is not value]
    return found


def _decoded(value: Mapping[str, Any]) -> WindowMetrics:
    return WindowMetrics(**{name: _array(*parts) for name, parts in value.items()})


def _array(dtype: str, shape: list[int], data: str, is_pairs: bool) -> Any:
    array = np.frombuffer(bytes.fromhex(data), dtype).reshape(shape)
    return tuple(tuple((int(id), value) for id, value in row) for row in array.tolist()) if is_pairs else array
