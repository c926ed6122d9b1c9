"""The base files of llama.cpp's KL divergence, as a source: `llama-perplexity --save-all-logits FILE` writes them.

    base = KldBase.open(Path("base.kld"))
    corpus = base.corpus(tokenizer.bos)                 # the file holds the ids it was made from
    base.logits(corpus.documents[0].ids)                # float32 [seq, vocab], NaN where nothing was saved

Layout (llama.cpp, tools/perplexity/perplexity.cpp, functions perplexity and log_softmax), little endian:

| bytes | what |
|---|---|
| 8 | `_logits_` |
| 4, 4, 4 | int32: ids a chunk (n_ctx), n_vocab, chunks |
| 4 a token | int32: ids of all chunks, as tokenized; a chunk is fed BOS in the place of its first id |
| a row | float32 scale, float32 least log-probability, n_vocab uint16, and 2 bytes more where n_vocab is odd |

A chunk has rows for its second half only: n_ctx − 1 − n_ctx/2 of them, row r after the id n_ctx/2 + r. An id's
log-probability is scale · q + least; what lies more than 16 nats under the best has q = 0. Knows no tokenizer.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitnet_engine.errors import BitnetError, FormatError
from bitnet_engine.formats.cursor import SourceFile
from bitnet_parity.scoring import EncodedDocument
from bitnet_parity.token_corpus import TokenCorpus

MAGIC = b"_logits_"
RANGE = 16.0
"""Nats under the best logit at which llama.cpp cuts."""

STEP = RANGE / 65535
"""The coarsest step between two stored log-probabilities, in nats; a value is off by half of it at most."""

PRECISION = f"log-probabilities stored as uint16: off by up to {STEP / 2:.1e} nats, cut {RANGE:g} nats under the best"

_HEADER = len(MAGIC) + 12
_READ = 8 << 20


@dataclass(frozen=True)
class KldBase:
    """An open base file. Chunks are read one at a time."""

    path: Path
    context: int
    vocab: int
    stream: array
    _source: SourceFile

    @classmethod
    def open(cls, path: Path) -> "KldBase":
        """Read the header and the ids.

        Raises:
            FormatError: not a base file, or one whose sizes contradict its length.
            StorageError: the file cannot be read.
        """
        source = SourceFile.open(path)
        start = source.read(0, min(source.size, _HEADER))
        if len(start) < _HEADER or not start.startswith(MAGIC):
            raise FormatError(
                f"{path}: not a base file of llama-perplexity: it begins with {start[:16].hex(' ') or 'nothing'}, "
                f"'{MAGIC.decode()}' and three counts are needed; pass what --save-all-logits wrote"
            )
        context, vocab, chunks = np.frombuffer(start, "<i4", offset=len(MAGIC)).tolist()
        _check_sizes(path, context, vocab, chunks, source.size)
        ids = np.frombuffer(source.read(_HEADER, 4 * context * chunks), "<i4")
        outside = ids[(ids < 0) | (ids >= vocab)]
        if outside.size:
            raise FormatError(f"{path}: token {outside[0]} is outside its vocabulary of {vocab}; the file is corrupt")
        return cls(path, context, vocab, array("i", ids.tolist()), source)

    @property
    def first(self) -> int:
        """Place of the first id of a chunk after which a row was saved."""
        return self.context // 2

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self.stream) // self.context

    def sha256(self) -> str:
        """Return the hash of the whole file's bytes, read piece by piece."""
        found = hashlib.sha256()
        for start in range(0, self._source.size, _READ):
            found.update(self._source.read(start, min(_READ, self._source.size - start)))
        return found.hexdigest()

    def corpus(self, bos: int | None) -> TokenCorpus:
        """Return the ids as documents, a chunk each, opening with `bos` where the model wants one."""
        starts = tuple(range(0, len(self.stream), self.context))
        documents = tuple(
            EncodedDocument(f"chunk {i:04}", self._fed(i, bos), self.first + 1, whole=True) for i in range(self.chunks)
        )
        sha256 = hashlib.sha256(np.array(self.stream, "<i4").tobytes()).hexdigest()
        return TokenCorpus(self.path.name, sha256, documents, self.stream, starts)

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return normalised log-probabilities, float32 [seq, vocab]; rows that were not saved are NaN.

        What is saved as q = 0 is known only to lie at least 16 nats under the best: those ids share evenly what
        the others leave of the probability.

        Raises:
            BitnetError: `tokens` are no beginning of a chunk.
        """
        chunk = self._find(tokens)
        found = np.full((len(tokens), self.vocab), np.nan, np.float32)
        width = _row_bytes(self.vocab)
        rows = self.context - 1 - self.first
        start = _HEADER + 4 * len(self.stream) + chunk * rows * width
        for row in range(min(rows, len(tokens) - self.first)):
            found[self.first + row] = _log_probs(self._source.read(start + row * width, width), self.vocab)
        return found

    def _fed(self, chunk: int, bos: int | None) -> array:
        ids = self.stream[chunk * self.context : (chunk + 1) * self.context]
        return ids if bos is None else array("i", [bos]) + ids[1:]

    def _find(self, tokens: Sequence[int]) -> int:
        # The first id may be a BOS that the file does not hold.
        wanted = array("i", tokens)[1:]
        starts = (chunk * self.context + 1 for chunk in range(self.chunks))
        if 0 < len(wanted) < self.context:
            for chunk, start in enumerate(starts):
                if self.stream[start : start + len(wanted)] == wanted:
                    return chunk
        raise BitnetError(
            f"{self.path}: holds no log-probabilities for these {len(tokens)} tokens; a base file answers for its own "
            f"chunks of {self.context} only"
        )


def _check_sizes(path: Path, context: int, vocab: int, chunks: int, size: int) -> None:
    if context < 4 or vocab < 1 or chunks < 1:
        raise FormatError(f"{path}: declares n_ctx {context}, n_vocab {vocab}, {chunks} chunks; the file is corrupt")
    rows = chunks * (context - 1 - context // 2)
    need = _HEADER + 4 * context * chunks + rows * _row_bytes(vocab)
    if need != size:
        what = "truncated" if need > size else "too long"
        raise FormatError(
            f"{path}: {what}: {chunks} chunks of {context} ids over {vocab} are {need} bytes, the file has {size}; "
            f"save it again"
        )


def _row_bytes(vocab: int) -> int:
    return 2 * (2 * ((vocab + 1) // 2) + 4)


def _log_probs(data: bytes, vocab: int) -> np.ndarray:
    scale, least = np.frombuffer(data, "<f4", 2)
    q = np.frombuffer(data, "<u2", vocab, offset=8)
    # float32 as llama.cpp reads it, so that what it prints of the base can be printed here.
    found = scale * q.astype(np.float32) + least
    cut = q == 0
    rest = 1.0 - np.exp(found[~cut].astype(np.float64)).sum()
    share = np.log(rest / cut.sum()) if rest > 0 else -np.inf
    # No less than that: rounding may have eaten the rest, and an id that can happen has no infinite nll.
    found[cut] = np.clip(share, float(least) - RANGE, float(least))
    return found
