"""The limits of headers that are in force in this process: the defaults, but for what the environment raises.

    BITNET_LIMITS=header_bytes=1073741824,tensors=400000
    in_force().tensors                  # 400000

`bitnet-tui --limit tensors=400000` sets the variable, so that its workers have it too. A caller of the library may pass
`Limits` of its own instead. Reads no file.
"""

import difflib
import os
from dataclasses import fields, replace

from bitnet_engine.errors import SettingError
from bitnet_engine.formats.types import DEFAULT_LIMITS, Limits

VARIABLE = "BITNET_LIMITS"
MOST = 2**60
"""The largest value of a limit: no file is longer, and no count in one larger."""

_NAMES = tuple(field.name for field in fields(Limits))


def in_force() -> Limits:
    """Return the limits of this process.

    Raises:
        SettingError: the variable is not what `parse` takes.
    """
    text = os.environ.get(VARIABLE, "")
    return replace(DEFAULT_LIMITS, **parse(text, VARIABLE)) if text else DEFAULT_LIMITS


def parse(text: str, where: str) -> dict[str, int]:
    """Return the limits that `text` names, as NAME=N with commas between them; `where` is who says so, for messages.

    Raises:
        SettingError: an unknown name, or a value that is no whole number from 1 to MOST.
    """
    found = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_NAMES)}"
            raise SettingError(f"{where}: {name[:40]!r} is no limit; {hint}")
        # isdecimal alone takes Arabic digits too, and int() reads thousands of digits slowly.
        if not (value.isascii() and value.isdecimal() and len(value) <= 19 and 1 <= int(value) <= MOST):
            raise SettingError(f"{where}: {name}={value[:40]!r}: a whole number from 1 to {MOST} is allowed")
        found[name] = int(value)
    return found
