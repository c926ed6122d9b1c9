"""Captures as files: SafeTensors a part and an index, written by any engine and read a part at a time.

    write_capture(folder, tokens, capture(model, tokens), facts)
    source = Capture.open(folder)
    source.tokens, next(source.parts()).values

    folder/index.json            {"schema", "schema_version", "tokens", "parts": [{"layer", "file"}, …], …}
    folder/embedding.safetensors, layer-000.safetensors, …, head.safetensors

Values have the names of `bitnet_engine.capturing`, and a row a token. Knows no model.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bitnet_engine.capturing import Captured
from bitnet_engine.errors import FormatError, StorageError
from bitnet_engine.files import unfinished_folder, write_atomic
from bitnet_parity.diagnosis.replay import Case

INDEX, SCHEMA, SCHEMA_VERSION = "index.json", "bitnet-tui/capture", 1
MOST_BYTES = 1 << 32
"""Of one part: a layer's results on thousands of tokens stay below."""


def write_capture(folder: Path, tokens: Sequence[int], parts: Iterable[Captured], facts: Mapping[str, Any]) -> None:
    """Write a capture as `writing_capture` does."""
    for _ in writing_capture(folder, tokens, parts, facts):
        pass


def writing_capture(
    folder: Path, tokens: Sequence[int], parts: Iterable[Captured], facts: Mapping[str, Any]
) -> Iterator[str]:
    """Write a capture; yields the name of each part when it is written. The folder appears whole or not at all.

    Raises:
        StorageError: the folder is there and not empty, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StorageError(f"{folder}: is not an empty folder; name a new one.")
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot make this folder: {error.strerror}") from error
    listed: list[dict[str, Any]] = []
    with unfinished_folder(folder) as unfinished:
        for number, part in enumerate(parts):
            name = f"layer-{part.layer:03}" if part.layer is not None else "head" if number else "embedding"
            path = unfinished / f"{name}.safetensors"
            write_atomic(path, save({key: np.ascontiguousarray(value) for key, value in part.values.items()}))
            listed.append({"layer": part.layer, "file": path.name})
            yield name
        index = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "tokens": list(tokens), "parts": listed, **facts}
        write_atomic(unfinished / INDEX, orjson.dumps(index, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        try:
            os.chmod(unfinished, 0o755)  # mkdtemp makes folders private
            os.replace(unfinished, folder)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written: {error.strerror}") from error


def is_capture(path: Path) -> bool:
    """Return whether the folder at `path` says it is a capture."""
    try:
        return path.is_dir() and (path / INDEX).is_file() and f'"{SCHEMA}"'.encode() in (path / INDEX).read_bytes()
    except OSError:
        return False


@dataclass(frozen=True)
class Capture:
    """A capture in a folder: a source for `diagnose`."""

    folder: Path
    tokens: tuple[int, ...]
    files: tuple[tuple[int | None, str], ...]

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    @classmethod
    def open(cls, folder: Path) -> "Capture":
        """Read the index of a capture.

        Raises:
            FormatError: there is none, or it is none of this version.
            StorageError: it cannot be read.
        """
        where = folder / INDEX
        try:
            index = orjson.loads(where.read_bytes())
            if index["schema"] != SCHEMA or index["schema_version"] != SCHEMA_VERSION:
                raise FormatError(f"{where}: is {index['schema']} {index['schema_version']}; {SCHEMA} 1 is read here.")
            tokens = tuple(_number(token) for token in index["tokens"])
            files = tuple(
                (None if p["layer"] is None else _number(p["layer"]), _file(p["file"])) for p in index["parts"]
            )
        except OSError as error:
            raise StorageError(f"{where}: cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{where}: is no index of a capture ({error}); make it again with `capture`.") from error
        if not tokens or not files:
            raise FormatError(
                f"{where}: has {len(tokens)} tokens and {len(files)} parts; make it again with `capture`."
            )
        return cls(folder, tokens, files)

    def parts(self) -> Iterator[Captured]:
        """Yield the parts, one in memory at a time.

        Raises:
            FormatError: a file is damaged, or a value has not a row for each token.
            StorageError: a file cannot be read.
        """
        for layer, name in self.files:
            path = self.folder / name
            try:
                if path.stat().st_size > MOST_BYTES:
                    raise FormatError(f"{path}: is larger than {MOST_BYTES} bytes, the most that a part may be.")
                values = load(path.read_bytes())
            except OSError as error:
                raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
            except SafetensorError as error:
                raise FormatError(f"{path}: is no SafeTensors file ({error}); make the capture again.") from error
            for key, value in values.items():
                if value.ndim < 2 or len(value) != len(self.tokens):
                    raise FormatError(
                        f"{path}: '{key}' has shape {list(value.shape)}; {len(self.tokens)} rows are due, one a token."
                    )
            yield Captured(layer, values)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no number from 0")
    return value


def _file(value: Any) -> str:
    if not isinstance(value, str) or Path(value).name != value:
        raise ValueError(f"{value!r:.40} is no file of the folder")
    return value


def write_reproduction(folder: Path, case: Case) -> Path:
    """Write one operation's inputs, the candidate's result and the reference's as float32 SafeTensors.

    Raises:
        StorageError: it cannot be written.
    """
    layer = "" if case.layer is None else f"layer-{case.layer}-"
    path = folder / f"reproduction-{layer}{case.op.name}.safetensors"
    values = {f"input.{name}": value for name, value in zip(case.op.inputs, case.inputs, strict=True)}
    values |= {"found": case.found, "expected": case.expected}
    plain = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot make this folder: {error.strerror}") from error
    write_atomic(path, save(plain))
    return path
