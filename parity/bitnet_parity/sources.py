"""What parity asks of the two sides: anything that maps tokens to logits, and a tokenizer.

    class Recorded:                                     # no base class needed: the methods are enough
        def logits(self, tokens): return self.table[list(tokens)]

    parse_side("kld:base.kld")                          # Side("kld", "base.kld"); a bare path is a model

Knows no engine and no file format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from bitnet_engine.errors import SettingError


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

    def decode(self, ids: Sequence[int], /) -> str:
        """Return the text of `ids`."""
        ...

    def piece(self, token: int) -> str:
        """Return the text of one id, for people to read."""
        ...


KINDS = {
    "recorded": "a folder that `bitnet-tui record` wrote",
    "kld": "a file of llama-perplexity's --save-all-logits, read with --kl-divergence-base there",
    "hf": "a Hugging Face folder, run by transformers",
    "llama": "a GGUF file, run by llama.cpp",
}
"""What may stand before the colon of a side, and what the path after it then is."""


@dataclass(frozen=True)
class Side:
    """One side as it is named on a command line: `kind` is a key of KINDS, or `model` for our own engine."""

    kind: str
    path: str

    def __str__(self) -> str:
        return self.path if self.kind == "model" else f"{self.kind}:{self.path}"


def parse_side(text: str) -> Side:
    """Read `KIND:PATH`, or a path alone. A path that itself begins with a kind is written `./hf:x`.

    Raises:
        SettingError: nothing follows the colon.
    """
    kind, colon, path = text.partition(":")
    if not colon or kind not in KINDS:
        return Side("model", text)
    if not path:
        raise SettingError(f"{text}: no path follows the colon; {kind}: takes {KINDS[kind]}.")
    return Side(kind, path)
