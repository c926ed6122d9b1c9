"""A diagnosis as lines a person reads: where, why, the proof, what to do.

    print("\\n".join(finding_lines(report)))

Takes the JSON-ready reports of `core.session`; everything that came out of a file goes through `safe`.
"""

from itertools import islice
from typing import Any

from bitnet_tui.core.finding_text import Part, causes, first_text, proof_text, repaired_text, unexplained
from bitnet_tui.core.text import safe

LISTED = 8
"""Causes that are shown whole; --json has them all."""


def finding_lines(report: dict[str, Any]) -> list[str]:
    """Return `diagnose`'s answer, the verdict last."""
    lines = [f"reference   {safe(report['reference'])}", f"candidate   {safe(report['candidate'])}", ""]
    for part in islice(causes(report), LISTED):
        lines += [*_part_lines(part), ""]
    if (more := len(report["causes"]) - LISTED) > 0:
        lines += [f"and {more} more causes (--json)", ""]
    for part in islice(unexplained(report), LISTED):
        lines += [*_part_lines(part), ""]
    if not report["causes"] and not report["unexplained"]:
        lines += ["✔ no weight differs, and no operation is farther off than rounding", ""]
    first, proof = report["first"], report["proof"]
    lines += [] if first is None else [f"first       {first_text(first)}"]
    lines += [] if proof is None else [f"proof       {proof_text(proof)}"]
    repair = report.get("repaired")
    lines += [] if repair is None else [f"repaired    {repaired_text(repair)}"]
    return [*lines, report["verdict"]]


def _part_lines(part: Part) -> list[str]:
    mark, sentence, rows = part
    return [f"{mark} {sentence}", *(f"  {name:<12}{value}" if name else f"  {value}" for name, value in rows)]


def capture_lines(report: dict[str, Any]) -> list[str]:
    """Return `capture`'s answer: what was written, and whether looking changed anything."""
    told = {True: "the same bits as without", False: "NOT the bits that they are without", None: "as watched"}
    same = told[report["same_bits"]]
    return [
        f"model       {safe(report['model']['path'])}  sha256 {report['model']['sha256'][:16]}",
        f"captured    {report['parts']} parts of {len(report['tokens'])} tokens into {safe(report['folder'])}",
        f"logits      {same} ({safe(report['model']['numerics'])})",
    ]
