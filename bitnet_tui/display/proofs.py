"""What `replay`, `record` and `verify` found, as plain lines of text.

    lines = verify_lines(report)

Takes the JSON that the artifacts hold. Everything that came out of a file goes through `safe`.
"""

from typing import Any

from bitnet_tui.core.text import counted, safe

STAMP_LINES = 12


def replay_lines(report: dict[str, Any]) -> list[str]:
    """Return `replay`'s answer: each number then and now, the stamps' differences, the verdict last."""
    lines = [f"{safe(report['line'])}: {safe(report['document'])}, position {report['position']}", ""]
    for number in report["numbers"]:
        if isinstance(number["recorded"], int | float | None) and number["name"] not in ("position", "token"):
            mark = "=" if number["recorded"] == number["replayed"] else "≠"
            shown = "" if number["difference"] in (None, 0) else f"  differs by {number['difference']:.3g}"
            lines.append(f"{mark} {number['name']:<14}{_exactly(number['recorded'])}{shown}")
        elif number["recorded"] != number["replayed"]:
            lines.append(f"≠ {number['name']:<14}differs")
    differences = report["stamp_differences"]
    lines += ["", *(f"stamp: {safe(difference)}" for difference in differences[:STAMP_LINES])]
    if len(differences) > STAMP_LINES:
        lines.append(f"stamp: {len(differences) - STAMP_LINES} more differences")
    stamp = "the same stamp" if report["same_stamp"] else "another stamp"
    verdict = "IDENTICAL" if report["identical"] else "DIFFERENT"
    return [*lines, f"{verdict}  (bit for bit, on {stamp})"]


def recording_lines(report: dict[str, Any]) -> list[str]:
    """Return `record`'s answer: what was recorded, and where."""
    model, corpus = report["model"], report["corpus"]
    documents = counted(corpus["documents"], "document")
    return [
        f"model       {safe(model['path'])}  sha256 {model['sha256'][:16]} · {safe(model['numerics'])}",
        f"corpus      {safe(corpus['name'])}  sha256 {corpus['sha256'][:16]} · {documents}",
        f"recorded    {counted(report['windows'], 'window')} of up to {report['settings']['context']} tokens",
        f"side        recorded:{safe(report['folder'])}",
    ]


def verify_lines(report: dict[str, Any]) -> list[str]:
    """Return `verify`'s answer: a check and its reason each, the verdict last."""
    lines = [f"{safe(report['path'])}: {report['runs']} fresh processes, 8 sequences of {report['tokens']} ids", ""]
    for check in report["checks"]:
        lines.append(f"{'✔' if check['reproducible'] else '✘'} {check['name']:<19}{check['label']}")
        lines.append(f"  {check['what']}: {check['why']}")
        lines.append(f"  sha256 {' · '.join(digest[:16] for digest in check['sha256'])}")
    verdict = "REPRODUCIBLE" if report["holds"] else "NOT REPRODUCIBLE"
    return [*lines, "", f"{verdict}  (numerics {report['stamp']['numerics']})"]


def _exactly(value: float | None) -> str:
    return "undefined" if value is None else repr(value)
