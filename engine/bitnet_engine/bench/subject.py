"""What a measuring process says of itself and of the model it has loaded.

Plain numbers, so that the process which only waits for them need not start jax.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """What a fresh process measured of itself while it got ready."""

    file_seconds: float
    """Reading the model's file once, out of the page cache: what loading takes at the least."""
    load_seconds: float
    compile_seconds: float
    """What the first prefill and the first decode took longer than the second ones."""
    first_token_seconds: float
    """From the path to the first token, compilation included."""
    resident_bytes: int | None
    """After loading; None where the system does not tell."""
    peak_bytes: int | None
    """At the end of the first decode."""
    clock_mhz: float | None


@dataclass(frozen=True)
class Facts:
    """Sizes of the model in memory, by which its limits are computed."""

    layers: int
    max_positions: int
    ternary_weights: int
    """Trits of all blocks; 0 of a dense model."""
    body_bytes: int
    """Of the matrices of all blocks, as they lie in memory."""
    head_bytes: int
    head_type: str
    cache_bytes_per_position: int
    file_bytes: int
    kernel: str
    units: tuple[str, ...]
    """What multiplies bytes here, best first."""
