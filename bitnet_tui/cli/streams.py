"""Standard streams as they really are: closed, full, broken, or in an encoding that lacks half of our signs.

    prepare()                   # once, before anything is printed
    emit("text\\n")              # data to stdout; quiet when its reader has gone

A reader that goes (`| head`) is no error and changes no exit code; a disk that is full is one.
"""

import io
import os
import sys
from collections.abc import Callable

from bitnet_tui.core import session


def prepare() -> None:
    """Open what is closed and let no character stop a program after its work is done."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is the missing one: the next file opened must not become it.
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
            setattr(sys, name, open(descriptor, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def emit(text: str) -> None:
    """Write `text` to stdout at once.

    Raises:
        StorageError: it cannot be written, for another reason than a reader that has gone.
    """
    _write(lambda: sys.stdout.write(text))


def emit_json(data: bytes) -> None:
    """Write a JSON document to stdout as UTF-8, whatever the terminal's encoding; otherwise as `emit`."""
    _write(lambda: sys.stdout.buffer.write(data))


def _write(write: Callable[[], object]) -> None:
    try:
        sys.stdout.flush()
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        raise session.StorageError(f"standard output: cannot be written: {error.strerror}") from error


def mute() -> None:
    """Write nothing to stdout from here on: another process prints the result."""
    _forget_stdout()


def _forget_stdout() -> None:
    # What is still buffered would be tried again at exit, and reported.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
