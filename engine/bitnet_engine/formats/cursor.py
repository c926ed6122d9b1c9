"""Reading a file by position, and walking its header without believing it.

    source = SourceFile.open(path)
    cursor = HeaderCursor(source, limit=2**28)
    version = cursor.u32("version")

A declared length is compared with what is left of the file before anything is allocated or looped over.
A file that changes while it is open is an error and never a crash: no maps, and a look at the file's
identity after each read. Knows nothing of any format.
"""

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bitnet_engine.errors import FormatError, StorageError
from bitnet_engine.formats.types import ByteOrder, raised_by

WINDOW = 1 << 18
"""Bytes of header read at a time."""

_U32 = {"little": struct.Struct("<I"), "big": struct.Struct(">I")}
_U64 = {"little": struct.Struct("<Q"), "big": struct.Struct(">Q")}

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

Identity = tuple[int, int, int, int]
"""Device, inode, size and modification time in ns: what must not change while a file is read."""


def stat_path(path: Path) -> os.stat_result:
    """Return what the file system says of `path`, links followed.

    Raises:
        FormatError: nothing is there.
        StorageError: the file system does not let us look.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FormatError(f"{path}: no such file or folder; check the path") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be opened: {error.strerror}; check the path and its rights") from error


class SourceFile:
    """One open file, read by position. Safe to read from several threads."""

    def __init__(self, path: Path, descriptor: int, identity: Identity) -> None:
        self.path = path
        self.size = identity[2]
        self._descriptor = descriptor
        self._identity = identity

    @classmethod
    def open(cls, path: Path) -> "SourceFile":
        """Open a regular file.

        Raises:
            FormatError: nothing is there, or it is a folder, a FIFO or a device.
            StorageError: it is there and cannot be opened.
        """
        _expect_regular(path, stat_path(path).st_mode)
        try:
            # O_NONBLOCK: should a FIFO take the file's place by now, opening it must not wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"{path}: cannot be opened: {error.strerror}; check its rights") from error
        status = os.fstat(descriptor)
        try:
            _expect_regular(path, status.st_mode)
        except FormatError:
            os.close(descriptor)
            raise
        return cls(path, descriptor, _identity(status))

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from byte `offset`; the caller has checked that the file has them.

        Raises:
            StorageError: the file was changed, cut, replaced or closed since it was opened, or the
                system cannot read it.
        """
        try:
            data = self._read_all(offset, count)
            same = _identity(self.path.stat()) == self._identity
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read at byte {offset}: {error.strerror}") from error
        except MemoryError as error:
            raise StorageError(f"{self.path}: no memory for {count} bytes at byte {offset}") from error
        if not same or len(data) != count:
            raise StorageError(
                f"{self.path}: changed while it was read (byte {offset}); run again once nothing writes to it"
            )
        return data

    def close(self) -> None:
        """Close the file; reading it afterwards is a StorageError."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _read_all(self, offset: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count, offset)
        if len(data) == count:
            return data
        # Linux returns at most 2 GiB - 4 KiB a call.
        pieces = [data]
        missing = count - len(data)
        while missing and pieces[-1]:
            pieces.append(os.pread(self._descriptor, missing, offset + count - missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)


class HeaderCursor:
    """Walks a header front to back through a small window, so that opening costs no more than its header."""

    def __init__(self, source: SourceFile, *, start: int = 0, limit: int, byte_order: ByteOrder = "little") -> None:
        """Walk from byte `start`; refuse to go beyond byte `limit` or the end of the file."""
        self.byte_order: ByteOrder = byte_order
        """The order of the bytes in every number of the header."""
        self._source = source
        self._u32, self._u64 = _U32[byte_order], _U64[byte_order]
        self._limit = limit
        self._end = min(source.size, limit)
        self._window = b""
        self._origin = start
        self._at = 0

    @property
    def position(self) -> int:
        """The next byte to be read, counted from the start of the file."""
        return self._origin + self._at

    @property
    def remaining(self) -> int:
        """How many bytes may still be read."""
        return self._end - self.position

    def error(self, message: str) -> FormatError:
        """Return the error that names this file."""
        return FormatError(f"{self._source.path}: {message}")

    def need(self, count: int, what: str) -> None:
        """Check that `count` more bytes exist.

        Raises:
            FormatError: they do not, or they lie past the limit of a header.
        """
        if count <= self.remaining:
            return
        if self.position + count <= self._source.size:
            raise self.error(
                f"{what} at byte {self.position} needs {count} bytes, past the header limit of {self._limit} "
                f"bytes; {raised_by('header_bytes')}"
            )
        raise self.error(
            f"{what} at byte {self.position} needs {count} bytes, {max(self.remaining, 0)} are left; "
            f"the file is cut or corrupt: fetch it again"
        )

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes."""
        self.need(count, what)
        self._fill(count)
        data = self._window[self._at : self._at + count]
        self._at += count
        return data

    def skip(self, count: int, what: str) -> None:
        """Step over `count` bytes without reading them."""
        self.need(count, what)
        self._at += count

    def u32(self, what: str) -> int:
        """Return an unsigned 32-bit number."""
        return self._u32.unpack(self.take(4, what))[0]

    def u64(self, what: str) -> int:
        """Return an unsigned 64-bit number."""
        return self._u64.unpack(self.take(8, what))[0]

    def string(self, what: str) -> str:
        """Return a string: its length as u64, then UTF-8.

        Raises:
            FormatError: it runs past the end, or is not UTF-8.
        """
        start = self.position
        data = self.take(self.u64(what), what)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"{what} at byte {start} is not UTF-8: {data[:16].hex(' ')}") from error

    def skip_strings(self, count: int, what: str) -> None:
        """Step over `count` strings, checking each length: the hot loop of opening a vocabulary."""
        self.need(8 * count, what)
        unpack = self._u64.unpack_from
        while count:
            window, at, size = self._window, self._at, len(self._window)
            while count and at + 8 <= size:
                after = at + 8 + unpack(window, at)[0]
                if after > size:
                    break
                at = after
                count -= 1
            self._at = at
            if count:
                # The next string crosses the window: the slow way checks it and moves the window.
                self.skip(self.u64(what), what)
                count -= 1

    def strings(self, count: int, what: str) -> Iterator[bytes]:
        """Yield the next `count` strings as they are stored."""
        unpack = self._u64.unpack_from
        for _ in range(count):
            window, at = self._window, self._at + 8
            end = at + unpack(window, at - 8)[0] if at <= len(window) else len(window) + 1
            if end <= len(window):
                self._at = end
                yield window[at:end]
            else:
                yield self.take(self.u64(what), what)

    def _fill(self, count: int) -> None:
        """Bring the next `count` bytes into the window."""
        if self._at + count > len(self._window):
            start = self.position
            size = min(max(count, WINDOW), self._end - start)
            self._window = self._source.read(start, size)
            self._origin, self._at = start, 0


def _expect_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise FormatError(f"{path}: is {kind}; a model is a regular file or a folder of them")


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
