"""Artifacts kept for later: one archive with a manifest of checksums, proved whole whenever it is asked.

    archive = preserve(Path("artifacts"), Path("kept"), stamp, keep=10)
    archive.path                                    # kept/preserved-20260301T120000Z-1f2e3d4c5b6a7988.tar.gz
    verify(archive.path).problems                   # ()

An archive is a tar any tool opens: `manifest.json` first, then the files, sorted by name. The same files at the same
time give the same bytes; their sha256 begins as the name ends, because gzip's own checksum does not cover every bit.
Links and whatever is no regular file are refused, not followed. Standard library only; knows
nothing of what the files mean.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from bitnet_tui.core.events import dumps
from bitnet_tui.core.session import FormatError, StorageError, atomic_file, locked_folder

SCHEMA, SCHEMA_VERSION = "bitnet-tui/manifest", 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
_NAME = re.compile(r"preserved-\d{8}T\d{6}Z-([0-9a-f]{16})\.tar\.gz")
_UNPROVED = ".preserving.tar.gz"
"""What an archive is called until it has been read back."""
_MANIFEST_LIMIT = 64 << 20
"""Bytes of a manifest that are read: of 300 000 files."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of an archive."""

    name: str
    """Its path in the folder, with `/` between the parts."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written."""

    path: str
    bytes: int
    sha256: str
    """Of the archive itself."""
    files: tuple[Kept, ...]
    deleted: tuple[str, ...] = ()
    """Older archives that retention took away."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"schema": "bitnet-tui/preserved", "schema_version": 1, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Verification:
    """What an archive was found to be."""

    path: str
    created: str
    files: int
    """That the manifest names."""
    problems: tuple[str, ...]
    """Empty where every file is there with the bytes it was kept with."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"schema": "bitnet-tui/preserve-verification", "schema_version": 1, **asdict(self)}


def verifications_json(proofs: Sequence[Verification]) -> dict[str, Any]:
    """Return what several archives were found to be, as one document."""
    archives = [proof.to_json() for proof in proofs]
    return {"schema": "bitnet-tui/preserve-verifications", "schema_version": 1, "archives": archives}


def preserve(
    folder: Path, into: Path, stamp: dict[str, Any], *, keep: int | None = None, now: datetime | None = None
) -> Archive:
    """Write all files of `folder` into a new archive in `into`, prove it, and keep the newest `keep` archives there.

    Nothing is deleted before the new archive has been read back and found whole.

    Raises:
        FormatError: `folder` is none, is empty, or holds a link or what is no regular file.
        StorageError: a file cannot be read or changed meanwhile, or the archive cannot be written.
    """
    created = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    files = [_measured(folder, path) for path in _files(folder)]
    manifest = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "created": created, "stamp": stamp}
    data = dumps({**manifest, "files": [asdict(file) for file in files]}, indent=True)
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{into}: cannot make this folder: {error.strerror}") from error
    if into.resolve().is_relative_to(folder.resolve()):
        raise StorageError(f"{into}: is inside {folder}, so the next archive would hold this one; name another.")
    with locked_folder(into):
        path, sha256 = _proved(into, folder, files, data, created)
        deleted = _retain(into, keep, newest=path.name) if keep is not None else []
    return Archive(str(path), path.stat().st_size, sha256, tuple(files), tuple(deleted))


