"""A SentencePiece model and the tokens added to it, behind the methods of `tokenizers.Tokenizer` that are used here.

    backend = SentencePiece(model_file_bytes, {"<pad>": 32000})
    backend.encode("a<pad>b").ids

Between special tokens the sentencepiece library does all the work, so that the ids are its own; each stretch begins
like a text of its own, as in llama.cpp and transformers. Knows no file and no BOS rule.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

import sentencepiece

from bitnet_engine.sentencepiece_proto import Piece, Settings, pieces, settings


class Encoding(NamedTuple):
    """The ids of a text."""

    ids: list[int]


class SentencePiece:
    """A tokenizer that reads like one of the `tokenizers` library."""

    def __init__(self, model: bytes, added: Mapping[str, int]) -> None:
        """Load a model file; raises ValueError where it is none, or where an added id already means another piece."""
        try:
            self._library = sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore[reportCallIssue]
            size = self._library.get_piece_size()
        except (RuntimeError, OSError) as error:
            raise ValueError(f"not a usable SentencePiece model: {' '.join(str(error).split()) or 'empty'}") from error
        if not size:
            raise ValueError("not a usable SentencePiece model: it has no pieces")
        self.model, self._size = model, size
        self._pieces = [self._library.id_to_piece(index) for index in range(size)]
        for text, index in added.items():
            if not text or index < 0 or (index < size and self._pieces[index] != text):
                raise ValueError(f"the added token {text!r} has the id {index}, which is taken or none")
        marks = (self._library.is_control, self._library.is_unknown)
        control = {text: index for index, text in enumerate(self._pieces) if any(is_mark(index) for is_mark in marks)}
        self._special = {text: index for text, index in {**control, **added}.items() if text}
        self.added = {text: index for text, index in added.items() if text not in control}
        """Tokens beside the model's own control tokens, by spelling."""
        self._spelling = {index: text for text, index in self._special.items()}
        # The longest first, so that a token that begins another does not hide it.
        alternatives = sorted(map(re.escape, self._special), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(alternatives)})") if alternatives else None

    @property
    def bos(self) -> int | None:
        """The model's own beginning-of-text id."""
        return _id(self._library.bos_id())

    @property
    def eos(self) -> int | None:
        """The model's own end-of-text id."""
        return _id(self._library.eos_id())

    def to_str(self) -> str:
        """Return all that decides the ids, as text."""
        return f"{self.model.hex()} {sorted(self.added.items())}"

    @property
    def settings(self) -> Settings:
        """How texts are split, beside the pieces."""
        return settings(self.model)

    def pieces(self) -> list[Piece]:
        """Return spelling, score and type of the model's own pieces, in the order of their ids."""
        return pieces(self.model)

    def get_vocab_size(self, *, with_added_tokens: bool = True) -> int:
        """Return the number of ids."""
        return len(self.get_vocab(with_added_tokens=with_added_tokens))

    def get_vocab(self, *, with_added_tokens: bool = True) -> dict[str, int]:
        """Return the ids by spelling."""
        own = {text: index for index, text in enumerate(self._pieces)}
        return own | self.added if with_added_tokens else own

    def id_to_token(self, index: int) -> str | None:
        """Return the spelling of an id, None for one that means nothing."""
        if index in self._spelling:
            return self._spelling[index]
        return self._pieces[index] if 0 <= index < self._size else None

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a spelling, None for one that is no token."""
        return self.get_vocab().get(token)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> Encoding:  # noqa: ARG002 - as the library's
        """Return the ids of `text`, special tokens in it taken as such; none is added."""
        stretches = self._split.split(text) if self._split else [text]
        return Encoding([index for stretch in stretches if stretch for index in self._stretch(stretch)])

    def _stretch(self, text: str) -> list[int]:
        return [self._special[text]] if text in self._special else self._library.encode(text, out_type=int)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of `ids`; ids that mean nothing give none."""
        known = (index for index in ids if self.id_to_token(index) is not None)
        return "".join(self._texts(known, skip_special_tokens=skip_special_tokens))

    def _texts(self, ids: Iterable[int], *, skip_special_tokens: bool) -> Iterator[str]:
        for special, run in groupby(ids, key=self._spelling.__contains__):
            if not special:
                yield self._library.decode(list(run))
            elif not skip_special_tokens:
                yield from (self._spelling[index] for index in run)


def _id(index: int) -> int | None:
    return index if index >= 0 else None
