"""The limits of a judgement: named profiles, and profiles that users write in TOML.

    Gates.named("quantized")                            # one of PROFILES
    Gates.named("limits/strict.toml")                   # a file: see `read_profile`

Knows no number that was measured, but for how limits give way to the noise floor.
"""

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bitnet_engine.errors import SettingError, StorageError


@dataclass(frozen=True)
class Gates:
    """The limits of one profile (docs/parity.md §1).

    `exact` asks for tau_b = 1 and equal nll on every single token, not in the median and the mean.
    """

    name: str
    tokenizer_rate: float
    """Least share of strings with the same ids."""
    tokenizer_rate_excluded: bool
    """Whether the rate has to be over `tokenizer_rate`, not just at it."""
    median_tau_b: float
    """Least median over tokens."""
    delta_mean_nll: float
    """Largest |Δ mean nll|, nats/token."""
    exact: bool
    floor_factor: float
    """How many times the noise floor the two limits above are at least; 0 takes them as they are."""
    weights: bool
    """Whether stored weights are judged, where both sides are files, by the limits below."""
    trit_rate: float
    """Least share of equal trits in a matrix."""
    scale_error: float
    """Largest relative difference of a matrix's scale."""
    norm_error: float
    """Largest difference in a norm or a bias, relative to its largest magnitude."""
    table_error: float
    """The same of an embedding, a head or a dense matrix."""

    @classmethod
    def profile(cls, name: str) -> "Gates":
        """Return the gates of the profile `name`.

        Raises:
            SettingError: no such profile.
        """
        if name not in PROFILES:
            raise SettingError(
                f"profile '{name}' is not known; choose one of {', '.join(PROFILES)}, or pass a .toml file"
            )
        return cls(name, **PROFILES[name])

    @classmethod
    def named(cls, name: str) -> "Gates":
        """Return the gates of a profile, or of a file where `name` ends in `.toml`.

        Raises:
            SettingError: no such profile, or a file whose content is not one.
            StorageError: the file cannot be read.
        """
        return read_profile(Path(name)) if name.endswith(".toml") else cls.profile(name)

    def over_floor(self, tau_b: float, delta_mean_nll: float) -> "Gates":
        """Return these gates with no limit finer than `floor_factor` × the noise floor.

        What is not finite is no floor: a reference without a value of its own excuses nothing.
        """
        tau_limit = 1.0 - self.floor_factor * (1.0 - tau_b)
        nll_limit = self.floor_factor * delta_mean_nll
        return replace(
            self,
            median_tau_b=min(self.median_tau_b, tau_limit) if math.isfinite(tau_limit) else self.median_tau_b,
            delta_mean_nll=max(self.delta_mean_nll, nll_limit) if math.isfinite(nll_limit) else self.delta_mean_nll,
        )


BF16_SCALE = 2.0**-8
"""Scales, and gains, that were rounded to bfloat16 are this near; one that is wrong never is (docs/formats.md §5)."""

# An embedding of four bits is within a tenth of its largest number.
_STORED = {"trit_rate": 1.0, "scale_error": BF16_SCALE, "norm_error": BF16_SCALE, "table_error": 0.1}

PROFILES: dict[str, dict[str, Any]] = {
    "lossless": {
        "tokenizer_rate": 1.0,
        "tokenizer_rate_excluded": False,
        "median_tau_b": 1.0,
        "delta_mean_nll": 0.0,
        "exact": True,
        "floor_factor": 0.0,
        "weights": True,
        "trit_rate": 1.0,
        "scale_error": 0.0,
        "norm_error": 0.0,
        "table_error": 0.0,
    },
    "nightly": {
        "tokenizer_rate": 1.0,
        "tokenizer_rate_excluded": False,
        "median_tau_b": 0.99,
        "delta_mean_nll": 2e-3,
        "exact": False,
        "floor_factor": 2.0,
        "weights": True,
        "trit_rate": 1.0,
        "scale_error": BF16_SCALE,
        "norm_error": BF16_SCALE,
        "table_error": BF16_SCALE,
    },
    "fp32": {
        "tokenizer_rate": 1.0,
        "tokenizer_rate_excluded": False,
        "median_tau_b": 0.95,
        "delta_mean_nll": 1e-2,
        "exact": False,
        "floor_factor": 2.0,
        "weights": False,
        **_STORED,
    },
    "quantized": {
        "tokenizer_rate": 0.95,
        "tokenizer_rate_excluded": True,
        "median_tau_b": 0.60,
        "delta_mean_nll": 2e-2,
        "exact": False,
        "floor_factor": 2.0,
        "weights": True,
        **_STORED,
    },
}

# Least and largest value of each number a file may set.
_RANGES = {
    "tokenizer_rate": (0.0, 1.0),
    "median_tau_b": (-1.0, 1.0),
    "delta_mean_nll": (0.0, math.inf),
    "floor_factor": (0.0, math.inf),
    "trit_rate": (0.0, 1.0),
    "scale_error": (0.0, math.inf),
    "norm_error": (0.0, math.inf),
    "table_error": (0.0, math.inf),
}
_SETTABLE = tuple(field.name for field in fields(Gates) if field.name != "name")
_KEYS = ("name", "base", *_SETTABLE)


def read_profile(path: Path) -> Gates:
    """Read a profile from a TOML file.

        name = "house"              # default: the name of the file
        base = "fp32"               # a profile whose limits hold where the file sets none
        median_tau_b = 0.97

    Without `base` every limit has to be there: nothing is taken for granted. A key that is none is refused.

    Raises:
        SettingError: not TOML, an unknown key, a value of another type or out of range, a limit that is missing.
        StorageError: the file cannot be read.
    """
    try:
        values = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise StorageError(f"{path}: cannot read the profile: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise SettingError(f"{path}: not TOML: {error}") from error
    for key in values:
        if key not in _KEYS:
            raise SettingError(f"{path}: '{key}' is no key of a profile; {_nearest(key)}")
    name, base = (_text(path, values, key) for key in ("name", "base"))
    limits = {} if base is None else _limits_of(path, base)
    limits |= {key: _checked(path, key, values[key]) for key in _SETTABLE if key in values}
    if missing := [key for key in _SETTABLE if key not in limits]:
        raise SettingError(
            f'{path}: {", ".join(missing)} missing; set them, or name a profile to take them from: base = "fp32"'
        )
    return Gates(name or path.stem, **limits)


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_KEYS)}"


def _text(path: Path, values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise SettingError(f"{path}: {key} is {value!r}; a text is needed")
    return value


def _limits_of(path: Path, base: str) -> dict[str, Any]:
    if base not in PROFILES:
        raise SettingError(f"{path}: base '{base}' is no profile; choose one of {', '.join(PROFILES)}")
    return dict(PROFILES[base])


def _checked(path: Path, key: str, value: Any) -> float | bool:
    if key not in _RANGES:
        if not isinstance(value, bool):
            raise SettingError(f"{path}: {key} is {value!r}; true or false is needed")
        return value
    low, high = _RANGES[key]
    # bool is an int to Python; NaN compares with nothing.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or math.isinf(value):
        limits = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise SettingError(f"{path}: {key} is {value!r}; a number is needed, {limits}")
    return float(value)
