"""The child process: runs one request and prints its events, one JSON line each.

    echo '{"kind": "stats", "path": "model.gguf"}' | python -m bitnet_tui.core.worker

The request is the first line of standard input, and what is left of it is a leash: when the parent goes, for whatever
reason, it closes, and the worker ends itself.
Knows nothing of displays; `core.jobs` is the parent's side.
"""

import json
import os
import signal
import sys
import threading
import traceback
from typing import BinaryIO

from bitnet_tui.core import session
from bitnet_tui.core.compiled import keep
from bitnet_tui.core.events import Event, encode

GRACE = 2.0
"""Seconds a worker has to remove its temporary files after it was told to stop."""


def main() -> None:
    """Run the request on the first line of standard input."""
    events = _claim_stdout()
    request = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_watch_leash, daemon=True).start()
    status, verdict = "failed", None
    try:
        session.environment().apply()
        for event in session.run(request):
            verdict = _verdict(event) or verdict
            events.write(encode(event))
            if event["event"] == "run.start":
                events.writelines(encode(warning) for warning in keep(request["kind"]))
            events.flush()
        status = "done"
    except session.BitnetError as error:
        events.write(encode(_error(error.exit_code, str(error))))
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:
        events.write(encode(_error(4, f"{error.filename or 'I/O'}: {error.strerror or error}")))
    except Exception as error:
        # Out of memory arrives as a plain XLA error; every unforeseen end is the engine's, code 6.
        first_line = (str(error).splitlines() or [""])[0]
        events.write(encode(_error(6, f"the engine failed: {type(error).__name__}: {first_line}")))
    events.write(encode({"event": "run.end", "status": status, "verdict": verdict}))
    events.flush()


def _verdict(event: Event) -> str | None:
    return event["report"].get("judgement", {}).get("verdict") if event["event"] == "report" else None


def _error(exit_code: int, message: str) -> Event:
    trace = traceback.format_exc()
    return {"event": "error", "exit_code": exit_code, "message": message, "traceback": trace}


def _claim_stdout() -> BinaryIO:
    """Keep file descriptor 1 for events; whatever a library prints goes to stderr."""
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


def _stop(_signal: int, _frame: object) -> None:
    # SystemExit unwinds: `with` blocks drop their temporary files.
    raise SystemExit(130)


def _watch_leash() -> None:
    # Past Python's buffer: a thread that holds its lock when the interpreter ends makes it abort after a second.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # A signal handler waits for the interpreter, and a long XLA call holds it up.
    threading.Event().wait(GRACE)
    os._exit(130)


if __name__ == "__main__":
    main()
