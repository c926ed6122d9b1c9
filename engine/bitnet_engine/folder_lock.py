"""One writer a folder, and nothing left of one that was killed.

    with locked_folder(folder) as lock:                 # a file descriptor
        subprocess.Popen(..., pass_fds=(lock,))         # holds the folder for as long as it lives

The lock is the kernel's, on the folder itself: it ends with the last process that holds it, however that ends, and
leaves no file behind. Knows nothing of what is written.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitnet_engine.errors import StorageError
from bitnet_engine.files import sweep

PATIENCE = 10.0
"""Seconds to wait for the folder: a worker whose parent was killed ends in two, on a busy machine in several."""

_PAUSE = 0.05


@contextmanager
def locked_folder(folder: Path) -> Iterator[int]:
    """Hold `folder` against every other writer, and remove what a killed one left of files begun by `atomic_file`.

    Raises:
        StorageError: another process is writing into it, or the file system cannot lock.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be opened: {error.strerror}") from error
    try:
        _take(folder, descriptor)
        sweep(folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(folder: Path, descriptor: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise StorageError(
                    f"{folder}: another run is writing into this folder; wait for its end, or export to another one."
                ) from error
            time.sleep(_PAUSE)
        except OSError as error:
            raise StorageError(
                f"{folder}: this file system cannot lock a folder ({error.strerror}); export to a local one."
            ) from error
