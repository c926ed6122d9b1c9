"""The program as a user runs it: a process, its streams and its exit code."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = [sys.executable, "-m", "bitnet_tui"]


def run(*arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `bitnet-tui` with `arguments`, no standard input, to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=300,
        check=False,
    )
