"""A finding as Markdown: what happened, where, why, the proof, and what to do.

    markdown(finding.to_json())

Takes the JSON-ready finding, so that what is shown is what was found.
"""

from collections.abc import Mapping
from typing import Any

from bitnet_engine.visible import safe

LISTED = 20


def markdown(finding: Mapping[str, Any]) -> str:
    """Return the finding as a page."""
    lines = [
        f"# Diagnosis: {finding['verdict']}",
        "",
        f"- reference: `{safe(finding['reference'])}`",
        f"- candidate: `{safe(finding['candidate'])}`",
        f"- tokens: {len(finding['tokens'])}",
    ]
    if (first := finding["first"]) is not None:
        layer = "" if first["layer"] is None else f"layer {first['layer']}, "
        size = "not finite" if first["residual"] is None else f"{first['residual']:.3g}"
        lines.append(f"- first operation that differs: {layer}{first['operation']}, residual {size}")
    for cause in finding["causes"]:
        lines += ["", f"## {safe(cause['sentence'], 400)}", *_cause(cause)]
    for left in finding["unexplained"]:
        layer = "" if left["layer"] is None else f"layer {left['layer']}, "
        lines += [
            "",
            f"## {layer}{left['operation']}: not explained",
            "",
            *(f"- {safe(t, 200)}" for t in left["description"]),
        ]
    return "\n".join([*lines, *_proof(finding["proof"])]) + "\n"


def _cause(cause: Mapping[str, Any]) -> list[str]:
    rows = {
        "name": f"`{cause['name']}`" + (", harmless" if cause["harmless"] else ""),
        "tensors": ", ".join(f"`{safe(name)}`" for name in cause["tensors"][:LISTED]),
        "rows": ", ".join(map(str, cause["rows"])),
        "file offset": "" if cause["offset"] is None else str(cause["offset"]),
        "evidence": safe(cause["evidence"], 400),
        "what to do": safe(cause["remedy"], 400),
    }
    return ["", *(f"- {key}: {value}" for key, value in rows.items() if value)]


def _proof(proof: Mapping[str, Any] | None) -> list[str]:
    if proof is None:
        return []
    numbers = {"as it is": proof["before"], "repaired": proof["after"], "the reference's own noise": proof["floor"]}
    listed = [f"- {name}: {'not finite' if value is None else f'{value:.3g}'}" for name, value in numbers.items()]
    verdict = "the repair restores parity" if proof["holds"] else "the repair does not restore parity"
    return ["", f"## Proof: {verdict}", "", f"NMSE of {proof['what']}:", "", *listed]
