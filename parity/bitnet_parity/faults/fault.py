"""What one fault of the library is: a name, what it is known from, and how it is done.

    fault = Fault("scale-lost", "every scale reads as 1", "scale", lost, bugs=(5, 6), fingerprint=GAIN)
    fault.apply(draft)                                  # Place(layer=1, operation="ffn_up", …)

Bug numbers are the rows of docs/formats.md §5; fingerprints are what each looks like from outside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from bitnet_engine.formats import QuantType
from bitnet_parity.faults.draft import Draft, Place

if TYPE_CHECKING:
    from bitnet_parity.faults.rewrite import Rewrite

Kind = Literal["scale", "codes", "weights", "setting", "computation", "tokenizer", "header", "harmless"]
Target = Literal["model", "numpy", "file"]

HF_PACKED, MASTER = QuantType.HF_PACKED, QuantType.F32
I2_S, TQ1_0, TQ2_0 = QuantType.I2_S, QuantType.TQ1_0, QuantType.TQ2_0
GGUF = (I2_S, TQ1_0, TQ2_0)
STORAGES = (*GGUF, HF_PACKED, MASTER)
"""What `inject_file` writes: GGUF in three types, a packed folder, a folder of float32 matrices."""
TWO_BIT = (I2_S, TQ2_0, HF_PACKED)
"""Storages of two bits a weight, which have a fourth code."""

ANYWHERE: frozenset[Target] = frozenset({"model", "numpy", "file"})
MEMORY: frozenset[Target] = frozenset({"model", "numpy"})
NUMPY: frozenset[Target] = frozenset({"numpy"})
FILE: frozenset[Target] = frozenset({"file"})
LOADED: frozenset[Target] = frozenset({"model", "file"})


class Fingerprint(StrEnum):
    """What a fault looks like in the activations, in docs/parity.md's words."""

    IDS = "ids differ"
    GAIN = "cosine 1 and one gain: a scale"
    ROW_GAIN = "a gain for each token: a norm, or its eps"
    SKIPPED = "output = input: skipped"
    PERMUTATION = "the same values in another order: a permutation"
    POSITION = "position 0 exact, growing from there: rope"
    FEW = "few channels or blocks: corruption"
    WHITE = "about 1/254 and white: the activation quantiser"
    FUTURE = "future tokens matter: the mask"
    EMPTY = "independent of the input: an empty kernel"
    NONE = "none of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One known way to break a model, or to change it without harm."""

    name: str
    summary: str
    kind: Kind
    where: str
    """The operation or the part of a file, in words."""
    apply: Callable[[Draft], Place] | None = None
    """None where the fault is in the bytes of a file alone."""
    rewrite: "Callable[[Rewrite], Place] | None" = None
    """What is done to a file beyond what `apply` says."""
    targets: frozenset[Target] = ANYWHERE
    storages: tuple[QuantType, ...] = STORAGES
    """Files that can show it."""
    bugs: tuple[int, ...] = ()
    fingerprint: Fingerprint = Fingerprint.NONE
    refused: tuple[QuantType, ...] = ()
    """Storages whose broken file the engine refuses to load, as it should."""
    whole: bool = False
    """Only everywhere: no engine has it in one layer alone."""

    @property
    def harmless(self) -> bool:
        """Whether a diagnosis that calls it a fault is wrong."""
        return self.kind == "harmless"
