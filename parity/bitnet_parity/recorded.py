"""Recorded logits: a model's answers on a text, to be compared without the model.

    with Recorder(folder, tokenizer, facts) as recorder:       # bitnet-tui record
        recorder.encoded(text, ids); recorder.add("a.txt", window, logits)
    recording = Recording.open(folder)
    recording.logits(window)                                   # float32 [seq, vocab], as they were

A folder of index.json and one SafeTensors file a window with the tensor `logits` [seq, vocab]. The index holds the
windows' ids and the files' hashes; the tokenizer's pieces, and the ids it gave the battery and each document, by
the text's sha256: enough to compare tokenizers, and to name ids, without it. The folder appears whole or not at all.
Knows no model.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import orjson

from bitnet_engine.errors import BitnetError, FormatError, StorageError
from bitnet_engine.files import unfinished_folder, write_atomic
from bitnet_engine.formats import OutTensor, QuantType
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.safetensors import read_header
from bitnet_engine.formats.safetensors_writer import writing_safetensors
from bitnet_engine.formats.strict_json import parse_object
from bitnet_engine.formats.types import raised_by
from bitnet_parity.sources import TokenizerSource
from bitnet_parity.tokenization import BATTERY

SCHEMA = "bitnet-tui/recorded-logits"
SCHEMA_VERSION = 1
INDEX = "index.json"


class Recorder:
    """Writes a recording. `facts` are the caller's words about model, stamp and settings, JSON-ready.

    Raises:
        StorageError: the folder is there already and not empty, is being written by another, or cannot be written.
    """

    def __init__(self, folder: Path, tokenizer: TokenizerSource, facts: Mapping[str, Any]) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StorageError(f"{folder}: is there already and not an empty folder; name a new one.")
        self._folder, self._tokenizer, self._facts = folder, tokenizer, dict(facts)
        self._windows: list[dict[str, Any]] = []
        self._encodings: dict[str, list[int]] = {}
        self._vocab = 0
        for text in BATTERY:
            self.encoded(text, tokenizer.encode(text, bos=False))
        self._open = ExitStack()
        self._unfinished = self._open.enter_context(unfinished_folder(folder))

    def __enter__(self) -> "Recorder":
        return self

    def encoded(self, text: str, ids: list[int]) -> None:
        """Note the ids of a text, without BOS."""
        self._encodings[_key(text)] = ids

    def add(self, document: str, tokens: Sequence[int], logits: np.ndarray) -> None:
        """Write the logits [seq, vocab] of one window.

        Raises:
            StorageError: the disk is full.
        """
        file, data = f"{len(self._windows):06}.safetensors", np.ascontiguousarray(logits, "<f4")
        tensor = OutTensor("logits", QuantType.F32, data.shape, lambda: data.tobytes())
        for _ in writing_safetensors(self._unfinished / file, [tensor]):
            self._vocab = data.shape[1]
        digest = hashlib.sha256(data.data).hexdigest()
        self._windows.append({"document": document, "file": file, "sha256": digest, "tokens": list(tokens)})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._open:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        index = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            **self._facts,
            "vocab": self._vocab,
            "tokenizer": {
                "bos": self._tokenizer.bos,
                "pieces": [self._tokenizer.piece(token) for token in range(self._tokenizer.vocab_size)],
                "encodings": self._encodings,
            },
            "windows": self._windows,
        }
        write_atomic(self._unfinished / INDEX, orjson.dumps(index, option=orjson.OPT_APPEND_NEWLINE))
        try:
            os.chmod(self._unfinished, 0o755)  # mkdtemp makes folders private
            os.replace(self._unfinished, self._folder)
        except OSError as error:
            raise StorageError(f"{self._folder}: cannot be written: {error.strerror}") from error


class Recording:
    """A recording as a source of logits; `index` is its JSON without the windows and the tokenizer."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self._folder = folder
        self._windows: list[dict[str, Any]] = index.pop("windows")
        self.tokenizer = RecordedTokenizer(folder, index.pop("tokenizer"))
        self.vocab: int = index["vocab"]
        self.index = index

    @classmethod
    def open(cls, folder: Path) -> "Recording":
        """Read the index.

        Raises:
            FormatError: no recording, or a damaged one.
            StorageError: it cannot be read.
        """
        path = folder / INDEX
        source = SourceFile.open(path)
        try:
            if source.size > (most := in_force().header_bytes):
                raise FormatError(f"{path}: has {source.size} bytes, the limit is {most}; {raised_by('header_bytes')}")
            index, _ = parse_object(source.read(0, source.size), path, where="the index")
        finally:
            source.close()
        found = index.get("schema"), index.get("schema_version")
        if found != (SCHEMA, SCHEMA_VERSION):
            raise FormatError(
                f"{path}: schema is {found[0]!r}, version {found[1]!r}; '{SCHEMA}', version {SCHEMA_VERSION} is read "
                f"here; pass a folder that `bitnet-tui record` wrote"
            )
        _check(path, index)
        return cls(folder, index)

    def sha256(self) -> str:
        """Return the hash of all windows' hashes: equal means equal logits on equal ids."""
        listing = [[window["sha256"], window["tokens"]] for window in self._windows]
        return hashlib.sha256(orjson.dumps(listing)).hexdigest()

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits, float32 [seq, vocab], that were recorded for a window beginning with `tokens`.

        Raises:
            BitnetError: no such window was recorded.
            FormatError: its file is not what was written.
        """
        wanted = list(tokens)
        for window in self._windows:
            if window["tokens"][: len(wanted)] == wanted:
                return self._read(window)[: len(wanted)]
        raise BitnetError(
            f"{self._folder}: holds no logits for these {len(wanted)} tokens; record again with the --corpus, "
            f"--context and --max-tokens of this run"
        )

    def _read(self, window: Mapping[str, Any]) -> np.ndarray:
        path = self._folder / window["file"]
        source = SourceFile.open(path)
        try:
            tensors = {tensor.name: tensor for tensor in read_header(source, in_force()).tensors}
            tensor, shape = tensors.get("logits"), (len(window["tokens"]), self.vocab)
            if tensor is None or tensor.type is not QuantType.F32 or tensor.shape != shape:
                raise FormatError(f"{path}: holds no tensor 'logits' of F32 {list(shape)}; record again")
            data = source.read(tensor.offset, tensor.nbytes)
        finally:
            source.close()
        if hashlib.sha256(data).hexdigest() != window["sha256"]:
            raise FormatError(f"{path}: its logits are not those that the index names by sha256; record again")
        return np.frombuffer(data, "<f4").reshape(shape)


class RecordedTokenizer:
    """What a recording knows of its tokenizer: pieces, BOS, and the ids of the texts it was asked for."""

    def __init__(self, folder: Path, fields: Mapping[str, Any]) -> None:
        self._folder, self._pieces, self._encodings = folder, fields["pieces"], fields["encodings"]
        self.bos: int | None = fields["bos"]

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self._pieces)

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids that `text` had. Raises BitnetError for a text that was not recorded."""
        ids = self._encodings.get(_key(text))
        if ids is None:
            raise BitnetError(
                f"{self._folder}: holds no ids of the text beginning {text[:40]!r}; record again with this --corpus"
            )
        return [self.bos, *ids] if bos and self.bos is not None else list(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the pieces of `ids`, joined."""
        return "".join(map(self.piece, ids))

    def piece(self, token: int) -> str:
        """Return the text of one id."""
        return self._pieces[token]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check(path: Path, index: Mapping[str, Any]) -> None:
    """Check what is used of the index, so that a damaged one is one line and not a traceback later."""
    tokenizer, windows = index.get("tokenizer"), index.get("windows")
    good = (
        type(index.get("vocab")) is int
        and isinstance(tokenizer, dict)
        and isinstance(windows, list)
        and (tokenizer.get("bos") is None or type(tokenizer["bos"]) is int)
        and _all(tokenizer.get("pieces"), str)
        and isinstance(tokenizer.get("encodings"), dict)
        and all(_all(ids, int) for ids in tokenizer["encodings"].values())
        and all(isinstance(window, dict) and _is_window(window) for window in windows)
    )
    if not good:
        raise FormatError(f"{path}: a damaged recording: a field is missing or of another kind; record again")


def _is_window(window: Mapping[str, Any]) -> bool:
    file = window.get("file")
    # A plain name: an index from a stranger must not lead out of its folder.
    plain = isinstance(file, str) and file not in ("", ".", "..") and Path(file).name == file and "\0" not in file
    return plain and isinstance(window.get("sha256"), str) and _all(window.get("tokens"), int)


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
