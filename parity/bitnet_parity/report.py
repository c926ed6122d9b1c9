"""The artifact of a comparison: numbers, and one judgement of them.

    report.export(Path("runs/1"))                       # report.json and parity_failures.jsonl
    again = Report.load(Path("runs/1/report.json"))
    again.judge(Gates.profile("fp32")).verdict          # other limits, the same numbers

Everything that a gate looks at is in the JSON, so a stored report can be judged again. Knows no model.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bitnet_engine.errors import FormatError, StorageError
from bitnet_engine.files import write_atomic
from bitnet_parity.exporting import SUFFIXES, export
from bitnet_parity.failures import FailureLog
from bitnet_parity.floor import Floor
from bitnet_parity.gates import GateResult, Judgement, Numbers, Verdict, judge
from bitnet_parity.profiles import Gates
from bitnet_parity.rows import DocumentRow
from bitnet_parity.tokenization import TokenizerDifference, TokenizerParity
from bitnet_parity.weights import WeightsParity

SCHEMA = "bitnet-tui/parity-report"
SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Report:
    """What was compared, what was measured, and the verdict under the gates of the run.

    `stamp`, `reference` and `candidate` are the caller's words about the machine and the two models; `settings`
    are context, top_k, max_tokens, exact, seed and floor_documents; `corpus` is name, sha256, documents and
    tokens; `floor` is None where the run was told to measure none, `weights` where a side has none that could be
    compared; `metrics` is laid out as `Tally.summary`
    says. All of them JSON-ready.
    """

    stamp: Mapping[str, Any]
    reference: Mapping[str, Any]
    candidate: Mapping[str, Any]
    settings: Mapping[str, Any]
    corpus: Mapping[str, Any]
    tokenizer: TokenizerParity
    floor: Floor | None
    metrics: Mapping[str, Any]
    documents: tuple[DocumentRow, ...]
    failures: int
    failures_omitted: int
    judgement: Judgement
    weights: WeightsParity | None = None
    failure_log: FailureLog | None = field(default=None, compare=False, repr=False)

    def numbers(self) -> Numbers:
        """Return what gates look at."""
        return gather(self.tokenizer, self.floor, self.metrics, self.documents, self.weights)

    def judge(self, gates: Gates) -> Judgement:
        """Judge the stored numbers by `gates`."""
        return judge(self.numbers(), gates)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON: no NaN, null for what is missing."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "stamp": dict(self.stamp),
            "reference": dict(self.reference),
            "candidate": dict(self.candidate),
            "settings": dict(self.settings),
            "corpus": dict(self.corpus),
            "tokenizer": self.tokenizer.to_json(),
            "weights": None if self.weights is None else self.weights.to_json(),
            "floor": None if self.floor is None else self.floor.to_json(),
            "metrics": dict(self.metrics),
            "documents": [row.to_json() for row in self.documents],
            "failures": self.failures,
            "failures_omitted": self.failures_omitted,
            "judgement": self.judgement.to_json(),
        }

    def export(self, folder: Path) -> list[Path]:
        """Write report.json into `folder`, and parity_failures.jsonl where this run has logged them.

        A report that was loaded carries no failures and leaves that file alone. Returns the paths.
        A path that ends in .json, .jsonl, .csv, .md or .html is that one file instead, in that format.

        Raises:
            StorageError: the folder cannot be made or written to.
        """
        if folder.suffix in SUFFIXES:
            export(self.to_json(), folder)
            return [folder]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder}: cannot make the folder: {error.strerror}") from error
        written = []
        if self.failure_log is not None:
            written.append(folder / "parity_failures.jsonl")
            self.failure_log.write(written[-1])
        written.append(folder / "report.json")
        # Last: a report that is there has its failures beside it.
        write_atomic(written[-1], orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return written

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Report":
        """Read a report.json.

        Raises:
            StorageError: the file cannot be read.
            FormatError: there is none, or not of this schema version, or a field is missing.
        """
        path = Path(path)
        try:
            if not path.is_file():  # a pipe would never end
                what = "is no regular file" if path.exists() else "no such file"
                raise FormatError(f"{path}: {what}; pass a report.json")
            value = orjson.loads(path.read_bytes())
        except OSError as error:
            raise StorageError(f"{path}: cannot read: {error.strerror}") from error
        except orjson.JSONDecodeError as error:
            raise FormatError(f"{path}: not JSON at byte {error.pos}: {error.msg}; pass a report.json") from error
        return cls.from_json(value, path)

    @classmethod
    def from_json(cls, value: Any, path: Path) -> "Report":
        """Return the report that `to_json` wrote, as it was found at `path`. Raises FormatError as `load`."""
        _check_schema(path, value)
        try:
            report = _from_json(value)
            report.to_json()  # what cannot be written again is damaged too: a rate of no strings, say
            report.numbers()  # or judged again
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise FormatError(f"{path}: a damaged parity report: {error!r}; make it again") from error
        return report


def gather(
    tokenizer: TokenizerParity,
    floor: Floor | None,
    metrics: Mapping[str, Any],
    documents: tuple[DocumentRow, ...],
    weights: WeightsParity | None,
) -> Numbers:
    """Gather what gates look at from the parts of a report."""
    tau_b = metrics["tau_b"]
    return Numbers(
        strings=tokenizer.strings,
        strings_equal=tokenizer.equal,
        tokens=metrics["tokens"],
        tau_b_median=_number(tau_b["median"]),
        tau_b_undefined=tau_b["undefined"],
        tau_b_not_one=tau_b["not_one"],
        tau_b_estimated=tau_b["estimated"],
        tau_b_error=_number(tau_b["error"]),
        floor_tau_b=math.nan if floor is None else floor.tau_b,
        floor_delta_mean_nll=math.nan if floor is None else floor.delta_mean_nll,
        nll_undefined=metrics["nll_undefined"],
        nll_unequal=metrics["nll_unequal"],
        nll_reference=[row.nll_reference for row in documents],
        nll_candidate=[row.nll_candidate for row in documents],
        counts=[row.tokens for row in documents],
        weights=weights,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _check_schema(path: Path, value: Any) -> None:
    found = value.get("schema") if isinstance(value, dict) else None
    if found != SCHEMA:
        raise FormatError(f"{path}: not a parity report: schema is {found!r}, '{SCHEMA}' is needed; pass a report.json")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(
            f"{path}: schema_version is {value.get('schema_version')!r}, this program reads "
            f"{SCHEMA_VERSION}; "
            "use the version of the program that wrote it"
        )


def _from_json(value: Mapping[str, Any]) -> Report:
    copied = (
        "stamp",
        "reference",
        "candidate",
        "settings",
        "corpus",
        "metrics",
        "failures",
        "failures_omitted",
    )
    objects = ("stamp", "reference", "candidate", "settings", "corpus", "metrics")
    if bad := [name for name in objects if not isinstance(value[name], Mapping)]:
        raise TypeError(f"{bad[0]} is no object")
    return Report(
        **{name: value[name] for name in copied},
        tokenizer=_tokenizer(value["tokenizer"]),
        weights=None if value["weights"] is None else WeightsParity.from_json(value["weights"]),
        floor=None if value["floor"] is None else Floor.from_json(value["floor"]),
        documents=tuple(_document(row) for row in value["documents"]),
        judgement=_judgement(value["judgement"]),
    )


def _tokenizer(value: Mapping[str, Any]) -> TokenizerParity:
    found = value["first_difference"]
    if found is not None:
        ids = {name: tuple(found[name]) for name in ("ids_reference", "ids_candidate")}
        found = TokenizerDifference(**(found | ids))
    return TokenizerParity(value["strings"], value["equal"], found)


def _document(row: Mapping[str, Any]) -> DocumentRow:
    return DocumentRow(row["name"], row["tokens"], _number(row["nll_reference"]), _number(row["nll_candidate"]))


def _judgement(value: Mapping[str, Any]) -> Judgement:
    gates = tuple(
        GateResult(g["gate"], Verdict(g["status"]), _number(g["value"]), g["limit"], g["detail"])
        for g in value["gates"]
    )
    return Judgement(value["profile"], Verdict(value["verdict"]), gates)
