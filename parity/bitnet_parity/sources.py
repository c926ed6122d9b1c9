"""What parity asks of the two sides: anything that maps tokens to logits, and a tokenizer.

    class Recorded:                                     # no base class needed: the methods are enough
        def logits(self, tokens): return self.table[list(tokens)]

Knows no engine and no file format.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class LogitSource(Protocol):
    """One side of a comparison: a model, a recording of one, or a peer engine."""

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return float32 [seq, vocab]; row i is the distribution after tokens[: i + 1]."""
        ...


@runtime_checkable
class TokenizerSource(Protocol):
    """Text to ids and back. `bos` is the id that opens a sequence, None for a model without one."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; logits beyond it are padding of the embedding matrix."""
        ...

    @property
    def bos(self) -> int | None:
        """The id that opens a sequence, or None."""
        ...

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids of `text`, after `bos` where there is one and it is asked for."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
        ...

    def piece(self, token: int) -> str:
        """Return the text of one id, for people to read."""
        ...
