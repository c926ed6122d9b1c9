"""Metadata with the questions a config asks of it: every refusal names the file and the key.

    keys = Keys(path, {"hidden_size": 2560})
    keys.count("hidden_size")                  # 2560
    keys.require("use_bias", (None, False))    # UnsupportedError for any other value

Knows neither format nor architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitnet_engine.errors import FormatError, UnsupportedError


@dataclass(frozen=True)
class Keys:
    """Metadata with the questions a config asks of it; every refusal names the file and the key."""

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def _get(self, key: str) -> Any:
        if (value := self.values.get(key)) is None:
            raise FormatError(
                f"{self.path}: the metadata has no '{self.prefix}{key}', which the model cannot be run without."
            )
        return value

    def nested(self, key: str) -> "Keys":
        """Return the keys inside `key`; none where it is absent or null."""
        values = self.values.get(key)
        if values is not None and not isinstance(values, Mapping):
            raise FormatError(f"{self.path}: metadata '{key}' is {values!r}; an object was expected.")
        return Keys(self.path, values or {}, f"{key}.")

    def text(self, key: str) -> str:
        """Return a text; a FormatError where there is none, as of the next two."""
        value = self._get(key)
        if not isinstance(value, str):
            raise FormatError(f"{self.path}: metadata '{self.prefix}{key}' is {value!r}; text was expected.")
        return value

    def count(self, key: str, absent: int | None = None) -> int:
        """Return a whole number above 0; `absent` where the key is."""
        if absent is not None and self.values.get(key) is None:
            return absent
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            raise FormatError(
                f"{self.path}: metadata '{self.prefix}{key}' is {value!r}; a whole number from 1 to 2^31 is allowed."
            )
        return value

    def real(self, key: str, absent: float | None = None) -> float:
        """Return a positive number, rounded to float32; `absent` where the key is."""
        value = self._get(key) if absent is None or self.values.get(key) is not None else absent
        # Compared before it is rounded: numpy warns of a number past the largest float32.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1e-30 < value < 1e30:
            raise FormatError(
                f"{self.path}: metadata '{self.prefix}{key}' is {value!r}; a positive number from 1e-30 to 1e30 was "
                f"expected."
            )
        return float(np.float32(value))

    def require(self, key: str, allowed: tuple[Any, ...]) -> None:
        """Refuse the value of `key` unless it is one of those allowed; None stands for absent.

        Raises:
            UnsupportedError: naming the key, its value and what is computed here.
        """
        value = self.values.get(key)
        if value not in allowed:
            raise UnsupportedError(
                f"{self.path}: metadata '{self.prefix}{key}' is {value!r} and changes the computation; "
                f"this engine computes {' or '.join(repr(a) for a in allowed if a is not None) or 'models without it'}."
            )
