"""A recorded run as an entry of a list: what it compared at the left, what came of it at the right.

box.show([run_pick(run, now) for run in store.list()])
"""

from pathlib import Path

from bitnet_tui.core.store import RunInfo
from bitnet_tui.core.text import ago, human_bytes, number
from bitnet_tui.widgets.pick_list import Pick

_VERDICTS = {"PASS": ("✔", "$success"), "FAIL": ("✘", "$error"), "INCONCLUSIVE": ("?", "$warning")}


def run_pick(run: RunInfo, now: float, *, live: bool = False, marked: bool | None = None) -> Pick:
    """Return the entry of `run` at the time `now`; where runs can be marked, with a mark and with its size."""
    mark = "" if marked is None else ("● " if marked else "  ")
    size = "" if marked is None else f" {human_bytes(run.nbytes):>8}"
    when = f"{size} {ago(now - run.when):>9}"
    if run.problem is not None:
        return Pick(str(run.path), f"{mark}{run.id}  ! {run.problem}", when)
    sides = " → ".join(Path(side).name for side in (run.reference, run.candidate) if side)
    sign, style = _VERDICTS.get(run.verdict or "", (f"· {'live' if live else run.status}", "$text-muted"))
    if run.kind == "bench":
        return Pick(str(run.path), f"{mark}{run.id}  bench {sides}", f"{sign if run.verdict else ''}{when}", style)
    facts = f"{sign} {number(run.tau_median)}{when}"
    return Pick(str(run.path), f"{mark}{run.id}  {sides or run.kind or 'run'}", facts, style)
