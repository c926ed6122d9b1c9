"""Where the program keeps what jax compiled, and for which requests.

    for event in keep({"kind": "generate", ...}): ...    # a warning, where nothing can be kept

`BITNET_TUI_COMPILED` is a folder, or `off`; without it the user's cache folder is used. A folder that is set for jax
itself (`JAX_COMPILATION_CACHE_DIR`) is left to jax. Part of `core.session`; starts no jax.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import platformdirs

from bitnet_engine.compile_cache import keep_compiled
from bitnet_engine.errors import StorageError
from bitnet_tui.core.events import Event

VARIABLE = "BITNET_TUI_COMPILED"
OFF = "off"
MEASURED = ("bench", "verify")
"""Kinds of request that compile anew: one times it, the other proves that it comes out the same."""


def compiled_dir(env: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of compiled programs; None where none are kept."""
    named = (os.environ if env is None else env).get(VARIABLE)
    if named == OFF:
        return None
    return Path(named).expanduser() if named else platformdirs.user_cache_path("bitnet-tui") / "compiled"


def keep(kind: str) -> Iterator[Event]:
    """Keep what this process compiles for a request of that kind; yield a warning where it cannot be kept."""
    folder = compiled_dir()
    if folder is None or kind in MEASURED or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        keep_compiled(folder)
    except StorageError as error:
        yield {"event": "warn", "message": f"{error}; {VARIABLE} names another folder, or {OFF}"}
