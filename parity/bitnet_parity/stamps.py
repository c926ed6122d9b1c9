"""In what two stamps, or two JSON values at all, differ.

    list(differences({"threads": 2}, {"threads": 1}))   # ["threads is 2 there and 1 here"]

`there` is what was written, `here` what is found now.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def differences(there: Any, here: Any, where: str = "") -> Iterator[str]:
    """Name each place where two JSON values differ, by its path of keys."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in {**there, **here}:
            yield from differences(there.get(key), here.get(key), f"{where}.{key}" if where else str(key))
    elif there != here:
        yield f"{where} is {there!r} there and {here!r} here"
