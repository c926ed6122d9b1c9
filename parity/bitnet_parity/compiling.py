"""How the loops that numpy has no word for are compiled: by numba, once, and kept on disk where that is possible.

    count = compiled(_count, "UniTuple(int64, 4)(uint64[::1], uint64[::1])")

numba is imported on the first call, because most of what imports parity needs none of it. What is compiled returns
numbers or fills arrays that it is given: to return an array numba unpickles numpy's type, and nothing here unpickles.
Knows nothing of what is compiled.
"""

from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any], *signatures: str) -> Callable[..., Any]:
    """Return `function` compiled for signatures in numba's words; it runs without the interpreter's lock.

    No sum is reordered and no product fused into one: every processor gives the same bits.
    """
    import numba

    # A written signature compiles at once, so that a folder that fails does so here and not in a call.
    asked = {"signature_or_function": list(signatures), "nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(**asked, cache=True)(function)
    except (RuntimeError, OSError):
        # No folder to keep compiled code in, or a full one: costs a second a process, changes no value.
        return numba.njit(**asked)(function)
