"""Are the gates alive? Faults planted for each of them in copies of the reference, and a sound copy that has to pass.

    for fault, problem in prove(trial):     # ("bos-missing", None): its gate turned red, as it should
        ...

A gate that never turns red judges nothing, and one that always is red neither. The copies are made by
`bitnet_parity.faults`, compared as any candidate is, and removed.
"""

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_tui.core import session

if TYPE_CHECKING:
    from bitnet_tui.core.acceptance import Trial

PLANTS: Mapping[str, tuple[str, ...]] = {
    "format-twin": (),
    "bos-missing": ("tokenizer",),
    "signs-flipped": ("belief", "probability", "weights"),
}
"""By fault of the library: the gates it has to turn red. The first is the sound copy."""

SLOWER = 1.25
"""How many times longer the planted candidate of the speed gate takes."""

TOKENS = 960
"""Scored of each copy: forty of each document of the shipped text, enough for a fault that is everywhere."""

SEED = 1


def prove(trial: "Trial") -> Iterator[tuple[str, str | None]]:
    """Compare each copy with the reference; yield its fault, and what is wrong with the gates, None where nothing is.

    Raises:
        BitnetError: a copy cannot be made or compared.
    """
    with tempfile.TemporaryDirectory(prefix="planted-", dir=trial.folder) as folder:
        for fault, gates in PLANTS.items():
            copy = _planted(session.side_path(trial.reference), Path(folder) / f"{fault}.gguf", fault)
            judged = trial.run(trial.parity_request(str(copy), TOKENS, None))["judgement"]
            copy.unlink()
            yield fault, _wrong(judged, gates)
    yield "slowness", _speed_gate_problem()


def _speed_gate_problem() -> str | None:
    from bitnet_engine.bench.turns import Round, speed_gate

    even = [1.0 + 0.01 * (round % 3) for round in range(8)]
    for factor, expected in ((1.0, "PASS"), (SLOWER, "FAIL")):
        rounds = [Round(seconds, factor * seconds * (1 + 0.01 * (i % 2))) for i, seconds in enumerate(even)]
        found = speed_gate("planted", rounds)
        if found.status != expected:
            return f"the gate 'performance' is {found.status} where it takes {factor} times as long, not {expected}"
    return None


def _planted(reference: str, copy: Path, fault: str) -> Path:
    from bitnet_engine import QuantType, UnsupportedError
    from bitnet_parity.faults import inject_file

    inject = partial(inject_file, reference, copy, fault, SEED, everywhere=fault == "signs-flipped")
    try:
        inject(QuantType.I2_S)
    except UnsupportedError:  # several scales a matrix
        inject(QuantType.TQ2_0)
    return copy


def _wrong(judged: dict[str, Any], gates: tuple[str, ...]) -> str | None:
    if not gates:
        return None if judged["verdict"] == "PASS" else f"a sound copy of the reference is {judged['verdict']}"
    status = {gate["gate"]: gate["status"] for gate in judged["gates"]}
    # A profile may leave the limits of stored weights out, and there is no gate then; the others are always there.
    asked = [gate for gate in gates if gate in status or gate != "weights"]
    green = [gate for gate in asked if status.get(gate) != "FAIL"]
    return f"the gate '{green[0]}' is {status.get(green[0], 'missing')}, and should be FAIL" if green else None
