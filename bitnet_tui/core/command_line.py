"""The command that equals what was asked for in the app, ready to paste into a shell.

    parity_command(request)    ->  "bitnet-tui parity a.gguf 'b 2.gguf' --profile fp32 --max-tokens 500"

A default of the command line is left out, except the profile: a verdict without it says nothing. Knows no screen.
"""

import shlex
from typing import Any

from bitnet_tui.core.session import NUMERICS

_OPTIONS = ("corpus", "profile", "context", "max_tokens", "numerics", "candidate_numerics")


def parity_command(request: dict[str, Any]) -> str:
    """Return the `bitnet-tui parity` line of a request, as `core.session.run` takes it."""
    # A side that is not named yet stands there by its name, as in the usage line.
    line = ["bitnet-tui", "parity", *(request[side] or side.upper() for side in ("reference", "candidate"))]
    for name in _OPTIONS:
        value = request.get(name)
        if value is not None and (name, value) != ("numerics", NUMERICS[0]):
            line += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(line)
