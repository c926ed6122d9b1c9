"""All faults by name, and what they are known from.

names("computation")                    # ("norm-centred", "rope-neighbours", …)
get("scale-inverse").summary
table()                                 # Markdown, as in docs/diagnose.md
"""

import difflib
from collections.abc import Iterable

from bitnet_engine.errors import SettingError
from bitnet_parity.faults import codes, computations, harmless, headers, moved, scales
from bitnet_parity.faults.draft import Draft, Injected, Place
from bitnet_parity.faults.fault import STORAGES, Fault, Kind, Target

_MODULES = (scales, codes, moved, computations, headers, harmless)
FAULTS = {fault.name: fault for module in _MODULES for fault in module.FAULTS}
"""By name, in the order of the table."""

SPOKEN = {"F32": "float32", "HF_PACKED": "packed"}


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """Return the names of all faults, or of one kind; the kind `harmless` is of changes that break nothing."""
    return tuple(name for name, fault in FAULTS.items() if kind in (None, fault.kind))


def get(name: str) -> Fault:
    """Return the fault called `name`.

    Raises:
        SettingError: there is none.
    """
    if name in FAULTS:
        return FAULTS[name]
    near = difflib.get_close_matches(name, FAULTS, 1)
    hint = f"the nearest is '{near[0]}'" if near else "docs/diagnose.md lists them"
    raise SettingError(f"There is no fault '{name}'; {hint}.")


def targeted(name: str, target: Target) -> Fault:
    """Return the fault called `name`, which can be put into `target`.

    Raises:
        SettingError: there is none, or it cannot.
    """
    fault = get(name)
    if target not in fault.targets:
        raise SettingError(f"Fault '{name}' is not put into a {target} but into: {', '.join(sorted(fault.targets))}.")
    return fault


def finished(draft: Draft, fault: Fault) -> Injected:
    """Apply a fault to a draft and return the ground truth.

    Raises:
        SettingError: the model has no place for the fault, or is the same with it.
    """
    before = list(draft.choices)
    place = fault.apply(draft) if fault.apply else Place(None, "file")
    changed = draft.tensors.settle()
    # A rounding that is exact in this model is as harmless as can be.
    if fault.apply and not (fault.harmless or changed or draft.choices != before or draft.drops_bos):
        raise SettingError(f"Fault '{fault.name}' changes nothing in this model at this seed; take another seed.")
    return injected(fault, place, changed)


def injected(fault: Fault, place: Place, changed: Iterable[str]) -> Injected:
    """Return the ground truth of a fault that was put in `place`."""
    return Injected(fault.name, place.layer, place.operation, place.tensor, place.rows, place.detail, tuple(changed))


def table() -> str:
    """Return all faults as Markdown."""
    rows = ["| fault | what is wrong | where | goes into | §5 | looks like |", "|---|---|---|---|---|---|"]
    for fault in FAULTS.values():
        bugs = ", ".join(map(str, fault.bugs)) or "–"
        rows.append(
            f"| `{fault.name}` | {fault.summary} | {fault.where} | {_goes_into(fault)} | {bugs} | {fault.fingerprint} |"
        )
    return "\n".join(rows) + "\n"


def _goes_into(fault: Fault) -> str:
    parts = [target for target in ("model", "numpy") if target in fault.targets]
    if "file" in fault.targets:
        kinds = [SPOKEN.get(kind, kind) for kind in fault.storages]
        files = "file" if set(fault.storages) == set(STORAGES) else f"file ({', '.join(kinds)})"
        parts.append(f"{files}{_refusal(fault)}")
    return ", ".join(parts)


def _refusal(fault: Fault) -> str:
    if not fault.refused:
        return ""
    some = set(fault.refused) != set(fault.storages)
    return ", refused" + (f" as {' and '.join(fault.refused)}" if some else "")
