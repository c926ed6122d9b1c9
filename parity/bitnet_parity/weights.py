"""Are the stored weights still the same? Trits, scales, norms and embeddings of two files, tensor by tensor.

    for step in weights_steps(reference, candidate):    # two open checkpoints of bitnet_engine
        ...                                             # (tensor, index, count); the WeightsParity last
    found.differing[0]                                  # TensorParity("blk.3.attn_q.weight", "ternary", 1.0, 0.5, …)

Logits cannot see all of it: a sub norm takes out whatever factor a matrix before it has (docs/formats.md §4.4). So
files are compared as they are stored, and no model is run. Knows no limit; memory is one matrix a side.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bitnet_engine.formats import Checkpoint
from bitnet_engine.tensor_diff import TensorDiff, compare
from bitnet_parity.rows import finite

Kind = Literal["ternary", "vector", "table", "missing"]


@dataclass(frozen=True)
class TensorParity:
    """A tensor that is not the same on both sides.

    | kind | what it is | error |
    |---|---|---|
    | ternary | a matrix of trits on one side at least | of its scale, relative to the reference's |
    | vector | a norm's gain, a bias | largest difference, relative to the reference's largest magnitude |
    | table | an embedding, a head, a dense matrix | the same |
    | missing | held by one file alone; `note` says which lacks it | none |

    `trits` is the share of equal trits, None of what has none. `error` is None where there is none: other shapes, a
    reference of zeros, values that are not finite.
    """

    name: str
    kind: Kind
    trits: float | None
    error: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class WeightsParity:
    """How many tensors two files hold between them, and those that differ at all, in the order of the graph."""

    tensors: int
    differing: tuple[TensorParity, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {"tensors": self.tensors, "differing": [tensor.to_json() for tensor in self.differing]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "WeightsParity":
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError where a field is missing or foreign."""
        found = tuple(TensorParity(**row) for row in value["differing"])
        numbers = [number for row in found for number in (row.trits, row.error) if number is not None]
        if type(value["tensors"]) is not int or len(found) > value["tensors"] or not all(map(math.isfinite, numbers)):
            raise ValueError("the weights that were compared are damaged")
        return cls(value["tensors"], found)


def weights_steps(reference: Checkpoint, candidate: Checkpoint) -> Iterator[tuple[str, int, int] | WeightsParity]:
    """Compare two open checkpoints, as they are read: (tensor, index from 1, count) before each, the result last.

    Raises:
        FormatError: code 3, a scale that is missing or not finite, or one weight in two spellings.
        UnsupportedError: a type that is not decoded here.
        StorageError: a file changed, or cannot be read.
    """
    from bitnet_engine.diffing import side, weight_pairs  # brings tokenizers, which a report does without

    pairs, *alone = weight_pairs(reference, candidate)
    differing = []
    for index, (name, first, second) in enumerate(pairs, 1):
        yield name, index, len(pairs)
        found = compare(name, side(reference, name, first), side(candidate, name, second))
        if not found.equal:
            differing.append(_tensor(found))
    lacking = zip(("the candidate lacks it", "the reference lacks it"), alone, strict=True)
    missing = [TensorParity(name, "missing", None, None, note) for note, names in lacking for name in names]
    yield WeightsParity(len(pairs) + len(missing), (*differing, *missing))


def _tensor(found: TensorDiff) -> TensorParity:
    if not found.ternary:
        kind: Kind = "vector" if len(found.reference_shape) < 2 else "table"
        return TensorParity(found.name, kind, None, finite(found.max_rel), found.note)
    trits = None
    if found.different is not None:
        trits = 1.0 - found.different / math.prod(found.reference_shape)
    return TensorParity(found.name, "ternary", trits, _scale_error(found), found.note)


def _scale_error(found: TensorDiff) -> float | None:
    """Return |candidate's scale ÷ reference's − 1|; of matrices with several, the largest difference of a weight."""
    scales = found.reference_scale, found.candidate_scale
    if scales[0] is None or scales[1] is None:
        return finite(found.max_rel)
    return abs(scales[1] / scales[0] - 1.0) if scales[0] else None
