"""One failure again, from its line alone: the same numbers, or by how much they differ and in what the machine does.

    line = FailureLine.read(Path("parity_failures.jsonl"), 3)
    replay(line, reference=a, candidate=b, tokenizer=a.tokenizer, stamp=stamp).identical

The whole window of the line is fed again, because a window of another length is computed in another shape and rounds
otherwise. Lines count from 1. Knows no engine: the caller opens the sides that the line names.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bitnet_engine.errors import FormatError, SettingError, StorageError
from bitnet_parity.belief import WORST, Belief
from bitnet_parity.scoring import Scorer
from bitnet_parity.sources import LogitSource, TokenizerSource
from bitnet_parity.stamps import differences

SCHEMA = "bitnet-tui/replay"
SCHEMA_VERSION = 1

_LINE_BYTES = 64 << 20
_KINDS: dict[str, type] = {
    "path": list,
    "following": list,
    "document": str,
    "position": int,
    "settings": dict,
    "stamp": dict,
    "reference": dict,
    "candidate": dict,
}


@dataclass(frozen=True)
class FailureLine:
    """One line of parity_failures.jsonl: `fields` is its JSON, `where` names it in messages."""

    where: str
    fields: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, row: int) -> "FailureLine":
        """Read line `row` of a file of failures, counted from 1.

        Raises:
            SettingError: the file has no such line.
            FormatError: the line is no failure, or one without what a replay needs.
            StorageError: the file cannot be read.
        """
        where = f"{path}: line {row}"
        try:
            value = orjson.loads(_line(path, row))
        except orjson.JSONDecodeError as error:
            raise FormatError(f"{where}: not JSON: {error}; pass a parity_failures.jsonl") from error
        _check(where, value)
        return cls(where, value)

    @property
    def window(self) -> list[int]:
        """The ids that both sides were fed."""
        return [*self.fields["path"], *self.fields["following"]]


@dataclass(frozen=True)
class NumberAgain:
    """One number of the line: as it was, as it is now, and now less then where both exist."""

    name: str
    recorded: Any
    replayed: Any
    difference: float | None


@dataclass(frozen=True)
class Replay:
    """A line measured again. `stamp_differences` is empty on the stamp that the line was written under."""

    line: FailureLine
    numbers: tuple[NumberAgain, ...]
    stamp_differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every number came out bit for bit."""
        return all(number.recorded == number.replayed for number in self.numbers)

    def to_json(self) -> dict[str, Any]:
        """Return the replay as JSON."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "line": self.line.where,
            "document": self.line.fields["document"],
            "position": self.line.fields["position"],
            "identical": self.identical,
            "same_stamp": not self.stamp_differences,
            "stamp_differences": list(self.stamp_differences),
            "numbers": [asdict(number) for number in self.numbers],
        }


def replay(
    line: FailureLine,
    *,
    reference: LogitSource,
    candidate: LogitSource,
    tokenizer: TokenizerSource,
    stamp: Mapping[str, Any],
) -> Replay:
    """Measure the token of `line` again; `tokenizer` is the reference's, `stamp` that of this process.

    Raises:
        BitnetError: a side cannot be run on the window.
    """
    fields, fed = line.fields, len(line.fields["path"])
    settings = fields["settings"]
    belief = Belief(vocab=tokenizer.vocab_size, exact=fields.get("tau_b_error") == 0, seed=settings["seed"])
    # What was estimated is estimated again: with worse values enough, no token is among the worst.
    belief.note(np.full(WORST, -2.0))
    limits = {"context": settings["context"], "top_k": settings["top_k"]}
    scorer = Scorer(reference, candidate, tokenizer, belief=belief, **limits)
    row = scorer.score(fields["document"], fields["position"], line.window, first=fed).rows[0].to_json()
    # Where a token stands in the run is no property of the case.
    found = {name: value for name, value in row.items() if name != "index"}
    numbers = tuple(_again(name, fields.get(name), value) for name, value in found.items())
    there, here = ({k: v for k, v in s.items() if k != "id"} for s in (fields["stamp"], stamp))
    return Replay(line, numbers, tuple(differences(there, here)))


def _again(name: str, recorded: Any, replayed: Any) -> NumberAgain:
    both = [value for value in (recorded, replayed) if isinstance(value, int | float) and not isinstance(value, bool)]
    # Through JSON, as the line went: a tuple is then a list, on both sides.
    plain = orjson.loads(orjson.dumps(replayed))
    return NumberAgain(name, recorded, plain, float(both[1] - both[0]) if len(both) == 2 else None)


def _line(path: Path, row: int) -> bytes:
    try:
        if not path.is_file():
            raise FormatError(f"{path}: no such file, or not a regular one; pass a parity_failures.jsonl")
        with path.open("rb") as stream:
            lines = 0
            while line := stream.readline(_LINE_BYTES):
                lines += 1
                if lines == row:
                    return line
        raise SettingError(f"{path}: has {lines} lines; --row {row} is past its end.")
    except OSError as error:
        raise StorageError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def _check(where: str, value: Any) -> None:
    missing = [
        name for name, kind in _KINDS.items() if not isinstance(value, dict) or type(value.get(name)) is not kind
    ]
    if missing:
        raise FormatError(f"{where}: lacks '{missing[0]}', which a replay needs; make the failures again with parity")
    settings = value["settings"]
    sound = (
        all(type(id) is int and id >= 0 for name in ("path", "following") for id in value[name])
        and value["path"]
        and value["following"]
        and all(type(settings.get(name)) is int for name in ("context", "top_k", "seed"))
        and all(isinstance(value[side].get("path"), str) for side in ("reference", "candidate"))
    )
    if not sound:
        raise FormatError(f"{where}: its path, settings or sides are damaged; make the failures again with parity")
