"""The text that both sides are scored on: documents of UTF-8, and the windows they are cut into.

    corpus = load_corpus(Path("samples/eval"))          # a folder's *.txt in name order, or one text file
    for document in corpus.documents():
        for window in windows(tokenizer.encode(document.text, bos=False), bos=tokenizer.bos, context=512): ...

A document is the unit of the statistics: tokens of one document are not independent. Knows no tokenizer.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitnet_engine.errors import BitnetError, CorpusError, StorageError

DOCUMENT_BYTES = 64 << 20
"""The largest document that is read: all its tokens are in memory at a time."""


@dataclass(frozen=True)
class Document:
    """One file of the corpus; `name` is its file name, `text` all of it."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Checked text files, read again one at a time by `documents`.

    `sha256` of one file is that of its bytes (what sha256sum prints); of a folder, that of the lines
    `HEX  NAME\\n` that sha256sum prints for its documents in order.
    """

    path: Path
    names: tuple[str, ...]
    sha256: str
    _files: tuple[tuple[Path, str], ...]

    @property
    def name(self) -> str:
        """The last part of the path, for reports."""
        return _printable(self.path.resolve().name)

    def documents(self) -> Iterator[Document]:
        """Yield the documents in order, holding one at a time.

        Raises:
            StorageError: a file is not what it was when the corpus was loaded.
        """
        for name, (file, sha256) in zip(self.names, self._files, strict=True):
            data = _read(file)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise StorageError(f"{file}: changed while it was being scored; run again on a file that rests")
            yield Document(name, data.decode())


def load_corpus(path: Path) -> Corpus:
    """Read and check the corpus at `path`: one text file of any name, or the *.txt files of a folder.

    A folder is taken in name order, not recursively, and without hidden files, as a shell's `*.txt` is.

    Raises:
        CorpusError: missing, not a regular file or folder, no .txt in it, an empty file, not UTF-8.
        StorageError: the file system refused to read it.
    """
    is_folder = os.path.isdir(path)  # False, and no error, for a name too long to exist
    files = _text_files(path) if is_folder else [path]
    hashes = [_checked_sha256(file) for file in files]
    names = tuple(_printable(file.name) for file in files)
    listing = "".join(f"{digest}  {name}\n" for digest, name in zip(hashes, names, strict=True))
    sha256 = hashlib.sha256(listing.encode()).hexdigest() if is_folder else hashes[0]
    return Corpus(path, names, sha256, tuple(zip(files, hashes, strict=True)))


def windows(ids: Sequence[int], *, bos: int | None, context: int) -> Iterator[list[int]]:
    """Cut a document into sequences of at most `context` ids, each to be scored on its own.

    Row i of a window's logits scores its id i + 1. With `bos` a window is `bos` and the next
    context − 1 ids, so that every id of the document is scored exactly once. Without one a window
    begins with the last id of the window before, which is context only there: every id but the
    document's first is scored exactly once, and a document of one id has no window.

    Raises:
        BitnetError: `context` has no room for a token to score.
    """
    if context < 2:
        raise BitnetError(f"context {context} leaves no token to score; pass 2 or more")
    step = context - 1
    for start in range(0, len(ids) - (bos is None), step):
        if bos is None:
            yield list(ids[start : start + context])
        else:
            yield [bos, *ids[start : start + step]]


def _text_files(folder: Path) -> list[Path]:
    try:
        found = [file for file in folder.iterdir() if file.suffix == ".txt" and not file.name.startswith(".")]
    except OSError as error:
        raise StorageError(f"{folder}: cannot list the folder: {error.strerror}") from error
    if not found:
        raise CorpusError(f"{folder}: no .txt file in it; pass a text file, or a folder of .txt files")
    return sorted(found, key=lambda file: file.name)


def _checked_sha256(file: Path) -> str:
    data = _read(file)
    if not data:
        raise CorpusError(f"{file}: is empty (0 bytes); a document needs text, remove the file or fill it")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        found = data[error.start]
        raise CorpusError(
            f"{file}: not UTF-8 at byte {error.start} (0x{found:02x}: {error.reason}); convert it to UTF-8 first"
        ) from error
    return hashlib.sha256(data).hexdigest()


def _read(file: Path) -> bytes:
    try:
        # Asked before opening: opening a pipe that nobody writes to never returns.
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CorpusError(f"{file}: not a regular file; pass a text file, or a folder of .txt files")
        if status.st_size > DOCUMENT_BYTES:
            raise CorpusError(
                f"{file}: has {status.st_size} bytes, the limit of a document is {DOCUMENT_BYTES}; "
                f"split it into the .txt files of a folder"
            )
        return file.read_bytes()
    except FileNotFoundError as error:
        raise CorpusError(f"{file}: no such file; pass a text file, or a folder of .txt files") from error
    except OSError as error:
        raise StorageError(f"{file}: cannot read: {error.strerror}") from error


def _printable(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are not UTF-8 become \\udcXX escapes."""
    return os.fspath(name).encode("utf-8", "backslashreplace").decode()
