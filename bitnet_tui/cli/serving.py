"""`--serve`: the app in a browser of this machine, by textual-serve (the [web] extra).

    serve(["model.gguf"], 8000)         # returns when it is stopped by ctrl+c

Each page starts a program of its own. Bound to localhost alone: whoever reaches it can read every file that we can.
"""

import shlex
import sys
from collections.abc import Sequence

from bitnet_tui.core.session import BitnetError

HOST = "localhost"


def serve(arguments: Sequence[str], port: int) -> None:
    """Serve `bitnet-tui ARGUMENTS` at http://localhost:PORT. Raises BitnetError without the extra."""
    try:
        from textual_serve.server import Server  # pyright: ignore[reportMissingImports] - of the [web] extra
    except ImportError as error:
        raise BitnetError(
            "--serve needs textual-serve, which is not installed; pip install 'bitnet-tui[web]'"
        ) from error
    program = shlex.join([sys.executable, "-m", "bitnet_tui", *arguments])
    Server(program, host=HOST, port=port, title="bitnet-tui").serve()
