"""The model that is converted: its tensors by the name of their part, and what was lost in writing them.

    source = Source(checkpoint, allow_lossy=False)
    trits = source.trits("blk.0.attn_q.weight", QuantType.F16)      # scales as float16 will hold them

All in Hugging Face's order of rows. Knows what the model's graph needs and refuses a file with more or less; writes
nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from bitnet_engine.config import Config, states_activation_quant
from bitnet_engine.diffing import weight_names
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint, QuantType, Trits
from bitnet_engine.formats.floats import WIDTHS, encode, rounded
from bitnet_engine.formats.ternary import ROW_MULTIPLE
from bitnet_engine.masters import ternarise, ternary_blocks
from bitnet_engine.matrices import check_shape, hf_order, is_factor, is_paired, read_finite, read_matrix, reordered
from bitnet_engine.naming import is_projection, scale_of

TOP = ("token_embd", "output_norm", "output")
PIECE = 1 << 21
"""Floats in memory at a time."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How far the numbers of one tensor were moved, because the user allowed it."""

    tensor: str
    """Its canonical name."""
    what: str
    max_abs: float
    max_rel: float
    """max_abs over the largest magnitude of the tensor."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Source:
    """The weights of a checkpoint that holds a ternary model, by canonical name."""

    def __init__(self, checkpoint: Checkpoint, *, allow_lossy: bool) -> None:
        """Check that the model has all that the graph needs and nothing else.

        Raises:
            UnsupportedError: the graph is not converted here, or a tensor has no place in it.
            FormatError: the metadata is damaged.
        """
        self.checkpoint, self.allow_lossy = checkpoint, allow_lossy
        self.config = Config.from_checkpoint(checkpoint)
        self.losses: dict[str, Loss] = {}
        names = weight_names(checkpoint).items()
        self._stored = {name: stored for name, stored in names if not is_factor(checkpoint, stored)}
        parts = self.config.block_shapes()
        body = [f"blk.{layer}.{part}.weight" for layer in range(self.config.layers) for part in parts]
        top = [f"{part}.weight" for part in TOP if part != "output" or "output.weight" in self._stored]
        self.names = [*top, *body]
        """Canonical names of all weights, in the order of the graph."""
        tied = checkpoint.format == "gguf" or checkpoint.metadata.get("tie_word_embeddings") is True
        if not tied and "output.weight" not in self._stored:
            raise FormatError(
                f"{checkpoint.path}: config.json does not tie the word embeddings, and there is no lm_head. "
                f"Converted without it the model would be a tied one."
            )
        if missing := [name for name in self.names if name not in self._stored]:
            raise UnsupportedError(
                f"{checkpoint.path}: there is no tensor '{missing[0]}' (by its GGUF name), which the model's graph "
                f"needs; a model without it is not converted."
            )
        if extra := sorted(self._stored.keys() - set(self.names)):
            raise UnsupportedError(
                f"{checkpoint.path}: tensor '{self._stored[extra[0]]}' has no place in the model's graph"
                + (f" (nor have {len(extra) - 1} others)" if len(extra) > 1 else "")
                + "; without it the model would be another."
            )

        self._check_shapes()
        self._check_doubles()

    def _check_doubles(self) -> None:
        """Refuse float64 numbers that are no float32: all that is written goes through float32."""
        for name in self.names:
            if self.type(name) is QuantType.F64:
                for piece in self.checkpoint.pieces(self._stored[name]):
                    values = np.frombuffer(piece, "<f8")
                    with np.errstate(over="ignore"):
                        kept = values.astype(np.float32)
                    if not np.array_equal(kept, values, equal_nan=True):
                        raise UnsupportedError(
                            f"{self.checkpoint.path}: tensor '{self._stored[name]}' is F64 with numbers that float32 "
                            f"would round; store it as F32 first."
                        )

    def _check_shapes(self) -> None:
        c, parts = self.config, self.config.block_shapes()
        top: dict[str, tuple[int, ...]] = dict.fromkeys(("token_embd", "output"), (c.vocab, c.embed))
        expected = {**top, "output_norm": (c.embed,), **parts}
        for name in self.names:
            check_shape(self.checkpoint, self._stored[name], expected[name.split(".")[-2]])

    def stored(self, name: str) -> str:
        """Return how the checkpoint spells the weight `name`."""
        return self._stored[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the logical shape of the weight `name`."""
        return self.checkpoint.info(self._stored[name]).shape

    def type(self, name: str) -> QuantType:
        """Return how the source stores the weight `name`."""
        return self.checkpoint.info(self._stored[name]).type

    def check_rows(self, quant_type: QuantType) -> None:
        """Refuse a shape that `quant_type` cannot hold, before anything is written.

        Raises:
            UnsupportedError: naming the tensor and the rule.
        """
        axis, multiple = (0, 4) if quant_type is QuantType.HF_PACKED else (1, ROW_MULTIPLE.get(quant_type, 1))
        for name in filter(is_projection, self.names):
            shape = self.shape(name)
            if len(shape) != 2 or shape[axis] % multiple:
                raise UnsupportedError(
                    f"{self.checkpoint.path}: tensor '{self._stored[name]}' is {list(shape)}; {quant_type} needs "
                    f"{'a number of rows' if axis == 0 else 'rows of a length'} divisible by {multiple}."
                )

    def trits(self, name: str, scale_type: QuantType = QuantType.F32) -> Trits:
        """Return trits and the scales that a target with scales of `scale_type` will hold.

        Raises:
            UnsupportedError: a matrix that is not ternary, a block type that only approximates trits, or a scale that
                `scale_type` would round while nothing may be lost.
            FormatError: bad trits, or floats that are not finite.
        """
        trits = self._trits(name)
        kept = rounded(trits.scale, scale_type).reshape(trits.scale.shape)
        if (lost := ~np.isfinite(kept) | ((kept == 0) & (trits.scale != 0))).any():
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' has the scale {trits.scale[lost].flat[0]:.9g}, "
                f"which is out of {_SPOKEN[scale_type]}'s range; choose a type with scales in float32."
            )
        apart = np.abs(kept - trits.scale)
        if (farthest := float(apart.max())) > 0:
            example = np.unravel_index(apart.argmax(), apart.shape)
            self._lose(
                name,
                f"has the scale {trits.scale[example]:.9g}, which {_SPOKEN[scale_type]} makes {kept[example]:.9g}",
                farthest,
                float(np.abs(trits.scale).max()),
            )
        return Trits(trits.values, kept)

    def _trits(self, name: str) -> Trits:
        stored, kind = self._stored[name], self.type(name)
        if not self.checkpoint.is_ternary(stored) and kind not in WIDTHS:
            raise self._rounded_away(name)
        trits = read_matrix(self.checkpoint, stored, master=self.config.activation_quant)
        if isinstance(trits, np.ndarray):
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{stored}' is floats that are not trits times a few scales; a model "
                f"that was not trained ternary is not made so here."
            )
        part, rows = name.split(".")[-2], len(trits.values)
        paired = is_paired(self.checkpoint, part)
        trits = reordered(trits, hf_order(rows, rows // self.config.head_dim)) if paired else trits
        if (uniform := trits.uniform_scale()) is not None:
            return Trits(trits.values, np.asarray(uniform, np.float32))
        if self.config.activation_quant and states_activation_quant(self.checkpoint):
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{stored}' has several scales; models whose activations are int8 have "
                f"one a matrix. Convert from the model's original."
            )
        return trits

    def matrix(self, name: str, kind: QuantType) -> np.ndarray:
        """Return the matrix `name`, float32 `[out, in]`, as a target that stores it as `kind` will hold it.

        Trits become trits times scale; floats are carried, a master's because its trits are made of them.

        Raises:
            UnsupportedError: `kind` would round it while nothing may be lost, or would make another model of a master.
            FormatError: bad trits, or floats that are not finite.
        """
        stored = self._stored[name]
        if self.checkpoint.is_ternary(stored):
            return self._multiplied(name, kind)
        if self.config.activation_quant and self.type(name) not in WIDTHS:
            raise self._rounded_away(name)
        if scale_of(stored) in self.checkpoint.tensors:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{stored}' is floats beside a factor, '{scale_of(stored)}', and a "
                f"matrix of floats is carried as it is. Convert to a ternary type first."
            )
        values, part = read_finite(self.checkpoint, stored), name.split(".")[-2]
        if self.is_master(values):
            self._check_master(name, values, kind)
        if is_paired(self.checkpoint, part):
            values = values[hf_order(len(values), len(values) // self.config.head_dim)]
        kept = self._reached(name, values, kind)
        self._measure(name, float(np.abs(kept - values).max()), float(np.abs(values).max()), kind)
        return kept

    def is_master(self, values: np.ndarray) -> bool:
        """Return whether the floats `[out, in]` of a matrix are ternarised whenever the model is run."""
        return self.config.activation_quant and ternary_blocks(values) is None

    def _multiplied(self, name: str, kind: QuantType) -> np.ndarray:
        trits = self.trits(name, kind)
        if trits.scale.ndim and self.config.activation_quant:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' has several scales, and the file does not say "
                f"that the model runs without int8 activations; floats would not show it. Convert from the original."
            )
        if (unsaid := trits.scale[trits.scale <= 0]).size and trits.values.any():
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' has the scale {unsaid.flat[0]:.9g}; read back "
                f"from floats it would be trits of the other sign, or none. Convert to a ternary type."
            )
        return trits.dense()

    def _check_master(self, name: str, values: np.ndarray, kind: QuantType) -> None:
        """Refuse a type in which the ternarised master would be another matrix, whatever may be lost."""
        stored = self.type(name)
        # The scale that absmean gives is rounded to the type of the master, so that a wider type moves it too.
        same = ternarise(values, stored)[1] == ternarise(values, kind)[1]
        if not (same and np.array_equal(rounded(values, kind), values)):
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' is a master in {stored}; as {kind} it would be "
                f"ternarised to other numbers. Convert to {stored}, or to a ternary type."
            )

    def one_scale(self, name: str, trits: Trits, target: QuantType) -> float:
        """Return the one scale of a matrix.

        Raises:
            UnsupportedError: it has several, and `target` holds one a matrix.
        """
        if (scale := trits.uniform_scale()) is None:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' has several scales; {target} holds one a "
                f"matrix. TQ1_0 and TQ2_0 hold one for each 256 of a row."
            )
        return scale

    def floats(self, name: str) -> Iterator[np.ndarray]:
        """Yield the float tensor `name` in pieces of whole rows, float32."""
        stored, shape = self._stored[name], self.shape(name)
        if len(shape) < 2:
            yield self._finite(stored, self.checkpoint.read_dense(stored))
            return
        step = max(1, PIECE // max(1, prod(shape[1:])))
        for start in range(0, shape[0], step):
            yield self._finite(stored, self.checkpoint.read_rows(stored, start, min(start + step, shape[0])))

    def encoded(self, name: str, kind: QuantType) -> Iterator[bytes]:
        """Yield the float tensor `name` in pieces as `kind`.

        Raises:
            UnsupportedError: `kind` would round it while nothing may be lost, or cannot reach its numbers at all.
        """
        farthest = largest = 0.0
        for values in self.floats(name):
            kept = self._reached(name, values, kind)
            farthest = max(farthest, float(np.abs(kept - values).max(initial=0)))
            largest = max(largest, float(np.abs(values).max(initial=0)))
            yield encode(values, kind)
        self._measure(name, farthest, largest, kind)

    def _reached(self, name: str, values: np.ndarray, kind: QuantType) -> np.ndarray:
        """Return float32 `values` as `kind` holds them."""
        kept = rounded(values, kind)
        if not np.isfinite(kept).all():
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' reaches {np.abs(values).max():.4g}; "
                f"{kind} ends before that."
            )
        return kept

    def _measure(self, name: str, farthest: float, largest: float, kind: QuantType) -> None:
        if farthest:
            self._lose(name, f"is not exact in {_SPOKEN[kind]}", farthest, largest)

    def _rounded_away(self, name: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self.checkpoint.path}: tensor '{self._stored[name]}' is {self.type(name)}, which has rounded its trits "
            f"away; convert from the model's float or ternary original."
        )

    def _finite(self, stored: str, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            raise FormatError(
                f"{self.checkpoint.path}: tensor '{stored}' holds NaN or infinity; fetch or convert the model again."
            )
        return values

    def _lose(self, name: str, what: str, farthest: float, largest: float) -> None:
        relative = farthest / largest if largest else 0.0
        if not self.allow_lossy:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{self._stored[name]}' {what} (off by {relative:.2g} relative). "
                f"Choose a type that holds it, or allow the loss with --allow-lossy."
            )
        self.losses[name] = Loss(name, what, farthest, relative)


_SPOKEN = {QuantType.BF16: "bfloat16", QuantType.F16: "float16", QuantType.F32: "float32"}
