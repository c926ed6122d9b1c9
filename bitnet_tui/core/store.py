"""The runs on disk: a folder each, holding the very event stream that the screens read.

    store = Store(default_root())
    with store.create(new_id()) as writer:
        writer.write([event])
    for run in store.list():
        print(run.id, run.verdict)
    events = store.open(run.id)          # or any path of an events.jsonl, or of a folder holding one

Nothing is indexed: a listing reads the head and the tail of each stream, so a run of 40 000 tokens costs
as much as one of forty. Knows nothing of what a verdict means, and never raises for a bad run: it marks it.
"""

import errno
import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs

from bitnet_tui.core.events import Event, decode_all, encode

STREAM = "events.jsonl"

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_ID_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_HEAD_BYTES = 64 << 10
_TAIL_BYTES = 256 << 10
# A hostile file may hold no newline at all; a report of thousands of documents stays far below this.
_LINE_BYTES = 16 << 20
_RECENT = 600.0
"""Seconds since its last event in which a run without an end may still be going on."""


@dataclass(frozen=True)
class RunInfo:
    """One line of the list of runs. A field the stream does not hold is None."""

    id: str
    path: Path
    when: float
    """Last written, seconds since the epoch."""
    kind: str | None = None
    reference: str | None = None
    candidate: str | None = None
    status: str = "interrupted"
    """done, failed or cancelled; interrupted when the stream has no end; unreadable with a `problem`."""
    verdict: str | None = None
    tokens: int = 0
    tau_median: float | None = None
    problem: str | None = None
    profile: str | None = None
    nbytes: int = 0
    """Size of the stream."""
    gates: tuple[tuple[str, str], ...] = ()
    """Each gate that was judged, with its status."""
    request: dict[str, Any] | None = None
    """What was asked for; a run is made again from it."""


class RunWriter:
    """Appends events to one run. Unbuffered: what was written survives a kill of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True)
        self._stream = path.open("ab", buffering=0)

    def write(self, events: Iterable[Event]) -> None:
        """Append `events` in one write.

        Raises:
            OSError: no space, or the folder went away.
        """
        self._stream.write(b"".join(map(encode, events)))

    def close(self) -> None:
        """Close the stream; the run stays as it is, ended or not."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Store:
    """The folder of runs at `root`, which need not exist before the first run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, id: str) -> RunWriter:
        """Make the folder of a new run.

        Raises:
            ValueError: `id` is no plain name.
            OSError: the folder exists, or cannot be made.
        """
        if not is_id(id):
            raise ValueError(f"{id!r} is no run id; letters, digits, - and _ are allowed")
        return RunWriter(self.root / id / STREAM)

    def list(self) -> "list[RunInfo]":
        """Return what is known of every run, newest first. A run that cannot be read says so."""
        try:
            streams = [folder / STREAM for folder in self.root.iterdir() if folder.is_dir()]
        except OSError:
            return []
        runs = [describe(stream) for stream in streams]
        return sorted(runs, key=lambda run: (run.when, run.id), reverse=True)

    def delete(self, run: RunInfo) -> None:
        """Delete what was recorded of a run: its stream, and its folder where nothing else lies in it.

        Raises:
            OSError: it may not be deleted.
        """
        # Never a whole tree: the folder of runs is the user's choice, and may hold more than runs.
        run.path.unlink(missing_ok=True)
        with suppress(OSError):
            run.path.parent.rmdir()

    def prune(self, limit: int, now: float, keep: Collection[str] = (), *, dry_run: bool = False) -> "list[RunInfo]":
        """Delete the oldest runs until all together take at most `limit` bytes; return them.

        The newest run stays whatever its size, those of `keep` too, and any that was written in the last minutes:
        another program may be at it. `now` is in seconds since the epoch.

        Raises:
            OSError: one may not be deleted.
        """
        runs = [run for run in self.list() if run.nbytes]
        excess = sum(run.nbytes for run in runs) - limit
        deleted: list[RunInfo] = []
        for run in reversed(runs[1:]):
            if excess <= 0:
                break
            if run.id in keep or now - run.when < _RECENT:
                continue
            if not dry_run:
                self.delete(run)
            excess -= run.nbytes
            deleted.append(run)
        return deleted

    def open(self, run: str | Path) -> Iterator[Event]:
        """Yield the events of a run, by its id or by a path.

        Raises:
            OSError: there is no such run, or it cannot be read.
        """
        known = self.root / str(run) / STREAM
        path = known if is_id(str(run)) and known.is_file() else stream_path(Path(run))
        _expect_file(path)
        with path.open("rb") as stream:
            yield from decode_all(iter(partial(stream.readline, _LINE_BYTES), b""))


def new_id() -> str:
    """Return a short id that sorts by time: seconds since the epoch in base 36, and two random digits."""
    seconds, digits = int(time.time()), ""
    while seconds:
        seconds, digit = divmod(seconds, 36)
        digits = _ID_DIGITS[digit] + digits
    return digits + secrets.choice(_ID_DIGITS) + secrets.choice(_ID_DIGITS)


def is_id(text: object) -> bool:
    """Return whether `text` may name a run: a plain name that cannot leave the folder of runs."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_run(path: Path) -> bool:
    """Return whether `path` is a recorded run: a `.jsonl` file, or a folder that holds `events.jsonl`."""
    return path.suffix == ".jsonl" or (path / STREAM).is_file()


