"""The `bitnet-tui` command, and `python -m bitnet_tui`: an interrupt is one line and exit 130 from the first moment on.

Imports nothing that takes time before it can say so.
"""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the program on this process's arguments; never returns."""
    # A job that a shell starts in the background ignores interrupts, and goes on doing so.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, _leave)
    from bitnet_tui.cli.main import run

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        # What there is to say is said, and the exit code is known.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(_number: int, _frame: object) -> NoReturn:
    # While modules are loaded nothing has begun, so that there is nothing to unwind.
    os.write(2, b"bitnet-tui: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
