"""Which runs are wanted, as one line of text.

    wanted = RunFilter.parse("verdict:fail model:nano since:7d tau<.9 -profile:fp32")
    [run for run in runs if wanted.matches(run, now)]

Terms stand between spaces, and all of them have to hold; a `-` before one turns it round.

| term | holds for a run |
|---|---|
| `word` | with the word in its id, its models, its verdict or its status |
| `verdict:fail` | whose field begins with the word; fields: verdict, status, kind, profile, id |
| `model:nano` | with the word in one of its two paths; `reference:`, `candidate:`: in that one |
| `since:7d` `before:2h` | last written in that time, or before it; m, h, d, w |
| `tau<.9` `tokens>=500` `size>30M` | whose number is so; `<` `<=` `>` `>=`; size in bytes, k, M or G |

Upper and lower case are one. Knows no screen; an error is a sentence, for wherever the line was typed.
"""

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from bitnet_tui.core.session import SettingError
from bitnet_tui.core.store import RunInfo

HELP = "verdict:fail  model:nano  since:7d  tau<.9  tokens>500  size>30M  -status:done  or any word"
"""The grammar by example, in one line."""

_Test = Callable[[RunInfo, float], bool]

_FIELDS: dict[str, Callable[[RunInfo], str | None]] = {
    "verdict": lambda run: run.verdict,
    "status": lambda run: run.status,
    "kind": lambda run: run.kind,
    "profile": lambda run: run.profile,
    "id": lambda run: run.id,
}
_PATHS: dict[str, Callable[[RunInfo], str | None]] = {
    "model": lambda run: f"{run.reference or ''}\n{run.candidate or ''}",
    "reference": lambda run: run.reference,
    "candidate": lambda run: run.candidate,
}
_NUMBERS: dict[str, Callable[[RunInfo], float | None]] = {
    "tau": lambda run: run.tau_median,
    "tokens": lambda run: run.tokens,
    "size": lambda run: run.nbytes,
}
_TIMES = ("since", "before")
_ALL = (*_FIELDS, *_PATHS, *_TIMES, *_NUMBERS)

_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_POWERS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

_TERM = re.compile(r"(?P<field>[a-z]+)(?P<sign>:|<=|>=|<|>)(?P<value>.*)")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)([kmg]?)")


@dataclass(frozen=True)
class RunFilter:
    """The terms of a line; none holds for every run."""

    tests: tuple[_Test, ...]

    @classmethod
    def parse(cls, text: str) -> "RunFilter":
        """Read a line.

        Raises:
            SettingError: a field that there is not, or a value that is not of its kind.
        """
        return cls(tuple(map(_term, text.casefold().split())))

    def matches(self, run: RunInfo, now: float) -> bool:
        """Return whether every term holds for `run` at the time `now`, seconds since the epoch."""
        return all(test(run, now) for test in self.tests)


def _term(text: str) -> _Test:
    if text.startswith("-") and len(text) > 1:
        positive = _term(text[1:])
        return lambda run, now: not positive(run, now)
    match = _TERM.fullmatch(text)
    if match is None:
        return _word(text)
    name, sign, value = match.group("field", "sign", "value")
    if name not in _ALL:
        near = difflib.get_close_matches(name, _ALL, 1, 0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise SettingError(f"filter '{text}': there is no field '{name}'.{hint} Fields: {', '.join(_ALL)}.")
    if not value:
        raise SettingError(f"filter '{text}': a value has to follow.")
    if (sign == ":") == (name in _NUMBERS):
        example = f"{name}<1" if name in _NUMBERS else f"{name}:{'7d' if name in _TIMES else 'x'}"
        raise SettingError(f"filter '{text}': written {example}.")
    return _number(text, name, sign, value) if name in _NUMBERS else _field(text, name, value)


def _word(word: str) -> _Test:
    def test(run: RunInfo, _now: float) -> bool:
        parts = (run.id, run.reference, run.candidate, run.verdict, run.status)
        return any(word in part.casefold() for part in parts if part)

    return test


def _field(text: str, name: str, value: str) -> _Test:
    if name in _TIMES:
        match = _SPAN.fullmatch(value)
        if match is None:
            raise SettingError(f"filter '{text}': a time such as 30m, 2h, 7d or 4w is allowed.")
        span = float(match[1]) * _SECONDS[match[2]]
        return lambda run, now: (now - run.when <= span) == (name == "since")
    if name in _PATHS:
        path = _PATHS[name]
        return lambda run, _now: value in (path(run) or "").casefold()
    read = _FIELDS[name]
    return lambda run, _now: (read(run) or "").casefold().startswith(value)


def _number(text: str, name: str, sign: str, value: str) -> _Test:
    match = _AMOUNT.fullmatch(value)
    if match is None or (match[2] and name != "size"):
        raise SettingError(f"filter '{text}': a number such as {'30M' if name == 'size' else '.9'} is allowed.")
    limit, read, holds = float(match[1]) * _POWERS[match[2]], _NUMBERS[name], _COMPARISONS[sign]

    def test(run: RunInfo, _now: float) -> bool:
        number = read(run)
        return number is not None and holds(number, limit)

    return test
