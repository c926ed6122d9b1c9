"""What a result was made with and on: the block that every artifact carries.

    stamp(seed=0, numerics=model.numerics, corpus_sha256=…)

Two results may be compared as numbers only if their stamps agree in what matters; the rest is for a reader who
wonders. Imports neither jax nor anything heavy: versions come from package metadata.
"""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bitnet_engine.environment import environment

PACKAGES = ("bitnet-tui", "jax", "jaxlib", "numpy", "scipy", "numba", "tokenizers", "gguf", "safetensors")
ISA_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def stamp(**facts: Any) -> dict[str, Any]:
    """Return the environment of this process, with `facts` (hashes, seeds, numerics) added."""
    return {**_environment(), "device": _device(), "kernel": _kernel(), **facts}


@cache
def _environment() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "wsl2": is_wsl2(),
        "python": platform.python_version(),
        "cpu": _cpu_field("model name") or platform.processor() or platform.machine(),
        "isa": [flag for flag in ISA_FLAGS if flag in cpu_flags()],
        "threads": _threads(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "determinism": environment().to_json(),
        "git_commit": _git_commit(),
    }


def is_wsl2(kernel: Path = Path("/proc/version")) -> bool:
    """Return whether the kernel is that of Windows Subsystem for Linux 2, by the text of /proc/version.

    Version 1 has no Linux kernel and writes `Microsoft` without the word `standard` or `WSL2`.
    """
    try:
        text = kernel.read_text(errors="replace").lower()
    except OSError:
        return False
    return "microsoft-standard" in text or "wsl2" in text


def _threads() -> int:
    # What this process may use, not what the machine has: containers and taskset narrow it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device() -> str | None:
    """Platform and kind of the accelerator jax runs on; None in a process that never started jax."""
    if (jax := sys.modules.get("jax")) is None:
        return None
    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"


def _kernel() -> str | None:
    """What multiplies trits; None in a process that has not come to it."""
    kernels = sys.modules.get("bitnet_engine.kernels")
    return None if kernels is None else kernels.backend().describe()


def cpu_flags() -> list[str]:
    """Return the features that the processor says it has; none where the system does not list them."""
    return (_cpu_field("flags") or _cpu_field("Features") or "").split()


def _cpu_field(name: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), None)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of a source checkout this package runs from; None for an installed wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
