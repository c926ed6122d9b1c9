"""The weights of a checkpoint by canonical name, one in memory at a time, as loading would take them.

    weights = CheckpointWeights(checkpoint)
    weights.read("blk.0.attn_q.weight")                 # Trits, rows in Hugging Face's order; floats where not ternary

Runs no model. A head that is tied is the embedding.
"""

from functools import lru_cache

import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.diffing import EMBEDDING, HEAD, weight_names
from bitnet_engine.formats import Checkpoint, TensorInfo, Trits
from bitnet_engine.matrices import hf_order, is_paired, read_finite, read_matrix, reordered
from bitnet_engine.naming import is_projection
from bitnet_parity.diagnosis.operations import Matrix

KEPT = 4
"""Tensors that are not read again at once: a product's matrix is asked for by every hypothesis."""


class CheckpointWeights:
    """Weights read when asked for, the last few kept."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Take an open checkpoint, which must stay open."""
        self.checkpoint, self.config = checkpoint, Config.from_checkpoint(checkpoint)
        self._stored = weight_names(checkpoint)
        self.read = lru_cache(KEPT)(self._read)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names of all weights that are stored."""
        return tuple(self._stored)

    @property
    def tied(self) -> bool:
        """Whether no head is stored."""
        return HEAD not in self._stored

    def info(self, name: str) -> TensorInfo:
        """Return where a weight lies, and as what."""
        return self.checkpoint.info(self._stored[name])

    def _read(self, name: str) -> Matrix:
        """Return a weight by canonical name; `output.weight` of a tied model is the embedding.

        Raises:
            FormatError: it is not finite, or holds bad trits.
            UnsupportedError: its type is not decoded here.
        """
        stored = self._stored[EMBEDDING if name == HEAD and self.tied else name]
        if not is_projection(name):
            return read_finite(self.checkpoint, stored)
        found = read_matrix(self.checkpoint, stored, master=self.config.activation_quant)
        part = name.split(".")[2]
        if isinstance(found, Trits) and (one := found.uniform_scale()) is not None:
            found = Trits(found.values, np.asarray(one, np.float32))
        if not is_paired(self.checkpoint, part):
            return found
        rows = self.info(name).shape[0]
        order = hf_order(rows, rows // self.config.head_dim)
        return reordered(found, order) if isinstance(found, Trits) else found[order]
