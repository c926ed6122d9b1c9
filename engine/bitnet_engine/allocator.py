"""What the allocator keeps of freed memory, and giving it back to the system.

    give_back()

Starts no jax.
"""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return to the system what was freed and is kept by the allocator: after a large file tens of megabytes.

    glibc keeps freed blocks of the size of a matrix for the next one, and gaps between blocks that are still used;
    elsewhere nothing is done.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
