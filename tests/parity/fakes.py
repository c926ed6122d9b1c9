"""Two small sides to compare: a byte tokenizer, and logits that depend on the last id only."""

from collections.abc import Callable, Sequence

import numpy as np

from bitnet_parity import Corpus, load_corpus

VOCAB = 257
BOS = 256


class Bytes:
    """A tokenizer of bytes; `spell` changes the text first, to make one that disagrees."""

    def __init__(self, bos: int | None = BOS, spell: Callable[[str], str] = str) -> None:
        self._bos, self._spell = bos, spell

    @property
    def vocab_size(self) -> int:
        return VOCAB

    @property
    def bos(self) -> int | None:
        return self._bos

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        opening = [self._bos] if bos and self._bos is not None else []
        return opening + list(self._spell(text).encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def piece(self, token: int) -> str:
        return chr(token)


class Bigram:
    """A model whose next-token logits are a seeded row of the last id, as `change` leaves them."""

    def __init__(self, change: Callable[[np.ndarray], np.ndarray] = lambda logits: logits) -> None:
        table = np.random.default_rng(7).normal(scale=2.0, size=(VOCAB, VOCAB)).astype(np.float32)
        self._table = change(table).astype(np.float32)
        self.seen: list[list[int]] = []

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        self.seen.append(list(tokens))
        return self._table[list(tokens)]


def noise(scale: float, seed: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """Return a change that adds seeded noise of a standard deviation."""
    return lambda logits: logits + np.random.default_rng(seed).normal(scale=scale, size=logits.shape)


def write_corpus(folder, documents: int, words: int = 30) -> Corpus:
    """Write a corpus of seeded text and load it."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(3)
    for i in range(documents):
        text = " ".join("".join(chr(97 + c) for c in generator.integers(0, 26, 4)) for _ in range(words))
        (folder / f"{i:03}.txt").write_text(text)
    return load_corpus(folder)
