"""Memory that weights are read into and stay in: aligned, on huge pages, and handed to jax without a copy.

    table = empty((128256, 2560), np.float16)        # touched pages only are resident
    table[:4096] = rows
    weights = hand_over(table)                       # a jax.Array over the same bytes

Knows no file and no layout. Whoever hands an array over does not write to it again.
"""

import mmap
from math import prod

import jax
import numpy as np

HUGE_PAGE = 2 << 20
"""Bytes of a huge page where the processor has them; a page of any other size only makes a buffer start later."""


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a writable array of zeros on pages of its own, which become resident as they are written.

    It starts at a multiple of 64 bytes, without which jax would copy it. Huge pages spare a model of gigabytes most of
    its TLB misses; a part of one at the end is left to small pages, so that it costs no more than it holds.
    """
    size = prod(shape) * dtype.itemsize
    if size < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return _view(_pages(size), 0, shape, dtype)
    pages = _pages(size + HUGE_PAGE)
    start = -_address(pages) % HUGE_PAGE
    pages.madvise(mmap.MADV_HUGEPAGE, start, size // HUGE_PAGE * HUGE_PAGE)
    return _view(pages, start, shape, dtype)


def hand_over(array: np.ndarray) -> jax.Array:
    """Return `array`, of `empty`, as jax's: on CPU the same memory, kept while it is used; elsewhere a copy."""
    return jax.device_put(array)


def _pages(size: int) -> mmap.mmap:
    # Private: Linux gives no huge pages to memory that could be shared.
    kind = {} if not hasattr(mmap, "MAP_PRIVATE") else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    return mmap.mmap(-1, max(size, 1), **kind)


def _address(pages: mmap.mmap) -> int:
    return np.frombuffer(pages, np.uint8).ctypes.data


def _view(pages: mmap.mmap, start: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    # The array keeps the map alive, and whatever is made of the array keeps the array.
    return np.frombuffer(pages, dtype, prod(shape), start).reshape(shape)
