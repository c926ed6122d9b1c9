"""Throughput of Kendall's tau-b beside scipy's: a vocabulary of 128 256 ids, and the union of both sides' best 1024.

    python docs/measure_tau.py                  # half a minute; of use on a machine that does nothing else

Writes docs/measurements/tau.json: tokens a second by the median of several, and their ratio to scipy's; of the whole
vocabulary by threads, too. The vectors are noise on noise, so that tau is about what a quantised model gives. Values
are checked against scipy's. Exits 1 under 2.5 times scipy's throughput on one core, or 8 times for the union.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from scipy.stats import kendalltau

import bitnet_engine as engine
from bitnet_parity import tau_b, tau_b_rows
from bitnet_parity.belief import TOP

ARTIFACT = Path(__file__).parent / "measurements" / "tau.json"
VOCAB, ROWS, SCIPY_ROWS = 128_256, 48, 12
GOALS = {"vocabulary": 2.5, "union": 8.0}


def main() -> None:
    """Measure, check and write the artifact."""
    generator = np.random.default_rng(0)
    x = generator.normal(scale=3.0, size=(ROWS, VOCAB)).astype(np.float32)
    y = (x + generator.normal(scale=1.0, size=x.shape)).astype(np.float32)
    unions = [_union(a, b) for a, b in zip(x, y, strict=True)]
    scipy = [_scipy(a, b) for a, b in zip(x[:SCIPY_ROWS], y[:SCIPY_ROWS], strict=True)]
    ours = [_timed(tau_b, a, b) for a, b in zip(x, y, strict=True)]
    assert [value for value, _ in ours[:SCIPY_ROWS]] == [value for value, _ in scipy]
    whole = {"scipy": median(s for _, s in scipy), "ours": median(s for _, s in ours)}
    some = {
        "scipy": median(_scipy(*union)[1] for union in unions),
        "ours": median(_timed(tau_b, *union)[1] for union in unions),
    }
    artifact = {
        "schema": "bitnet-tui/tau",
        "schema_version": 1,
        "vocabulary": {"ids": VOCAB, **_ratio(whole), "goal": GOALS["vocabulary"], "threads": _threads(x, y)},
        "union": {"of_each_side": TOP, **_ratio(some), "goal": GOALS["union"]},
        "stamp": engine.stamp(),
    }
    ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    short = [name for name, goal in GOALS.items() if artifact[name]["times_scipy"] < goal]
    sys.exit(f"under the goal: {short}" if short else 0)


def _union(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = np.union1d(np.argpartition(x, -TOP)[-TOP:], np.argpartition(y, -TOP)[-TOP:])
    return x[best], y[best]


def _scipy(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    # float64, as a program that uses it passes what it has ranked; the values are those of float32.
    return _timed(lambda a, b: float(kendalltau(a, b).statistic), x.astype(np.float64), y.astype(np.float64))


def _timed(function: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    begun = time.perf_counter()
    value = function(x, y)
    return value, time.perf_counter() - begun


def _threads(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return tokens a second by how many threads share the rows."""
    found = {}
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        begun = time.perf_counter()
        tau_b_rows(x, y, threads)
        found[str(threads)] = len(x) / (time.perf_counter() - begun)
    return found


def _ratio(seconds: dict[str, float]) -> dict[str, Any]:
    rates = {f"{name}_tokens_per_second": 1 / value for name, value in seconds.items()}
    return {**rates, "times_scipy": seconds["scipy"] / seconds["ours"]}


if __name__ == "__main__":
    main()
