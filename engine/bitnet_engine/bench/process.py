"""The parent's side of a measuring process: start it, ask it for samples, end it.

    with Measurer.start({"engine": "bitnet-tui", "path": path, "threads": 2, …}) as measurer:
        measurer.ready["facts"]
        measurer.sample(Case("decode", position=64), round=0)

Knows no engine: what a request means is `child`'s business.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from typing import IO, Any

from bitnet_engine.bench.cases import Case
from bitnet_engine.errors import BY_EXIT_CODE, BitnetError
from bitnet_engine.visible import safe

_LAST_LINES = 3


class Measurer:
    """A process that measures; `ready` is what it said when its model was loaded."""

    def __init__(self, process: subprocess.Popen[bytes], narration: IO[bytes], request: dict[str, Any]) -> None:
        self._process, self._narration, self._path = process, narration, request["path"]
        try:
            self.ready = self._ask(request)
        except BaseException:
            self.close()
            raise

    @classmethod
    def start(cls, request: dict[str, Any]) -> "Measurer":
        """Start a process on `request["threads"]` processors and wait until it is ready.

        Raises:
            BitnetError: it cannot load the model, or it died.
        """
        narration = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bitnet_engine.bench.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=narration,
            env={**os.environ, "BITNET_THREADS": str(request["threads"])},
        )
        return cls(process, narration, request)

    def __enter__(self) -> "Measurer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sample(self, case: Case, round: int) -> dict[str, Any]:
        """Return a sample of `case`. Raises BitnetError where the process failed."""
        return self._ask({"case": asdict(case), "round": round})

    def close(self) -> None:
        """End the process, at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._narration):
            assert stream is not None
            stream.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise self._death()
        answer = json.loads(line)
        if "error" in answer:
            raise BY_EXIT_CODE[answer["error"]["exit_code"]](answer["error"]["message"])
        return answer

    def _death(self) -> BitnetError:
        code = self._process.wait()
        self._narration.seek(0)
        lines = [line.strip() for line in self._narration.read().decode(errors="replace").splitlines() if line.strip()]
        said = safe(" | ".join(lines[-_LAST_LINES:]), 1000) or "it said nothing"
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return BitnetError(f"{self._path}: the measuring process ended by {cause}; its last lines: {said}")
