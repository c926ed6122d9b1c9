"""What the environment asks of a computation: a seed, a number of threads, determinism.

    found = environment()                               # BITNET_SEED, BITNET_THREADS, BITNET_DETERMINISTIC
    found.apply()                                       # before jax and numba are imported

Threads are set as the processors this process may run on, because that is what XLA and numba size their pools by.
Knows no model.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bitnet_engine.errors import BitnetError, SettingError

DETERMINISTIC_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")
"""Kernels without atomics, and no choice among kernels by a stopwatch. On CPU both change nothing."""


@dataclass(frozen=True)
class Environment:
    """The settings of the environment; None where it says nothing."""

    deterministic: bool
    seed: int | None
    threads: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields, for the stamp."""
        return asdict(self)

    def apply(self) -> None:
        """Make this process compute as asked.

        Raises:
            BitnetError: jax has started already, or there are fewer processors than threads asked for.
        """
        if self.threads is not None:
            _use_processors(self.threads)
        if self.deterministic:
            _be_deterministic()


def environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Return what `variables` (those of this process by default) ask for.

    Raises:
        SettingError: a value that is not one of those allowed.
    """
    found = os.environ if variables is None else variables
    return Environment(
        deterministic=_flag("BITNET_DETERMINISTIC", found),
        seed=_whole("BITNET_SEED", found, least=0, most=2**63 - 1),
        threads=_whole("BITNET_THREADS", found, least=1, most=4096),
    )


def _flag(name: str, variables: Mapping[str, str]) -> bool:
    value = variables.get(name, "")
    if value not in ("", "0", "1"):
        raise SettingError(f"{name}={value!r}: 0 or 1 is allowed.")
    return value == "1"


def _whole(name: str, variables: Mapping[str, str], *, least: int, most: int) -> int | None:
    value = variables.get(name, "")
    if not value:
        return None
    # isdecimal alone takes Arabic digits too, and int() reads thousands of digits slowly.
    if not (value.isascii() and value.isdecimal() and len(value) <= 19 and least <= int(value) <= most):
        raise SettingError(f"{name}={value[:40]!r}: a whole number from {least} to {most} is allowed.")
    return int(value)


def _use_processors(count: int) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise BitnetError("BITNET_THREADS: this system cannot bind a process to processors; unset it.")
    allowed = sorted(os.sched_getaffinity(0))
    if count > len(allowed):
        raise SettingError(
            f"BITNET_THREADS={count}: this process may use {len(allowed)}; 1 to {len(allowed)} is allowed."
        )
    os.sched_setaffinity(0, allowed[:count])


def _be_deterministic() -> None:
    if "jax" in sys.modules:
        raise BitnetError("BITNET_DETERMINISTIC: jax has started already; set the variable before it is imported.")
    given = os.environ.get("XLA_FLAGS", "").split()
    wanted = [flag for flag in DETERMINISTIC_FLAGS if flag not in given]
    os.environ["XLA_FLAGS"] = " ".join([*given, *wanted])
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
