"""The command that measures one token again, from its line of `parity_failures.jsonl`.

    replay_command("runs/out", "austen.txt", 17)  ->  "bitnet-tui replay runs/out/parity_failures.jsonl --row 3"

Lines hold whole windows, so one is read at a time. Knows no screen.
"""

from pathlib import Path

import orjson

from bitnet_tui.core.command_line import command
from bitnet_tui.core.session import SettingError

NAME = "parity_failures.jsonl"

_LINE_BYTES = 16 << 20


def replay_command(run: str, document: str, position: int) -> str:
    """Return the command for a token of the run at `run`, a folder or its events.

    Raises:
        SettingError: there are no failures beside the run, or none is of this token.
    """
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    path = folder / NAME
    try:
        row = _row_of(path, document, position)
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}; a run that `parity --export DIR` made has one") from error
    if row is None:
        raise SettingError(f"{path}: has no line for this token: it holds those that failed")
    return command("replay", str(path), "--row", str(row))


def _row_of(path: Path, document: str, position: int) -> int | None:
    """Return the line of a token, counted from 1."""
    with path.open("rb") as stream:
        row = 0
        while line := stream.readline(_LINE_BYTES):
            row += 1
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(value, dict) and (value.get("document"), value.get("position")) == (document, position):
                return row
    return None
