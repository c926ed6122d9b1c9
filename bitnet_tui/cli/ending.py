"""How a command ends badly: one line on stderr, an exit code, and with --json the error as an object.

A traceback is shown only with --debug. Knows no command.
"""

import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import click

from bitnet_tui.cli.streams import emit_json
from bitnet_tui.core import session
from bitnet_tui.core.events import dumps
from bitnet_tui.core.text import safe

INTERRUPTED = 130
MESSAGE_LIMIT = 2000


class JobError(session.BitnetError):
    """An error that a worker reported, with the exit code it chose and the traceback it had."""

    def __init__(self, message: str, exit_code: int, trace: str | None = None) -> None:
        super().__init__(message)
        self.exit_code, self.trace = exit_code, trace


@dataclass(frozen=True)
class Outcome:
    """What the user asked of an ending; read before the arguments are parsed, for they may be what is wrong."""

    debug: bool
    as_json: bool


def end_with(error: BaseException, outcome: Outcome) -> NoReturn:
    """Say what went wrong and leave with the code it calls for."""
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, click.exceptions.Exit):
        sys.exit(error.exit_code)
    if outcome.debug and not isinstance(error, click.ClickException):
        _print_trace(getattr(error, "trace", None) or "".join(traceback.format_exception(error)))
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        # The one usage error that is a page and no line.
        print(error.format_message(), file=sys.stderr)
        sys.exit(error.exit_code)
    code, message = _diagnose(error)
    # Messages quote names out of files, and a terminal obeys what is in them.
    message = safe(message, MESSAGE_LIMIT)
    with suppress(OSError):
        print(f"bitnet-tui: {message}", file=sys.stderr)
    if outcome.as_json:
        with suppress(session.BitnetError):
            emit_json(dumps({"error": {"exit_code": code, "message": message}}))
    sys.exit(code)


def _print_trace(trace: str) -> None:
    # It quotes paths and names out of files too, and is as long as it is.
    print("\n".join(safe(line, MESSAGE_LIMIT) for line in trace.split("\n")), file=sys.stderr)


def _diagnose(error: BaseException) -> tuple[int, str]:
    if isinstance(error, session.BitnetError):
        return error.exit_code, " ".join(str(error).split())
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED, "interrupted"
    if isinstance(error, click.UsageError):
        # The command that opens the app has no name of its own.
        where = (f"{error.ctx.command_path} --help" if error.ctx else "bitnet-tui --help").replace(" open ", " ")
        return 2, f"{error.format_message()} See `{where}`."
    if isinstance(error, click.ClickException):
        return 2, error.format_message()
    if isinstance(error, OSError):
        return 4, f"{error.filename or 'I/O'}: {error.strerror or error}"
    return 6, f"{type(error).__name__}: {error} (this is a defect; --debug shows where)"
