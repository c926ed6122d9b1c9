"""A bad file as a row of a table: how to make it, which commands meet it, and what they must say.

    Case("empty", file("x.gguf", b""), BAD, "is empty (0 bytes)")

A builder writes below a folder and returns the path to open. Nothing here uses the code under test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

OPENS, USAGE, BAD, IO, UNSUPPORTED = 0, 2, 3, 4, 6
"""Exit codes: an odd file that is read, a setting, a bad file, a file system that refuses, a graph that is not run."""

EVERY = ("info", "tokenize", "eval", "parity", "convert")
RUNNING = ("eval", "parity", "convert")
"""Commands that need more than a header: `info` explains such a file all the same."""

Build = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """A bad file, and what is said of it."""

    name: str
    build: Build
    exit_code: int
    says: str
    """Words of the one line; the whole line is in the table of docs/reliability.md."""
    commands: tuple[str, ...] = EVERY
    """The commands that must all give this one answer."""
    then: str = ""
    """Words after which a library speaks, whose text changes with its version; the table leaves it out."""


def file(name: str, data: bytes) -> Build:
    """Return the builder of one file."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return build


def files(contents: Mapping[str, bytes]) -> Build:
    """Return the builder of a folder of files."""

    def build(folder: Path) -> Path:
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        return folder

    return build
