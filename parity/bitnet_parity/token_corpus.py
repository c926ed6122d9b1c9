"""A text that exists as ids only, because somebody else has tokenized and cut it.

    corpus = TokenCorpus("base.kld", sha256, documents)
    corpus.check(tokenizer)                             # do its texts become these ids again?

Stands where a `Corpus` does. Knows no file format.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from bitnet_parity.scoring import EncodedDocument
from bitnet_parity.sources import TokenizerSource
from bitnet_parity.tokenization import TokenizerDifference, TokenizerParity

UNSURE_END = 16
"""Ids at the end of the text that are not compared: it was cut there, in the middle of a word perhaps."""

_SHOWN = 8


@dataclass(frozen=True)
class TokenCorpus:
    """Windows of ids, and the same ids as one text.

    `stream` are the ids as the text's tokenizer gave them, `documents` what both sides are fed: they may open with
    another id. `starts[i]` is where document i begins in the stream.
    """

    name: str
    sha256: str
    documents: tuple[EncodedDocument, ...]
    stream: array
    starts: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The documents' names."""
        return tuple(document.name for document in self.documents)

    def check(self, tokenizer: TokenizerSource) -> TokenizerParity:
        """Decode the ids to text and encode it again: each document whose ids come back is a string that is equal."""
        opening = [] if tokenizer.bos is None or self.stream[:1].tolist() != [tokenizer.bos] else [tokenizer.bos]
        again = opening + tokenizer.encode(tokenizer.decode(self.stream[len(opening) :].tolist()), bos=False)
        ends = [*self.starts[1:], len(self.stream) - UNSURE_END]
        equal, first = 0, None
        for name, start, end in zip(self.names, self.starts, ends, strict=True):
            ids, ids_again = self.stream[start:end].tolist(), again[start:end]
            equal += ids == ids_again
            if first is None and ids != ids_again:
                first = _difference(name, ids, ids_again, tokenizer)
        return TokenizerParity(len(self.starts), equal, first)


def _difference(name: str, ids: Sequence[int], again: Sequence[int], tokenizer: TokenizerSource) -> TokenizerDifference:
    pairs = enumerate(zip(ids, again, strict=False))
    index = next((i for i, (a, b) in pairs if a != b), min(len(ids), len(again)))
    before = tokenizer.decode(ids[:index])
    return TokenizerDifference(
        string=name,
        text=tokenizer.decode(ids[max(0, index - _SHOWN) : index + _SHOWN]),
        byte_offset=len(before.encode(errors="replace")),
        index=index,
        ids_reference=tuple(ids[index : index + _SHOWN]),
        ids_candidate=tuple(again[index : index + _SHOWN]),
    )
