"""The long run of a fuzzer: coverage-guided with atheris where it is installed, else hypothesis without an end.

    pip install atheris                              # Python 3.11 to 3.13, Linux; no dependency of the project
    python -m tests.fuzz.run gguf 600                # a target of tests/fuzz/targets.py, and seconds

Seeds are the bad files and sound ones of the target's kind. A crash prints its traceback and, with atheris, leaves
its input in `crash-*`; it becomes a case of tests/badfiles and a fix. The last line counts the inputs tried.
"""

import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

from tests.badfiles.builders import big_endian_gguf, small_gguf, small_safetensors
from tests.badfiles.case import Case
from tests.badfiles.graph_cases import CONFIGS, METADATA
from tests.badfiles.model_cases import GGUF, SAFETENSORS
from tests.badfiles.other_cases import REPORTS, RUNS, SHIPPED, THEMES
from tests.badfiles.tokenizer_cases import JSON, KEYS, SENTENCEPIECE, SP
from tests.fuzz.strategies import STRATEGIES
from tests.fuzz.targets import TARGETS

SEEDS: dict[str, tuple[list[Case], str, list[bytes]]] = {
    "gguf": (GGUF, "model.gguf", [small_gguf(), big_endian_gguf()]),
    "safetensors": (SAFETENSORS, "model.safetensors", [small_safetensors()]),
    "config": (CONFIGS, "config.json", []),
    "tokenizer-json": (JSON, "tokenizer.json", []),
    "tokenizer-model": (SP, "tokenizer.model", [SENTENCEPIECE]),
    "gguf-tokenizer": ([*METADATA, *KEYS], "model.gguf", []),
    "events": (RUNS, "events.jsonl", []),
    "theme": (THEMES, "mine.toml", [SHIPPED]),
    "report": (REPORTS, "report.json", []),
}
"""By target: cases whose file of that name is a seed, and sound files."""

OWN = ("bitnet_engine", "bitnet_parity", "bitnet_tui")
"""Packages whose coverage guides the fuzzer; that of the libraries they call would cost more than it finds."""

LARGEST = 1 << 16
"""Bytes of an input; the seeds that are larger stay out."""


def write_seeds(name: str, folder: Path) -> None:
    """Write the seeds of a target, one file each."""
    cases, file, sound = SEEDS[name]
    made = list(sound)
    for case in cases:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / file
            case.build(Path(place))
            if path.is_file() and path.stat().st_size <= LARGEST:
                made.append(path.read_bytes())
    for index, data in enumerate(made):
        (folder / f"seed-{index}").write_bytes(data)


def own_functions() -> list[FunctionType]:
    """Return the functions and methods of the readers' packages that are loaded."""
    modules = [module for name, module in sys.modules.items() if name.startswith(OWN)]
    values = [value for module in modules for value in vars(module).values()]
    values += [inner for value in values if isinstance(value, type) for inner in vars(value).values()]
    functions = {value for value in values if isinstance(value, FunctionType)}
    return [function for function in functions if function.__module__.startswith(OWN)]


def guided(name: str, seconds: int) -> None:
    """Run atheris; it ends the process itself."""
    import atheris

    corpus = tempfile.mkdtemp(prefix=f"fuzz-{name}-")
    write_seeds(name, Path(corpus))
    # A hang is 90 s: a machine that others measure on stands still for up to 45 of them.
    flags = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-rss_limit_mb=2048", "-timeout=90"]
    # Not instrument_imports, which misses the finder of an editable install, nor instrument_all: it takes minutes.
    for function in own_functions():
        atheris.instrument_func(function)
    atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", corpus], TARGETS[name])
    atheris.Fuzz()


def unguided(name: str, seconds: int) -> int:
    """Try structures until the time is over; return how many."""
    from hypothesis import HealthCheck, Phase, given, settings

    tried, end = 0, time.monotonic() + seconds

    # No shrinking over runs and no database: each round draws anew.
    @settings(max_examples=500, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(STRATEGIES[name]())
    def attempt(data: bytes) -> None:
        nonlocal tried
        tried += 1
        TARGETS[name](data)

    while time.monotonic() < end:
        attempt()
    return tried


def main() -> None:
    """Run the target and for the seconds that the command line names."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    if find_spec("atheris") is not None:
        guided(name, seconds)
    sys.stdout.write(f"{name}: {unguided(name, seconds)} inputs in {seconds} s, no crash\n")


if __name__ == "__main__":
    main()
