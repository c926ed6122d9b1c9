"""A diagnosis in words: each cause with its place and its proof, what nothing explains, and whether a repair holds.

    for mark, sentence, rows in causes(report): ...
    proof_text(report["proof"])

Takes the JSON-ready report of `core.session`; plain lines and the Layers screen are both made of this. Everything that
came out of a file goes through `safe`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.text import safe

SENTENCE = 400

Part = tuple[str, str, list[Row]]
"""A mark, a sentence, and what is known beside it."""


def causes(report: Mapping[str, Any]) -> Iterator[Part]:
    """Yield every cause."""
    for cause in report["causes"]:
        names = safe(", ".join(cause["tensors"][:4]))
        where = [names + (f" and {len(cause['tensors']) - 4} more" if cause["tensors"][4:] else "")]
        where += [f"rows {', '.join(map(str, cause['rows']))}"] if cause["rows"] else []
        where += [f"byte {cause['offset']:,}"] if cause["offset"] is not None else []
        facts = {"where": " · ".join(part for part in where if part), "why": cause["name"], "proof": cause["evidence"]}
        facts["what to do"] = cause["remedy"]
        rows = [(name, safe(value, SENTENCE)) for name, value in facts.items() if value]
        yield "·" if cause["harmless"] else "✘", safe(cause["sentence"], SENTENCE), rows


def unexplained(report: Mapping[str, Any]) -> Iterator[Part]:
    """Yield everything that differs and has no cause, described."""
    for left in report["unexplained"]:
        size = "" if left["residual"] is None else f", residual {left['residual']:.3g}"
        rows = [("", safe(text, SENTENCE)) for text in left["description"]]
        rows += [("both results", safe(left["reproduction"]))] if left["reproduction"] else []
        yield "?", f"{place(left)}{size}: nothing known gives this", rows


def place(one: Mapping[str, Any]) -> str:
    """Return where an operation is: `layer 3, ffn_down`."""
    return safe(one["operation"] if one["layer"] is None else f"layer {one['layer']}, {one['operation']}")


def first_text(first: Mapping[str, Any]) -> str:
    """Return which operation differs first, and by how much."""
    size = "not finite" if first["residual"] is None else f"{first['residual']:.3g}"
    rounding = f"{first['tolerance']:.0e} is rounding"
    return f"{place(first)}: residual {size} on the candidate's own input; {rounding}"


def repaired_text(repair: Mapping[str, Any]) -> str:
    """Return which file was written with the causes repaired, or why none was."""
    if repair["path"] is None:
        return f"✘ nothing is written: {safe(repair['says'], SENTENCE)}"
    count = len(repair["tensors"])
    taken = f" ({count} weight{'s' * (count != 1)} of the reference)" if count else ""
    return f"✔ {safe(repair['path'])}{taken}: {safe(repair['says'], SENTENCE)}"


def proof_text(proof: Mapping[str, Any]) -> str:
    """Return what every repair together does to the logits."""
    before, after = (("not finite" if proof[key] is None else f"{proof[key]:.3g}") for key in ("before", "after"))
    mark = "✔" if proof["holds"] else "✘"
    noise = f"the reference's own noise is {proof['floor']:.3g}"
    return f"{mark} NMSE of logits {before} as it is, {after} with every cause repaired; {noise}"
