"""The machine's limits, measured beside everything else: plain reading, products of bytes, the clock.

    reader = plain_reader(521_000_000, threads=2)
    reader.run()                          # reads reader.bytes once

The native library has loops of a few instructions for them (engine/kernels/probe.cpp). Without it numpy and XLA stand
in; their names say so, and shares of their figures may pass 100 %. Knows no model.
"""

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine import buffers, kernels
from bitnet_engine.bench.timing import Operation

STAND_IN = "XLA int8 dot (stand-in)"
_STEP = 256
"""bitnet_probe_read takes whole steps of so many bytes."""
_AHEADS = (0, 1024, 2048, 4096, 8192)
_ROTATIONS = 100_000
_DOT_SIZE = 1024
_LEAST_BYTES = 1 << 27

Job = Callable[[], object]


@cache
def _library() -> ctypes.CDLL | None:
    library = kernels.shared_library()
    if library is None or not hasattr(library, "bitnet_probe_units"):
        return None
    library.bitnet_probe_units.restype = ctypes.c_char_p
    library.bitnet_probe_read.restype = ctypes.c_uint64
    library.bitnet_probe_read.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 3]
    library.bitnet_probe_dot.restype = ctypes.c_int64
    library.bitnet_probe_dot.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    library.bitnet_probe_clock.restype = ctypes.c_uint64
    library.bitnet_probe_clock.argtypes = [ctypes.c_int64]
    return library


def units() -> tuple[str, ...]:
    """Return the names of what multiplies bytes here, best first; where nothing of ours is measured, the stand-in's."""
    library = _library()
    names = library.bitnet_probe_units().decode() if library else ""
    return tuple(names.split(",")) if names else (STAND_IN,)


def clock_mhz() -> float | None:
    """Return the clock as a chain of dependent instructions shows it; None without the native library.

    /proc/cpuinfo tells a guest what it was started with. The fastest of five: an interruption is not a slower clock.
    """
    if (library := _library()) is None:
        return None
    return _ROTATIONS / min(_seconds(partial(library.bitnet_probe_clock, _ROTATIONS)) for _ in range(5)) / 1e6


def plain_reader(size: int, threads: int) -> Operation:
    """Return the operation of reading `size` bytes, each thread its own part, the fastest way of those tried."""
    part = max(_STEP, size // threads // _STEP * _STEP)
    buffer, team = _touched(part * threads), _Team(threads)
    parts = [buffer[i * part : (i + 1) * part] for i in range(threads)]
    if (library := _library()) is None:
        whole: list[Job] = [partial(np.bitwise_xor.reduce, one.view(np.uint64)) for one in parts]
        return Operation(partial(team.run, whole), bytes=float(part * threads), keeps=buffer)
    # A small buffer is read again and again: waking the other threads takes longer than reading it once.
    passes = max(1, _LEAST_BYTES // (part * threads))
    starts = [one.ctypes.data for one in parts]
    ways: list[list[Job]] = [
        [partial(library.bitnet_probe_read, at, part, ahead, passes) for at in starts] for ahead in _AHEADS
    ]
    fastest = min(ways, key=lambda reads: min(_seconds(partial(team.run, reads)) for _ in range(3)))
    return Operation(partial(team.run, fastest), bytes=float(part * threads * passes), keeps=buffer)


def peak(unit: str, threads: int) -> Operation:
    """Return an operation of some milliseconds on registers by `unit`, one of `units()`, on every thread."""
    if unit == STAND_IN:
        return _xla_dot()
    library = _library()
    assert library is not None  # it named the unit
    name, rounds = unit.encode(), 1000
    while _seconds(partial(library.bitnet_probe_dot, name, rounds)) < 0.01:
        rounds *= 2
    operations = float(library.bitnet_probe_dot(name, rounds) * threads)
    run = partial(_Team(threads).run, [partial(library.bitnet_probe_dot, name, rounds)] * threads)
    return Operation(run, operations=operations)


def _xla_dot() -> Operation:
    codes = jnp.ones((_DOT_SIZE, _DOT_SIZE), jnp.int8)
    dot = jax.jit(lambda a, b: jax.lax.dot(a, b, preferred_element_type=jnp.int32))
    return Operation(lambda: dot(codes, codes).block_until_ready(), operations=2.0 * _DOT_SIZE**3)


class _Team:
    """Threads that stay, so that starting them is not measured. Every job must leave the interpreter's lock."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def run(self, jobs: list[Job]) -> None:
        """Run the jobs at once, the first of them here."""
        waiting = [self._pool.submit(job) for job in jobs[1:]] if self._pool else []
        jobs[0]()
        for job in waiting:
            job.result()


def _touched(size: int) -> np.ndarray:
    """Return bytes that are really there, on the pages that weights lie on."""
    buffer = buffers.empty((size,), np.dtype(np.uint8))
    buffer[:] = 1
    return buffer


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
