"""A diagnosis as lines a person reads: where, why, the proof, what to do.

    print("\\n".join(finding_lines(report)))

Takes the JSON-ready reports of `core.session`; everything that came out of a file goes through `safe`.
"""

from typing import Any

from bitnet_tui.core.text import safe

LISTED = 8
"""Causes that are shown whole; --json has them all."""
SENTENCE = 400


def finding_lines(report: dict[str, Any]) -> list[str]:
    """Return `diagnose`'s answer, the verdict last."""
    lines = [f"reference   {safe(report['reference'])}", f"candidate   {safe(report['candidate'])}", ""]
    for cause in report["causes"][:LISTED]:
        lines += [*_cause_lines(cause), ""]
    if (more := len(report["causes"]) - LISTED) > 0:
        lines += [f"and {more} more causes (--json)", ""]
    for left in report["unexplained"][:LISTED]:
        lines += [*_unexplained_lines(left), ""]
    if not report["causes"] and not report["unexplained"]:
        lines += ["✔ no weight differs, and no operation is farther off than rounding", ""]
    lines += [*_first_lines(report["first"]), *_proof_lines(report["proof"])]
    return [*lines, *_repair_lines(report.get("repaired")), report["verdict"]]


def _cause_lines(cause: dict[str, Any]) -> list[str]:
    lines = [f"{'·' if cause['harmless'] else '✘'} {safe(cause['sentence'], SENTENCE)}"]
    where = [
        safe(", ".join(cause["tensors"][:4]))
        + (f" and {len(cause['tensors']) - 4} more" if cause["tensors"][4:] else "")
    ]
    where += [f"rows {', '.join(map(str, cause['rows']))}"] if cause["rows"] else []
    where += [f"byte {cause['offset']:,}"] if cause["offset"] is not None else []
    facts = {"where": " · ".join(part for part in where if part), "why": cause["name"], "proof": cause["evidence"]}
    facts["what to do"] = cause["remedy"]
    return lines + [f"  {name:<12}{safe(value, SENTENCE)}" for name, value in facts.items() if value]


def _unexplained_lines(left: dict[str, Any]) -> list[str]:
    place = left["operation"] if left["layer"] is None else f"layer {left['layer']}, {left['operation']}"
    size = "" if left["residual"] is None else f", residual {left['residual']:.3g}"
    lines = [
        f"? {safe(place)}{size}: nothing known gives this",
        *(f"  {safe(text, SENTENCE)}" for text in left["description"]),
    ]
    return lines + ([f"  both results  {safe(left['reproduction'])}"] if left["reproduction"] else [])


def _first_lines(first: dict[str, Any] | None) -> list[str]:
    if first is None:
        return []
    place = first["operation"] if first["layer"] is None else f"layer {first['layer']}, {first['operation']}"
    size = "not finite" if first["residual"] is None else f"{first['residual']:.3g}"
    return [
        f"first       {safe(place)}: residual {size} on the candidate's own input; {first['tolerance']:.0e} is rounding"
    ]


def _proof_lines(proof: dict[str, Any] | None) -> list[str]:
    if proof is None:
        return []
    before, after = (("not finite" if proof[key] is None else f"{proof[key]:.3g}") for key in ("before", "after"))
    mark = "✔" if proof["holds"] else "✘"
    noise = f"the reference's own noise is {proof['floor']:.3g}"
    return [f"proof       {mark} NMSE of logits {before} as it is, {after} with every cause repaired; {noise}"]


def _repair_lines(repair: dict[str, Any] | None) -> list[str]:
    if repair is None:
        return []
    if repair["path"] is None:
        return [f"repaired    ✘ nothing is written: {safe(repair['says'], SENTENCE)}"]
    count = len(repair["tensors"])
    taken = f" ({count} weight{'s' * (count != 1)} of the reference)" if count else ""
    return [f"repaired    ✔ {safe(repair['path'])}{taken}: {safe(repair['says'], SENTENCE)}"]


def capture_lines(report: dict[str, Any]) -> list[str]:
    """Return `capture`'s answer: what was written, and whether looking changed anything."""
    told = {True: "the same bits as without", False: "NOT the bits that they are without", None: "as watched"}
    same = told[report["same_bits"]]
    return [
        f"model       {safe(report['model']['path'])}  sha256 {report['model']['sha256'][:16]}",
        f"captured    {report['parts']} parts of {len(report['tokens'])} tokens into {safe(report['folder'])}",
        f"logits      {same} ({safe(report['model']['numerics'])})",
    ]
