"""Compiled programs on disk, so that a model starts the second time without compiling.

    keep_compiled(folder)                            # before jax is imported, or at any time before it compiles

jax keeps the programs and finds them by what was compiled, by its own version and XLA's flags. It does not tell
processors apart, and a program holds instructions of the one it was compiled on: so each kind of machine has a folder
of its own. Whoever can write to the folder can run code as this user; it is made for this user alone. Knows no model.
"""

import hashlib
import os
import platform
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from bitnet_engine.errors import StorageError
from bitnet_engine.provenance import cpu_flags, stamp

LIMIT = 256 << 20
"""Bytes of programs that are kept, of all machines together; one takes about 40 KB."""

_SETTINGS = {"jax_compilation_cache_dir": "", "jax_persistent_cache_min_compile_time_secs": 0.0}


def keep_compiled(folder: Path) -> None:
    """Make jax keep its programs in `folder`, of this machine; the oldest are deleted over LIMIT.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    place = folder / machine()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
        _prune(folder, LIMIT)
    except OSError as error:
        raise StorageError(f"{folder}: compiled programs cannot be kept here: {error.strerror}") from error
    for name, value in {**_SETTINGS, "jax_compilation_cache_dir": str(place)}.items():
        if (jax := sys.modules.get("jax")) is None:
            os.environ[name.upper()] = str(value)
        else:
            jax.config.update(name, value)


def machine() -> str:
    """Return a name for what a compiled program depends on and jax does not ask: processor, its features, threads."""
    known = stamp()
    facts = [platform.machine(), platform.system(), known["cpu"], sorted(cpu_flags()), known["threads"]]
    if not cpu_flags():
        facts.append(platform.node())  # without a list of features, no machine is taken for another
    return f"jaxlib-{known['versions'].get('jaxlib')}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _prune(folder: Path, limit: int) -> None:
    found = [(path, path.stat()) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    total = sum(status.st_size for _, status in found)
    for path, status in sorted(found, key=lambda item: item[1].st_mtime_ns):
        if total <= limit:
            return
        with suppress(FileNotFoundError):  # another process prunes too
            path.unlink()
        total -= status.st_size
