"""A model while it is being broken: its weights by name, read when asked for, and what was changed.

    draft = Draft(config, Tensors(names, read), np.random.default_rng(0))
    name = draft.matrix("attn_q")                       # of a seeded layer
    draft.tensors[name] = Trits(-draft.tensors[name].values, ...)
    draft.tensors.edits                                 # only that one

Faults know nothing but this; who injects one carries the changes to an engine's model, a numpy model or a file.
Weights have their GGUF names (`blk.0.attn_q.weight`), rows in Hugging Face's order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.naming import PROJECTIONS
from bitnet_engine.numerics import Numerics
from bitnet_parity.faults.numpy_model import Choices

Tensor = Trits | np.ndarray
"""A ternary matrix, or float32 of any shape."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault was put. `None` where it is in every layer, or in no one tensor."""

    layer: int | None
    operation: str
    """The first operation that gives something else: as `numpy_model` names them, without `blk.N.`; `tokenizer`
    or `file` where no operation of the graph does."""
    tensor: str | None = None
    rows: tuple[int, ...] = ()
    """Rows of the tensor that changed; empty for all of them."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Injected:
    """What was broken: the ground truth that a diagnosis is scored against."""

    fault: str
    layer: int | None
    operation: str
    tensor: str | None
    rows: tuple[int, ...]
    detail: str
    changed: tuple[str, ...]
    """Every weight that was changed, added, removed or stored as another type, by canonical name."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"rows": list(self.rows), "changed": list(self.changed)}


class Tensors:
    """The weights of a model by name, with edits on top; what is not edited stays where it is."""

    def __init__(self, names: Sequence[str], read: Callable[[str], Tensor]) -> None:
        """Take the names of all weights and how one is read."""
        self._names, self._read = tuple(names), read
        self.edits: dict[str, Tensor] = {}
        """What was changed or added, by name."""

    def __contains__(self, name: object) -> bool:
        return name in self.edits or name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._names, *self.edits]))

    def __getitem__(self, name: str) -> Tensor:
        return self.edits[name] if name in self.edits else self._read(name)

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self.edits[name] = tensor

    def trits(self, name: str) -> Trits:
        """Return a ternary matrix; faults ask `Draft.matrix` for the name, which gives no other."""
        tensor = self[name]
        assert isinstance(tensor, Trits)
        return tensor

    def floats(self, name: str) -> np.ndarray:
        """Return a float tensor."""
        tensor = self[name]
        assert isinstance(tensor, np.ndarray)
        return tensor

    def settle(self) -> tuple[str, ...]:
        """Forget the edits that change nothing, and return the names of the others."""
        for name, edit in list(self.edits.items()):
            if name in self._names and same(edit, self._read(name)):
                del self.edits[name]
        return tuple(self.edits)


def same(a: Tensor, b: Tensor) -> bool:
    """Return whether two weights are the same numbers in the same kind of storage."""
    if isinstance(a, Trits) and isinstance(b, Trits):
        return np.array_equal(a.values, b.values) and np.array_equal(a.scale, b.scale)
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b)


@dataclass(eq=False)
class Draft:
    """A model, the seed's choices, and every kind of change that a fault makes."""

    config: Config
    tensors: Tensors
    random: np.random.Generator
    everywhere: bool = False
    """The fault goes into every layer and matrix it fits, as an engine's or a converter's bug does; one of a single
    place by its nature (a swap, a block, the head) stays there."""
    choices: list[Choices] = field(init=False)
    """One a layer, and one for the head; filled from `config`."""
    drops_bos: bool = False
    numerics: Numerics | None = None
    """What the engine is to round by; None leaves it to the model and its choices."""
    types: dict[str, QuantType] = field(default_factory=dict)
    """Storage, in a file, of weights that are not to keep theirs."""

    def __post_init__(self) -> None:
        self.choices = [original(self.config)] * (self.config.layers + 1)

    def layer(self) -> int:
        """Return a seeded layer."""
        return int(self.random.integers(self.config.layers))

    def matrix(self, *parts: str) -> str:
        """Return the name of a ternary matrix, one of `parts` (all where none is named) of a seeded layer.

        Raises:
            SettingError: the model has no such matrix.
        """
        return str(self.random.choice(self._ternary(parts)))

    def matrices(self, *parts: str) -> list[str]:
        """Return one seeded matrix, or every one where the fault goes everywhere; raises as `matrix`."""
        return self._ternary(parts) if self.everywhere else [self.matrix(*parts)]

    def _ternary(self, parts: tuple[str, ...]) -> list[str]:
        wanted = parts or PROJECTIONS
        names = [f"blk.{layer}.{part}.weight" for layer in range(self.config.layers) for part in wanted]
        if any(name not in self.tensors or not isinstance(self.tensors[name], Trits) for name in names[: len(wanted)]):
            raise SettingError(f"The model's {' and '.join(wanted)} are not ternary; choose a fault of another place.")
        return names

    def choose(self, layer: int | None, **changes: Any) -> None:
        """Change what one layer computes, or with None every layer and the head."""
        chosen = range(len(self.choices)) if layer is None else (layer,)
        for index in chosen:
            self.choices[index] = replace(self.choices[index], **changes)


def original(config: Config) -> Choices:
    """Return what the graph of `config` computes."""
    quantiser = "row" if config.activation_quant else "none"
    return Choices(config.activation, config.rms_eps, config.rope_theta, quantiser)


def seeded(name: str, seed: int) -> np.random.Generator:
    """Return the random numbers of one fault and seed; two faults of one seed must not always meet in one place."""
    return np.random.default_rng([crc32(name.encode()), seed])


def split(name: str) -> tuple[int, str]:
    """Return layer and part of `blk.3.attn_q.weight`."""
    _, layer, part, _ = name.split(".")
    return int(layer), part
