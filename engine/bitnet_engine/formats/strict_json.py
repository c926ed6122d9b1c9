"""JSON as strict as the data deserves: what two parsers could read in two ways is refused.

    value, repeated = parse_object(data, path, last_wins=("quantization_config",))

Refused: repeated keys, NaN and infinity, numbers beyond 64 bits, a byte order mark, other than UTF-8, lone
surrogates, endless nesting. `json` alone accepts all of them but the last. Knows nothing of models.
"""

import json
import math
from pathlib import Path
from typing import Any

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.types import DEFAULT_LIMITS, quoted, raised_by

_LARGEST_INT = 2**64 - 1


class _Refusal(ValueError):
    """What a hook of the parser found; becomes a FormatError with the file's name."""


def parse_object(
    data: bytes,
    path: Path,
    *,
    where: str = "JSON",
    last_wins: tuple[str, ...] = (),
    values: int = DEFAULT_LIMITS.json_values,
) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON object in `data`, and the keys of `last_wins` that it held twice.

    Raises:
        FormatError: `data` is not one strict JSON object, or may hold more than `values` values.
    """
    # Counted before parsing: a parsed value costs up to thirty times its bytes.
    if data.count(b",") + data.count(b"[") + data.count(b"{") > values:
        raise FormatError(f"{path}: {where} holds more than {values} values; {raised_by('json_values')}")
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            _check_repeats(items, last_wins, repeated)
        return result

    try:
        text = data.decode()
        value = json.loads(
            text, object_pairs_hook=pairs, parse_constant=_no_constant, parse_int=_int, parse_float=_float
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise FormatError(f"{path}: {where} is nested too deeply; no model file needs that") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: {where} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except UnicodeEncodeError as error:
        raise FormatError(f"{path}: {where} holds half of a surrogate pair; write the character whole") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{path}: {where} is broken at character {error.pos}: {error.msg}") from error
    except _Refusal as error:
        raise FormatError(f"{path}: {where} {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: {where} is {_kind(value)}; an object {{...}} was expected")
    return value, repeated


def _check_repeats(items: list[tuple[str, Any]], last_wins: tuple[str, ...], repeated: list[str]) -> None:
    seen: set[str] = set()
    for key, _ in items:
        if key in seen and key not in last_wins:
            raise _Refusal(f"holds the key {quoted(key)} twice; keep one")
        if key in seen:
            repeated.append(key)
        seen.add(key)


def _no_constant(text: str) -> float:
    raise _Refusal(f"holds {text}, which is not JSON; write a number or null")


def _int(text: str) -> int:
    value = int(text) if len(text) <= 20 else None
    if value is None or not -(2**63) <= value <= _LARGEST_INT:
        raise _Refusal(f"holds an integer of {len(text)} digits; 64 bits are allowed")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refusal(f"holds {quoted(text)}, past the largest 64-bit float")
    return value


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
