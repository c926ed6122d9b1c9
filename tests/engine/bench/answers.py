"""Answers of a measuring process, made up: what the report makes of them can be computed by hand."""

from bitnet_engine.bench.assembling import Run
from bitnet_engine.bench.cases import Case

STAMP = {
    "platform": "Linux",
    "wsl2": False,
    "cpu": "a processor",
    "isa": ["avx2"],
    "threads": 2,
    "device": "cpu: cpu",
    "xla_flags": "",
    "determinism": {"deterministic": False, "seed": None, "threads": 2},
    "numerics": "exact-int8",
    "cache": "float32",
    "kernel": "native avx2",
}
FACTS = {
    "layers": 2,
    "max_positions": 256,
    "ternary_weights": 4_000_000,
    "body_bytes": 1_000_000,
    "head_bytes": 500_000,
    "head_type": "float16",
    "cache_bytes_per_position": 1000,
    "file_bytes": 2_000_000,
    "kernel": "native avx2",
    "units": ["avx512-vnni", "avx2"],
}
START = {
    "file_seconds": 0.5,
    "load_seconds": 1.0,
    "compile_seconds": 3.0,
    "first_token_seconds": 4.5,
    "resident_bytes": 4_000_000,
    "peak_bytes": 8_000_000,
    "clock_mhz": 3000.0,
}


def answer(
    seconds: float,
    round: int = 0,
    *,
    steal: float = 0.0,
    foreign: float = 0.0,
    clock: float | None = 3000.0,
    tokens: int = 0,
    bytes: float = 0.0,
    operations: float = 0.0,
) -> dict:
    """Return one answer of `child`."""
    conditions = {"steal": steal, "foreign": foreign, "load": 0.5, "clock_mhz": clock}
    sample = {"round": round, "count": 1, "seconds": seconds, "conditions": conditions}
    return {"sample": sample, "each": [seconds], "tokens": tokens, "bytes": bytes, "operations": operations}


def run(threads: int = 2, *, decode: tuple[dict, ...] = (), more: dict[Case, list[dict]] | None = None) -> Run:
    """Return what a process said whose machine reads 10 GB/s and does 100 GOPS by the unit that the kernel uses."""
    samples = {
        Case("read"): [answer(0.1, bytes=1e9)] * 3,
        Case("peak", unit="avx512-vnni"): [answer(0.001, operations=1e9)] * 3,
        Case("peak", unit="avx2"): [answer(0.01, operations=1e9)] * 3,
    }
    if decode:
        samples[Case("decode", position=64)] = list(decode)
    ready = {"facts": dict(FACTS), "stamp": dict(STAMP)}
    return Run(threads, ready, [dict(START)] * 2, {**samples, **(more or {})})
