"""The C library's allocator: what it keeps of memory that was freed.

    give_back()                                  # after a large file
    return_large_blocks()                        # before a long run that frees many

Starts no jax. Where the library is not glibc nothing is done.
"""

import ctypes
from contextlib import suppress

LARGE = 512 << 10
"""Bytes of a large block: a row of float64 over the vocabulary of any current model, and nothing small."""
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h."""


def give_back() -> None:
    """Return to the system what was freed and is kept: after a large file tens of megabytes.

    glibc keeps freed blocks of the size of a matrix for the next one.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def return_large_blocks() -> None:
    """From now on, return every large block to the system as it is freed, in this process.

    And no thread that starts from now on gets an arena of its own: each keeps the most that it ever held, some ten
    megabytes, and the memory of a long run grows as one thread after another gets there.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE)
        library.mallopt(_ARENA_MAX, 1)
