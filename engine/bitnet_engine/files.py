"""One way to write a file: never partial under its final name, whatever happens; and one to read an artifact's JSON.

    with atomic_file(path) as stream:
        stream.write(b"...")
    read_json(path, "measure it again")
    sweep(folder)                               # what writers that were killed left there

Knows nothing of what is in them. A failure leaves the old file as it was and removes the temporary one. What is written
is `.NAME.*.part` until it is whole, locked by its writer: the kernel drops the lock of one that was killed, and what
nobody holds is swept.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bitnet_engine.errors import FormatError, StorageError

PART = ".part"
"""How the name ends of what is not finished."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream that becomes `path` on a clean exit and nothing at all otherwise.

    The bytes are on disk before the name is: write to a temporary name in the same folder, fsync,
    rename, fsync of the folder.

    Raises:
        StorageError: the folder is missing or read-only, or the disk is full.
    """
    try:
        descriptor, temporary = _begun(path)
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


@contextmanager
def unfinished_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, to be renamed or emptied; what is left of it at the end is removed.

    Raises:
        StorageError: another process is making the same target, or none can be made there.
    """
    try:
        if sweep(target.parent, target.name):
            raise StorageError(f"{target}: is being written by another process; wait for its end, or name another.")
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=PART, dir=target.parent))
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        _hold(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(folder: Path, name: str | None = None) -> int:
    """Remove what killed writers left in `folder`, of the target `name` or of any; return how many writers live."""
    # The part between the points is mkstemp's: without the check `model` would claim what `model.gguf` has begun.
    target = re.compile(r"\..*\.part" if name is None else rf"\.{re.escape(name)}\.[^.]+\.part")
    return sum(_lives(stray) for stray in folder.glob(f".*{PART}") if target.fullmatch(stray.name))


def _lives(stray: Path) -> bool:
    """Return whether somebody writes a stray; remove it where nobody does."""
    if stray.is_symlink() or not (stray.is_file() or stray.is_dir()):
        return False
    try:
        descriptor = os.open(stray, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False  # gone, or another user's
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(stray, ignore_errors=True) if stray.is_dir() else stray.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks on this file system: nobody can tell, and it stays
    else:
        return False
    finally:
        os.close(descriptor)


def _begun(path: Path) -> tuple[int, str]:
    """Return a new temporary file beside `path`, open and locked, and its name."""
    while True:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        _hold(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, temporary
        os.close(descriptor)  # swept before it was locked


def _hold(descriptor: int) -> None:
    # A file system without locks has no sweeping either.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` as the whole of `path`, or leave `path` untouched; remove what a killed writer of it left.

    Raises:
        StorageError: as `atomic_file`.
    """
    sweep(path.parent, path.name)
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
