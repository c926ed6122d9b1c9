"""Is a model's answer the same answer again? Fresh processes and other shapes, compared to the bit.

    for step in verify_steps("model.gguf", "exact-int8", runs=2, tokens=24):
        ...                                             # progress; the Proof is the last
    proof.checks[0].label                               # "bit-exact (2 runs)"

A check is labelled:

| label | meaning |
|---|---|
| bit-exact (n runs) | the same sha256 in all n |
| reproducible to X | logits differ, by X at most, and X is within 1 % of their root mean square |
| not reproducible | they differ by more; or a value is not finite; or integer sums differ, which nothing excuses |

Each process is asked by `bitnet_engine.determinism`, which says what it computes.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitnet_engine.errors import BY_EXIT_CODE, BitnetError, SettingError
from bitnet_engine.formats import open_checkpoint
from bitnet_engine.visible import safe

SCHEMA = "bitnet-tui/verify"
SCHEMA_VERSION = 1
TOLERANCE = 0.01
"""Share of the logits' root mean square up to which a difference still counts as the same answer."""

_LAST_LINES = 3

Progress = tuple[str, int, int]
"""A process that ended: its name, its number from 1, how many there are."""


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, its label and the reason; the sha256 of both, and the largest difference."""

    name: str
    what: str
    label: str
    why: str
    sha256: tuple[str, ...]
    difference: float | None

    @property
    def reproducible(self) -> bool:
        """Whether the label is one of the two good ones."""
        return self.label != "not reproducible"


@dataclass(frozen=True)
class Proof:
    """All checks of one model. It holds if every one is reproducible."""

    path: str
    numerics: str
    runs: int
    tokens: int
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether every check is reproducible."""
        return all(check.reproducible for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the proof as JSON."""
        checks = [{**asdict(check), "reproducible": check.reproducible} for check in self.checks]
        fields = {"path": self.path, "runs": self.runs, "tokens": self.tokens, "holds": self.holds}
        return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **fields, "checks": checks}


def verify_steps(
    path: str,
    numerics: str,
    *,
    runs: int,
    tokens: int,
    i2s_layout: str | None = None,
    kernel_config: Path | None = None,
) -> Iterator[Progress | Proof]:
    """Ask `runs` fresh processes one after another, yield a step after each, and the proof last.

    `i2s_layout` and `kernel_config` are those of `bitnet_engine.load`.

    Raises:
        SettingError: fewer than two runs.
        FormatError, StorageError: the model is bad, or changes meanwhile.
        BitnetError: it is none that is run; or a process failed, and its last lines are in the message.
    """
    if runs < 2:
        raise SettingError(f"--runs {runs}: one run proves nothing; 2 or more is needed.")
    config = None if kernel_config is None else str(kernel_config)
    request = {"path": path, "numerics": numerics, "tokens": tokens}
    request |= {"i2s_layout": i2s_layout, "kernel_config": config}
    with open_checkpoint(path) as checkpoint, tempfile.TemporaryDirectory(prefix="bitnet-verify-") as folder:
        found: list[Run] = []
        for number in range(1, runs + 1):
            save = Path(folder) / str(number)
            save.mkdir()
            found.append(_run(request, save))
            # Another file is no process that answers otherwise.
            checkpoint.check_unchanged()
            yield f"process {number}", number, runs
        name = path.encode("utf-8", "backslashreplace").decode()
        yield Proof(name, found[0].numerics, runs, tokens, tuple(_checks(found)))


@dataclass(frozen=True)
class Run:
    """What one process answered: its numerics, a sha256 for each name, and the folder with the arrays."""

    numerics: str
    digests: dict[str, str]
    folder: Path

    def array(self, name: str) -> np.ndarray:
        """Return a saved array."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _run(request: dict[str, Any], save: Path) -> Run:
    command = [sys.executable, "-P", "-m", "bitnet_engine.determinism"]
    done = subprocess.run(
        command, input=json.dumps({**request, "save": str(save)}).encode(), capture_output=True, check=False
    )
    if done.stdout and done.returncode in BY_EXIT_CODE:
        raise BY_EXIT_CODE[done.returncode](json.loads(done.stdout))
    if done.returncode:
        spoken = done.stderr.decode(errors="replace").splitlines()
        lines = [line.strip() for line in spoken if line.strip()][-_LAST_LINES:]
        said = safe(" | ".join(lines), 1000) or "it said nothing"
        raise BitnetError(f"{request['path']}: a fresh process ended by code {done.returncode}; its last lines: {said}")
    answer = json.loads(done.stdout)
    return Run(answer["numerics"], answer["digests"], save)


_AGAIN = "the shapes are the same, so work is shared out by chance somewhere: among threads, or by atomic additions"
_PAIRS = {
    "batch": ("logits", "batch", "8 sequences one by one, and in one batch", "a batch is summed in another order"),
    "bucket": (
        "logits",
        "bucket",
        "the same sequences padded to the next larger shape",
        "a longer array is summed in another order",
    ),
    "capture": (
        "logits",
        "capture",
        "every result on the way captured, and none",
        "an operation whose result is kept is not fused with the next",
    ),
    "accumulators batch": ("accumulators", "accumulators_batch", "integer sums of 8 rows one by one, and at once", ""),
}
"""Two answers of one process, what they are, and why floats of the two may differ."""


def _checks(runs: list[Run]) -> Iterator[Check]:
    first = runs[0]
    for name in ("logits", "accumulators"):
        if name in first.digests:
            yield compared(f"{name} again", f"{name} of fresh processes", [(run, name) for run in runs], _AGAIN)
    for title, (one, other, what, cause) in _PAIRS.items():
        if {one, other} <= first.digests.keys():
            yield compared(title, what, [(first, one), (first, other)], cause)


def compared(title: str, what: str, answers: list[tuple[Run, str]], cause: str) -> Check:
    """Compare the first answer with each of the others; the worst difference labels the check.

    `cause` is why floats may differ here; integers may not.
    """
    digests = tuple(run.digests[name] for run, name in answers)
    if len(set(digests)) == 1:
        return Check(title, what, f"bit-exact ({len(digests)} runs)", "every sha256 is the same", digests, 0.0)
    arrays = [run.array(name) for run, name in answers]
    if arrays[0].dtype.kind == "i":
        count = max(int((arrays[0] != other).sum()) for other in arrays[1:])
        why = f"{count} of {arrays[0].size} integer sums differ; integers have no rounding to excuse it"
        return Check(title, what, "not reproducible", why, digests, None)
    return _labelled(title, what, digests, arrays, cause)


def _labelled(title: str, what: str, digests: tuple[str, ...], arrays: list[np.ndarray], cause: str) -> Check:
    wide = [array.astype(np.float64) for array in arrays]
    difference = max(float(np.abs(wide[0] - other).max()) for other in wide[1:])
    if not math.isfinite(difference):
        return Check(title, what, "not reproducible", "a logit is not finite", digests, None)
    limit = TOLERANCE * float(np.sqrt(np.square(wide[0]).mean()))
    moved = max(int((wide[0].argmax(-1) != other.argmax(-1)).sum()) for other in wide[1:])
    why = f"{cause}; the best id moves on {moved} of {wide[0][..., 0].size} tokens"
    if difference > limit:
        why = f"differs by {difference:.3g}, more than {limit:.3g} (1 % of the root mean square); {why}"
        return Check(title, what, "not reproducible", why, digests, difference)
    return Check(title, what, f"reproducible to {difference:.2g}", why, digests, difference)