def stream_path(path: Path) -> Path:
    """Return the event file of a run given as its folder or as the file itself."""
    return path / STREAM if path.is_dir() else path


def default_root() -> Path:
    """Return the folder of runs where no setting names one: `runs` in the user's state folder."""
    return platformdirs.user_state_path("bitnet-tui") / "runs"


def describe(stream: Path) -> RunInfo:
    """Return what is known of the run whose events are in the file `stream`; one that cannot be read says so."""
    id = stream.parent.name
    try:
        status = stream.stat()
        run = RunInfo(id, stream, status.st_mtime, nbytes=status.st_size)
        return _summarise(run, _edges(stream))
    except OSError as error:
        when = stream.parent.stat().st_mtime if stream.parent.exists() else 0.0
        return RunInfo(id, stream, when, status="unreadable", problem=error.strerror or str(error))


def _expect_file(stream: Path) -> None:
    if stream.exists() and not stream.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(stream))  # opening a pipe would never return


def _edges(stream: Path) -> list[Event]:
    """Return the events at both ends of a stream; what lies between is only more tokens."""
    _expect_file(stream)
    with stream.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size <= _HEAD_BYTES + _TAIL_BYTES:
            return list(decode_all(file.read().split(b"\n")))
        head = file.read(_HEAD_BYTES).split(b"\n")
        file.seek(size - _TAIL_BYTES)
        # The first line of the tail is cut, and decodes to nothing.
        return list(decode_all([*head, *file.read().split(b"\n")]))


def _summarise(run: RunInfo, events: list[Event]) -> RunInfo:
    fields: dict[str, Any] = {}
    gates: dict[str, str] = {}
    if not events:
        return replace(run, status="unreadable", problem="no event in it")
    for event in events:
        kind = event["event"]
        if kind == "run.start":
            fields |= {name: _text(event.get(name)) for name in ("kind", "reference", "candidate", "profile")}
            # A benchmark has one model: what it is compared with is what it was.
            fields["reference"] = fields["reference"] or _text(event.get("path"))
            request = event.get("request")
            fields["request"] = request if isinstance(request, dict) else None
        elif kind == "token" and isinstance(event.get("index"), int):
            fields["tokens"] = event["index"] + 1
        elif kind == "gate" and isinstance(event.get("gate"), str):
            gates[event["gate"]] = str(event.get("status"))
            if event["gate"] == "belief" and isinstance(event.get("value"), int | float):
                fields["tau_median"] = float(event["value"])
        elif kind == "run.end":
            fields["status"] = _text(event.get("status")) or "done"
            fields["verdict"] = _text(event.get("verdict"))
    return replace(run, gates=tuple(gates.items()), **fields)


def _text(value: object) -> str | None:
    """Return a field as text. A side may be described by an object; its path names it."""
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) else None
