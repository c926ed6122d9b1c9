"""The parent's side of a worker: start it, read its events, stop it.

    job = Job.start({"kind": "stats", "path": "model.gguf"})
    for event in job.events():
        ...

A process and not a thread, because a thread in the middle of a compilation cannot be stopped. Standard library
only; what a request means is `session`'s business.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Self

from bitnet_tui.core.events import Event, decode_all

GRACE = 3.0
"""Seconds between asking a worker to stop and killing it; a little over what it allows itself."""

LAST_LINES = 20


class Job:
    """A running worker. `events()` always ends with `run.end`, whatever became of the process."""

    def __init__(self, process: subprocess.Popen[bytes], narration: IO[bytes]) -> None:
        self._process, self._narration = process, narration
        self._cancelled = False

    @classmethod
    def start(cls, request: dict[str, Any], hold: tuple[int, ...] = ()) -> Self:
        """Start a worker on `request` (its fields are listed at `session.run`).

        `hold` are file descriptors that it keeps open while it lives: the lock of a folder it writes into.
        """
        # A file and not a pipe: nobody has to empty it, and its end is what an error report needs.
        narration = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the job
        process = subprocess.Popen(
            # -P: a folder that a user works in may hold a jax.py, and is no place to import from.
            [sys.executable, "-P", "-m", "bitnet_tui.core.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=narration,
            # Ctrl-C reaches a terminal's whole process group; only the parent should answer it.
            start_new_session=True,
            pass_fds=hold,
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # a worker that cannot start is told of by `events`
            # json, not orjson: it keeps the bytes of a path that are no UTF-8.
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        return cls(process, narration)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the worker is still alive."""
        return self._process.poll() is None

    def events(self) -> Iterator[Event]:
        """Yield events as they come; blocks between them."""
        try:
            yield from self._events()
        finally:
            self._release()

    def _events(self) -> Iterator[Event]:
        assert self._process.stdout is not None
        ended = False
        with self._process.stdout as stream:
            for event in decode_all(stream):
                ended = ended or event["event"] == "run.end"
                yield event
        code = self._process.wait()
        if self._cancelled and not ended:
            yield {"event": "run.end", "status": "cancelled", "verdict": None}
        elif not ended:
            yield {"event": "error", "exit_code": 6, "message": self._death(code)}
            yield {"event": "run.end", "status": "failed", "verdict": None}

    def cancel(self) -> None:
        """Stop the worker: ask, then kill. Returns when it is gone; safe to call twice."""
        self._cancelled = True
        self._process.terminate()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _release(self) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._narration.close()

    def _death(self, code: int) -> str:
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._narration.seek(0)
        lines = self._narration.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        said = " | ".join(line.strip() for line in lines if line.strip()) or "it said nothing"
        return f"the engine's process ended by {cause} before it finished; its last lines: {said}"
