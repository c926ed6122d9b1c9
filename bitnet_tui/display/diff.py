"""A comparison of two files, and a conversion, as lines a person reads: what is the same is one line.

    print("\\n".join(diff_lines(report)))

Takes the JSON-ready reports of `core.session`; everything that came out of a file goes through `safe`.
"""

from typing import Any

from bitnet_tui.core.readings import reading_text
from bitnet_tui.core.text import counted, safe

LISTED = 20
"""Differing tensors, names or settings that are shown; --json has them all."""

SAME, DIFFERENT = "✔", "✘"


def diff_lines(report: dict[str, Any]) -> list[str]:
    """Return `diff`'s answer, the verdict last."""
    ternary = [tensor for tensor in report["tensors"] if tensor["ternary"]]
    floats = [tensor for tensor in report["tensors"] if not tensor["ternary"]]
    return [
        f"reference   {safe(report['reference'])}",
        *_reading("            ", report["reference_reading"]),
        f"candidate   {safe(report['candidate'])}",
        *_reading("            ", report["candidate_reading"]),
        "",
        *_settings(report),
        *_tokenizer(report["tokenizer"]),
        *_tensors("ternary", ternary, _trits_line),
        *_tensors("floats", floats, _floats_line),
        *_missing("only in the reference", report["only_reference"]),
        *_missing("only in the candidate", report["only_candidate"]),
        "",
        "IDENTICAL" if report["identical"] else "DIFFERENT",
    ]


def conversion_lines(report: dict[str, Any]) -> list[str]:
    """Return `convert`'s answer: what was written, and what was rounded on the way."""
    lines = [
        f"{safe(report['target'])}",
        f"  {report['type']} · {counted(report['tensors'], 'tensor')} · {report['bytes']:,} bytes · "
        "read back and compared",
        *_reading("  source: ", report["reading"]),
    ]
    lines += [
        f"  rounded: {safe(loss['tensor'])}: {safe(loss['what'])}, up to {_real(loss['max_rel'])} relative"
        for loss in report["losses"][:LISTED]
    ]
    return lines + _more(len(report["losses"]))


def _reading(label: str, reading: dict[str, Any]) -> list[str]:
    return [f"{label}{text}"] if (text := reading_text(reading)) else []


def _settings(report: dict[str, Any]) -> list[str]:
    differing = report["settings"]
    if not differing:
        return [f"{SAME} settings    {report['settings_compared']} are the same"]
    lines = [f"{DIFFERENT} settings    {len(differing)} of {report['settings_compared']} differ"]
    for setting in differing[:LISTED]:
        lines.append(
            f"    {safe(setting['key'])}: {_shown(setting['reference'])} against {_shown(setting['candidate'])}"
        )
    return lines + _more(len(differing))


def _shown(value: Any) -> str:
    return "nothing" if value is None else safe(repr(value), limit=60)


def _tokenizer(tokenizer: dict[str, Any]) -> list[str]:
    if tokenizer["equal"]:
        return [f"{SAME} tokenizer   the same, {tokenizer['reference'][:16]}"]
    if tokenizer["note"]:
        return [f"{DIFFERENT} tokenizer   cannot be compared: {safe(tokenizer['note'], limit=160)}"]
    return [f"{DIFFERENT} tokenizer   {tokenizer['reference'][:16]} against {tokenizer['candidate'][:16]}"]


def _tensors(what: str, tensors: list[dict[str, Any]], line: Any) -> list[str]:
    differing = [tensor for tensor in tensors if not tensor["equal"]]
    if not differing:
        same = f"{counted(len(tensors), 'tensor')} {'is' if len(tensors) == 1 else 'are'} the same"
        return [f"{SAME} {what:<11} {same}"] if tensors else []
    lines = [f"{DIFFERENT} {what:<11} {len(differing)} of {len(tensors)} tensors differ"]
    for tensor in differing[:LISTED]:
        kinds = f"{tensor['reference_type']} against {tensor['candidate_type']}"
        note = f"; {safe(tensor['note'], limit=160)}" if tensor["note"] else ""
        lines.append(f"    {safe(tensor['name'])} ({kinds}): {line(tensor)}{note}")
    return lines + _more(len(differing))


def _trits_line(tensor: dict[str, Any]) -> str:
    if tensor["different"] is None:
        return _shapes(tensor)
    trits = (
        f"{_count(tensor)} trits differ, first in rows {_rows(tensor)}" if tensor["different"] else "trits are the same"
    )
    one, other = tensor["reference_scale"], tensor["candidate_scale"]
    if one is None or other is None:
        return f"{trits}; several scales in the matrix"
    ratio = f" (ratio {other / one:.6g})" if one else ""
    return (
        f"{trits}; scale {one:.7g} against {other:.7g}{ratio}" if one != other else f"{trits}; scale {one:.7g} in both"
    )


def _floats_line(tensor: dict[str, Any]) -> str:
    if tensor["different"] is None:
        return _shapes(tensor)
    far = f"up to {_real(tensor['max_abs'])}, {_real(tensor['max_rel'])} of the largest"
    return f"{_count(tensor)} numbers differ, first in rows {_rows(tensor)}, {far}"


def _shapes(tensor: dict[str, Any]) -> str:
    return f"shape {list(tensor['reference_shape'])} against {list(tensor['candidate_shape'])}"


def _count(tensor: dict[str, Any]) -> str:
    total = 1
    for extent in tensor["reference_shape"]:
        total *= extent
    return f"{tensor['different']:,} of {total:,}"


def _rows(tensor: dict[str, Any]) -> str:
    return ", ".join(map(str, tensor["rows"]))


def _real(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _missing(where: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = [f"    {safe(name)}" for name in names[:LISTED]]
    return [f"{DIFFERENT} {where}: {counted(len(names), 'tensor')}", *shown, *_more(len(names))]


def _more(count: int) -> list[str]:
    return [f"    and {count - LISTED} more; --json lists all"] if count > LISTED else []
