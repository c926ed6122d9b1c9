"""Looks for model files: GGUF files, and folders with a config.json beside SafeTensors.

    for found in find_models([Path.cwd()]):
        print(found.path, found.nbytes)

Reads names and sizes only. Bounded in depth and in folders, because the folder it is started in may be a
whole home directory; says when it stopped early.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitnet_engine.formats import part_names
from bitnet_tui.core.resources import resource_dir

MAX_DEPTH = 4
MAX_FOLDERS = 4000

_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist"})


@dataclass(frozen=True)
class FoundModel:
    """A model file, or a folder that is one model."""

    path: Path
    kind: str
    """gguf or safetensors"""
    nbytes: int


@dataclass(frozen=True)
class Scanned:
    """How far a scan has come; said after every folder, so that whoever listens can stop it."""

    folders: int
    done: bool = False
    complete: bool = True
    """False when a limit stopped the scan."""


def search_folders(named: Sequence[Path]) -> list[Path]:
    """Return where models are looked for: here, the samples, and each folder of `named` (the setting models_dirs)."""
    folders: list[Path] = []
    for folder in [Path.cwd(), resource_dir("samples"), *named]:
        inside = any(folder.is_relative_to(other) for other in folders)
        if not inside and (folder.is_dir() or folder in named):
            folders.append(folder)
    return folders


def find_models(folders: Iterable[Path]) -> Iterator[FoundModel | Scanned]:
    """Yield models below `folders` as they are found, and a `Scanned` after each folder; the last is done."""
    read, seen = 0, set[Path]()
    for top in folders:
        for folder, names, files in os.walk(top):
            if Path(folder) in seen:  # the current folder may lie in another that is searched
                names.clear()
                continue
            if read == MAX_FOLDERS:
                yield Scanned(read, done=True, complete=False)
                return
            read += 1
            here = Path(folder)
            seen.add(here)
            deep = len(here.relative_to(top).parts) >= MAX_DEPTH
            names[:] = [] if deep else sorted(n for n in names if n[0] != "." and n not in _SKIPPED)
            yield from _models_of(here, sorted(files))
            yield Scanned(read)
    yield Scanned(read, done=True)


def _models_of(folder: Path, files: list[str]) -> Iterator[FoundModel]:
    for name in (name for name in files if name.endswith(".gguf")):
        parts = [part for part in part_names(name) if part in files]
        if name == parts[0]:
            yield FoundModel(folder / name, "gguf", sum(_size(folder / part) for part in parts))
    shards = [name for name in files if name.endswith(".safetensors")]
    if shards and "config.json" in files:
        yield FoundModel(folder, "safetensors", sum(_size(folder / name) for name in shards))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # A dangling link or a file that has just gone: it is listed, and opening it says what is wrong.
        return 0