def _proved(into: Path, folder: Path, files: Sequence[Kept], manifest: bytes, created: str) -> tuple[Path, str]:
    """Write the archive, read it back, and only then give it its name; return that and the archive's sha256."""
    unproved = into / _UNPROVED
    # No name and no time in the header of gzip, none of the machine's owners in tar's: same files, same bytes.
    with (
        atomic_file(unproved) as stream,
        gzip.GzipFile(fileobj=stream, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.addfile(_entry(MANIFEST, len(manifest)), io.BytesIO(manifest))
        for file in files:
            _add(tar, folder, file)
    if problems := verify(unproved).problems:
        unproved.unlink()
        raise StorageError(f"{folder}: a file changed while it was kept; nothing was kept: {problems[0]}")
    sha256 = _sha256(unproved)
    return unproved.rename(into / f"preserved-{created}-{sha256[:16]}.tar.gz"), sha256


def verify(archive: Path) -> Verification:
    """Read an archive to its end and hold every file against the manifest.

    Raises:
        FormatError: it is no archive of this program.
        StorageError: it cannot be read.
    """
    try:
        with archive.open("rb") as stream:
            found = _verified(archive, stream)
        if (named := _NAME.fullmatch(archive.name)) and named[1] != (digest := _sha256(archive)[:16]):
            found = replace(
                found, problems=(*found.problems, f"the archive: sha256 {digest}, and its name says {named[1]}")
            )
        return found
    except OSError as error:
        raise StorageError(f"{archive}: cannot be read: {error.strerror or error}") from error


def _verified(archive: Path, stream: BinaryIO) -> Verification:
    # Members come in order, so that where a damaged stream ends says which file is damaged.
    reader = _members(stream)
    try:
        name, member = next(reader)
        if name != MANIFEST:
            raise FormatError(f"{archive}: begins with {name!r} and not with {MANIFEST}: no archive of `preserve`.")
        manifest = json.loads(member(_MANIFEST_LIMIT))
        expected = [Kept(file["name"], file["bytes"], file["sha256"]) for file in manifest["files"]]
        created = str(manifest["created"])
    except StopIteration as error:
        raise FormatError(f"{archive}: is empty: no archive of `preserve`.") from error
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{archive}: no archive of `preserve`, or its manifest is damaged: {error}") from error
    return Verification(str(archive), created, len(expected), tuple(_problems(reader, expected)))


def _problems(reader: "Iterator[tuple[str, Callable[[int], bytes]]]", expected: Sequence[Kept]) -> Iterator[str]:
    at = "its end"
    try:
        for file in expected:
            at = file.name
            found = next(reader, None)
            if found is None:
                yield f"{file.name}: is missing, and all after it"
                return
            name, read = found
            if name != file.name:
                yield f"{file.name}: has {name!r} in its place"
                return
            digest, size = hashlib.sha256(), 0
            while chunk := read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
            if size != file.bytes or digest.hexdigest() != file.sha256:
                yield f"{file.name}: {size} bytes, sha256 {digest.hexdigest()[:16]}; kept were {file.bytes}, " + (
                    f"{file.sha256[:16]}"
                )
        at = "its end"
        for name, _ in reader:
            yield f"{name}: is not in the manifest"
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        yield f"{at}: damaged: {error}"


def _members(stream: BinaryIO) -> "Iterator[tuple[str, Callable[[int], bytes]]]":
    with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for member in tar:
                data = tar.extractfile(member)
                yield member.name, partial(_read, data)
        # Tar stops at its end mark; what checks the whole stream is at the end of gzip's.
        while unpacked.read(CHUNK):
            pass


def _read(data: IO[bytes] | None, size: int) -> bytes:
    return b"" if data is None else data.read(size)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder; name the one that --export wrote.")
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise FormatError(f"{path}: is no regular file, and links are not followed; remove it, or keep it apart.")
        if any(part.startswith(".") and part.endswith((".part", ".lock")) for part in path.parts):
            raise FormatError(f"{path}: is a file that somebody is writing; wait for them, or remove it.")
        if not _is_text(path.relative_to(folder).as_posix()):
            raise FormatError(f"{path}: has a name that other systems cannot write; rename it.")
    if not found:
        raise FormatError(f"{folder}: holds no file; there is nothing to keep.")
    if any(path == folder / MANIFEST for path in found):
        raise FormatError(f"{folder / MANIFEST}: is the name of the archive's own manifest; rename it.")
    return found


def _is_text(name: str) -> bool:
    # Control characters, and the surrogates that stand for bytes that are no UTF-8, are not printable.
    return name.isprintable()


def _measured(folder: Path, path: Path) -> Kept:
    try:
        with path.open("rb") as stream:
            digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    return Kept(path.relative_to(folder).as_posix(), size, digest)


def _add(tar: tarfile.TarFile, folder: Path, file: Kept) -> None:
    path = folder / PurePosixPath(file.name)
    try:
        with path.open("rb") as stream:
            tar.addfile(_entry(file.name, file.bytes), stream)
    except (OSError, tarfile.TarError) as error:
        raise StorageError(f"{path}: cannot be read, or changed while it was kept: {error}") from error


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def _retain(into: Path, keep: int, *, newest: str) -> list[str]:
    """Delete all archives but the newest `keep`; names begin with the time, so that they sort by age."""
    archives = sorted(path.name for path in into.iterdir() if _NAME.fullmatch(path.name) and path.name != newest)
    gone = archives[: max(0, len(archives) - keep + 1)]
    for name in gone:
        try:
            (into / name).unlink()
        except OSError as error:
            raise StorageError(f"{into / name}: cannot be deleted: {error.strerror}") from error
    return gone


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
