"""One way to write a file: never partial under its final name, whatever happens; and one to read an artifact's JSON.

    with atomic_file(path) as stream:
        stream.write(b"...")
    read_json(path, "measure it again")

Knows nothing of what is in them. A failure leaves the old file as it was and removes the temporary one.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bitnet_engine.errors import FormatError, StorageError


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream that becomes `path` on a clean exit and nothing at all otherwise.

    The bytes are on disk before the name is: write to a temporary name in the same folder, fsync,
    rename, fsync of the folder.

    Raises:
        StorageError: the folder is missing or read-only, or the disk is full.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot write here: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; an artifact gets the permissions any new file would get.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        raise StorageError(f"{path}: not written: {error.strerror}; an older file is unchanged") from error
    except BaseException:
        _discard(temporary)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` as the whole of `path`, or leave `path` untouched.

    Raises:
        StorageError: as `atomic_file`.
    """
    with atomic_file(path) as stream:
        stream.write(data)


def read_json(path: Path, advice: str) -> Any:
    """Return the JSON value in the file at `path`; `advice` says what to do where it holds none.

    Raises:
        StorageError: it cannot be read.
        FormatError: it is no JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise FormatError(f"{path}: is no JSON ({error}); {advice}.") from error


def _discard(temporary: str) -> None:
    with suppress(OSError):
        os.unlink(temporary)


def _sync_folder(folder: Path) -> None:
    # Not every file system can sync a folder; the rename itself has already happened.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
