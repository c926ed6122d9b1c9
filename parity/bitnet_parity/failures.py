"""The tokens worth a second look, each a line that says how to make it again.

    log = FailureLog({"run": "…", "corpus_sha256": "…"})
    log.add(row, path=[4088, 17, 23], following=[5], reasons=["top"])
    log.write(folder / "parity_failures.jsonl")

`path` is what both sides were fed: the logits after its last id are the ones compared on `token`. `following` is the
rest of the window: no id of it can be seen by `token`, but a window of another length is computed in another shape, and
rounds otherwise. With the models, the settings and the stamp of the run in each line, `replay` needs nothing else.
Lines wait in a temporary file, up to a fixed number of bytes; what comes after is counted as omitted, never dropped
silently.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bitnet_engine.errors import StorageError
from bitnet_engine.files import atomic_file
from bitnet_parity.profiles import Gates
from bitnet_parity.rows import TokenRow, finite

LIMIT = 64 << 20
"""Bytes of lines a log holds: about ten thousand failures at context 512."""

_IN_MEMORY = 1 << 20


class FailureLog:
    """Failures in the order they were met, the first `limit` bytes of them.

    `identity` names the run, the models and the corpus; it is part of every line.
    """

    def __init__(self, identity: Mapping[str, Any], limit: int = LIMIT) -> None:
        self._identity = dict(identity)
        # A file without a name: whatever ends the process removes it.
        self._lines = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - lives as long as the log
        weakref.finalize(self, self._lines.close)
        self._count, self._room = 0, limit
        self.omitted = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: TokenRow, path: Sequence[int], following: Sequence[int], reasons: Sequence[str]) -> None:
        """Log one token; once a line has not fitted, every later one is omitted too.

        Raises:
            StorageError: the disk of temporary files is full.
        """
        if self.omitted:
            self.omitted += 1
            return
        fields = (
            self._identity
            | row.to_json()
            | {"reasons": list(reasons), "path": list(path), "following": list(following)}
        )
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        self._room -= len(line)
        if self._room < 0:
            self.omitted += 1
            return
        try:
            self._lines.write(line)
        except OSError as error:
            raise StorageError(f"{tempfile.gettempdir()}: failures cannot be kept here: {error.strerror}") from error
        self._count += 1

    def write(self, path: Path) -> None:
        """Write the lines as one file, whole or not at all.

        Raises:
            StorageError: the folder is read-only or the disk is full.
        """
        self._lines.seek(0)
        with atomic_file(path) as stream:
            shutil.copyfileobj(self._lines, stream)


def identity(
    stamp: Mapping[str, Any],
    reference: Mapping[str, Any],
    candidate: Mapping[str, Any],
    settings: Mapping[str, Any],
    corpus_sha256: str,
) -> dict[str, Any]:
    """Return what every line of a run says of it: who was compared, how, on what text and machine.

    A description's `config` stays out: it is large, and the file that it came from is named by its sha256.
    """
    return {
        "run": stamp.get("id"),
        "reference_sha256": reference.get("sha256"),
        "candidate_sha256": candidate.get("sha256"),
        "corpus_sha256": corpus_sha256,
        "reference": _without_config(reference),
        "candidate": _without_config(candidate),
        "settings": dict(settings),
        "stamp": dict(stamp),
    }


def _without_config(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != "config"}


def reasons(row: TokenRow, gates: Gates) -> list[str]:
    """Say why a token is a failure: any of `tau_b`, `top`, `nll`; none for a token that is not one."""
    # Written so that a NaN counts as a failure, which no comparison with it would.
    agrees = {
        "tau_b": row.tau_b >= gates.median_tau_b,
        "top": row.same_top,
        "nll": _nll_agrees(row, gates),
    }
    return [name for name, good in agrees.items() if not good]


def _nll_agrees(row: TokenRow, gates: Gates) -> bool:
    if finite(row.nll_reference) is None or finite(row.nll_candidate) is None:
        return False
    return not gates.exact or row.nll_reference == row.nll_candidate
