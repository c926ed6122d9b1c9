"""Two files of one model in turns: is the second as fast as the first? Judged by `regression`'s limit, in one run.

    for step in turns_steps(reference, candidate, Settings(iterations=8)):
        ...                                     # Stage, Progress; the Comparison is the last

Each round takes a sample of both, whoever begins changing, so that what disturbs a round moves both alike: the ratio of
a round is steadier than either speed. Disturbed rounds (machine.py) count only where half or more are, and then nothing
is called slower for it. Where the interval still holds the limit, more rounds are taken, up to
MOST_ROUNDS; looking again so makes a wrong verdict a little likelier than the interval's five in a hundred.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bitnet_engine.bench.cases import Case, Settings
from bitnet_engine.bench.machine import Conditions
from bitnet_engine.bench.process import Measurer
from bitnet_engine.bench.regression import ALLOWED, Comparison, SpeedGate, status_of, worst
from bitnet_engine.bench.report import OURS
from bitnet_engine.bench.running import Progress, Stage, available_threads
from bitnet_engine.bench.statistics import paired_ratio
from bitnet_engine.formats import open_checkpoint

MOST_ROUNDS = 48


@dataclass(frozen=True)
class Round:
    """Seconds of the reference and the candidate, and whether other processes or steal were at work meanwhile."""

    reference: float
    candidate: float
    disturbed: bool = False


def turns_steps(
    reference: str, candidate: str, settings: Settings, *, numerics: str = "exact-int8"
) -> Iterator[Stage | Progress | Comparison]:
    """Measure decode, prefill and the time to the first token of both; `settings.iterations` rounds, then as needed.

    Raises:
        BitnetError: a model cannot be loaded, or its process died.
    """
    for path in (reference, candidate):
        with open_checkpoint(path):  # so that what is no model is told by its own error, before a process dies of it
            pass
    (threads,) = available_threads(settings)[-1:]
    sides: list[Measurer] = []
    with ExitStack() as stack:
        for name, path in (("reference", reference), ("candidate", candidate)):
            yield Stage(f"load {name}", "start")
            reading = {"i2s_layout": None, "kernel_config": None}
            request = {"engine": OURS, "path": path, "threads": threads, "numerics": numerics, "cache": "float32"}
            sides.append(
                stack.enter_context(Measurer.start({**request, "reading": reading, "settings": asdict(settings)}))
            )
            yield Stage(f"load {name}", "done")
        cases = _cases(settings, min(side.ready["facts"]["max_positions"] for side in sides))
        taken: dict[Case, list[Round]] = {case: [] for case in cases}
        while rounds := _wanted(taken, settings.iterations):
            case, round = rounds
            taken[case].append(last := _round(sides, case, round))
            index, seconds = sum(map(len, taken.values())), last.reference + last.candidate
            yield Progress(OURS, threads, case.key, round, seconds, index, _most(taken, settings))
    gates = tuple(speed_gate(f"{case.key}, {threads} threads", found) for case, found in taken.items())
    yield Comparison(worst(gates), gates)


def _cases(settings: Settings, max_positions: int) -> list[Case]:
    return [case for case in settings.cases(max_positions, ()) if case.kind in ("decode", "prefill", "ttft")]


def _round(sides: list[Measurer], case: Case, round: int) -> Round:
    order = (0, 1) if round % 2 else (1, 0)
    samples = {side: sides[side].sample(case, round)["sample"] for side in order}
    disturbed = any(Conditions(**sample["conditions"]).disturbances(None) for sample in samples.values())
    return Round(samples[0]["seconds"], samples[1]["seconds"], disturbed)


def _wanted(taken: dict[Case, list[Round]], least: int) -> tuple[Case, int] | None:
    """Return the case whose turn it is and the number of its round; None where every case is decided."""
    left = [case for case, found in taken.items() if len(found) < least or _undecided(found)]
    if not left:
        return None
    case = min(left, key=lambda case: len(taken[case]))
    return case, len(taken[case])


def _undecided(found: list[Round]) -> bool:
    return len(found) < MOST_ROUNDS and status_of(_speed(found).interval) == "INCONCLUSIVE"


def _most(taken: dict[Case, list[Round]], settings: Settings) -> int:
    return max(sum(map(len, taken.values())), settings.iterations * len(taken))


def _speed(found: list[Round]) -> Any:
    """Return the candidate's speed over the reference's, over the rounds that count."""
    counting = found if _noisy(found) else [one for one in found if not one.disturbed]
    return paired_ratio([one.reference for one in counting], [one.candidate for one in counting])


def _noisy(found: list[Round]) -> bool:
    return 2 * sum(one.disturbed for one in found) >= len(found)


def speed_gate(name: str, found: list[Round]) -> SpeedGate:
    """Judge the rounds of one case: the candidate's speed over the reference's, at least 1 − ALLOWED."""
    ratio, disturbed = _speed(found), sum(one.disturbed for one in found)
    status, detail = (
        status_of(ratio.interval),
        f"{len(found)} rounds in turns; the candidate's speed over the reference's",
    )
    if math.isnan(ratio.interval[0]):
        detail += "; one round has no interval"
    if disturbed:
        detail += f"; {disturbed} rounds were disturbed"
    if status == "FAIL" and _noisy(found):
        status, detail = "INCONCLUSIVE", f"{detail}, too many to call it slower: measure again on a quiet machine"
    return SpeedGate(name, status, ratio.value, ratio.interval, 1 - ALLOWED, detail)
