"""Text to tokens and back, from a tokenizer.json or from GGUF metadata, behind one class.

    tokenizer = load_tokenizer(checkpoint)
    tokens = tokenizer.encode("The capital of France is")     # with BOS, where the model wants one

The work is done by the `tokenizers` and `sentencepiece` libraries; GGUF's keys are read by tokenizer_gguf.py. It
imports no jax and reads no weights. A chat template is never run here.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import tokenizers

from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint
from bitnet_engine.formats.hf import read_file
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.types import quoted
from bitnet_engine.sentencepiece_backend import SentencePiece
from bitnet_engine.tokenizer_gguf import Backend, build


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer and its beginning-of-text rule."""

    backend: Backend
    bos: int | None
    """The id put before every text; None where the model wants none."""
    eos: int | None
    file: Path = field(default=Path("tokenizer"), compare=False)
    """Where it was read, for errors."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids of `text`, after BOS where the model wants one and `bos` does not forbid it.

        Raises:
            FormatError: the tokenizer lacks what the text needs, an unknown token mostly.
        """
        with _guarded(self.file, "cannot encode this text"):
            ids = self.backend.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if bos and self.bos is not None else ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special tokens spelled out, broken UTF-8 as U+FFFD.

        Raises:
            FormatError: the tokenizer's decoder fails.
        """
        with _guarded(self.file, "cannot decode these tokens"):
            return self.backend.decode(list(tokens), skip_special_tokens=False)

    def piece(self, token: int) -> str:
        """Return the text of one token inside a text; part of a character shows as U+FFFD."""
        return self.continuation([token])

    def continuation(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` where other text goes before them: SentencePiece keeps their first space then."""
        anchor = self.backend.token_to_id("a")
        if anchor is None or self.decode([anchor]) != "a":
            return self.decode(tokens)
        return self.decode([anchor, *tokens])[1:]

    def digest(self) -> str:
        """Return a sha256 over everything that decides the ids: equal means equal ids for every text."""
        return hashlib.sha256(orjson.dumps([self.backend.to_str(), self.bos, self.eos])).hexdigest()

    def fingerprint(self) -> str:
        """Return a sha256 over the ids' spelling and the BOS and EOS rule: equal means same vocabulary."""
        vocab = sorted(self.backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
        return hashlib.sha256(orjson.dumps([vocab, self.bos, self.eos])).hexdigest()


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Build the tokenizer that `checkpoint` carries.

    Raises:
        FormatError: it carries none, or a broken one.
        UnsupportedError: its kind or its split rule is not known here.
    """
    if checkpoint.format == "gguf":
        return Tokenizer(*build(checkpoint.path, checkpoint.metadata), checkpoint.path)
    return _from_folder(checkpoint)


def _from_folder(checkpoint: Checkpoint) -> Tokenizer:
    file = checkpoint.tokenizer_files.get("tokenizer.json")
    if file is None and "tokenizer.model" in checkpoint.tokenizer_files:
        return _from_sentencepiece(checkpoint)
    if file is None:
        raise FormatError(
            f"{checkpoint.path}: there is no tokenizer.json or tokenizer.model beside the weights. Copy the one the "
            f"model came with."
        )
    backend = _parse(file)
    # The template decides, not a config key: what it puts before a text is the BOS.
    with _guarded(file, "cannot encode the letter a"):
        framed, bare = backend.encode("a").ids, backend.encode("a", add_special_tokens=False).ids
    prefix = framed[: len(framed) - len(bare)]
    if len(prefix) > 1 or framed != prefix + bare:
        raise UnsupportedError(
            f"{file}: the template makes {framed} of a text that is {bare}; one token before a text, or none, is run "
            f"here."
        )
    if prefix and backend.id_to_token(prefix[0]) is None:
        raise FormatError(f"{file}: the template puts id {prefix[0]} before a text, which is no token of it.")
    bos = prefix[0] if prefix else None
    return Tokenizer(backend, bos, _single_id(checkpoint.metadata.get("eos_token_id")), file)


def _from_sentencepiece(checkpoint: Checkpoint) -> Tokenizer:
    """Read tokenizer.model with the tokens that the files beside it add; BOS as transformers' LlamaTokenizer rules."""
    files = checkpoint.tokenizer_files
    config = _json(files.get("tokenizer_config.json"))
    if config.get("add_prefix_space") is False:
        raise UnsupportedError(f"{files['tokenizer_config.json']}: add_prefix_space is false; this is not run here.")
    added = _listed_tokens(files.get("tokenizer_config.json"), config.get("added_tokens_decoder"))
    added |= {text: index for text, index in _json(files.get("added_tokens.json")).items() if isinstance(index, int)}
    file = files["tokenizer.model"]
    try:
        backend = SentencePiece(_bytes(file), added)
    except ValueError as error:
        raise FormatError(f"{file}: {error}. Copy the original file again.") from error
    _check_ids(file, backend)
    bos = backend.bos if config.get("add_bos_token", True) else None
    eos = _single_id(checkpoint.metadata.get("eos_token_id"))
    return Tokenizer(backend, bos, backend.eos if eos is None else eos, file)


def _listed_tokens(file: Path | None, listed: object) -> dict[str, int]:
    """Return the ids by spelling of `added_tokens_decoder`: {"32000": {"content": "<pad>", ...}}."""
    added: dict[str, int] = {}
    for index, token in listed.items() if isinstance(listed, dict) else ():
        text = token.get("content") if isinstance(token, dict) else None
        if not isinstance(text, str) or not (index.isascii() and index.isdigit() and len(index) < 10):
            raise FormatError(
                f"{file}: added_tokens_decoder must map ids to tokens with a content; {index!r:.40} is none."
            )
        added[text] = int(index)
    return added


def _json(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        value = orjson.loads(_bytes(file))
    except orjson.JSONDecodeError as error:
        raise FormatError(f"{file}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{file}: holds no JSON object.")
    return value


def _bytes(file: Path) -> bytes:
    return read_file(file, in_force().tokenizer_bytes, "tokenizer_bytes")


def _parse(file: Path) -> tokenizers.Tokenizer:
    try:
        text = _bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{file}: not UTF-8 at byte {error.start}. Copy the original file again.") from error
    with _guarded(file, "not a usable tokenizer"):
        backend = tokenizers.Tokenizer.from_str(text)
    _check_ids(file, backend)
    if getattr(backend.model, "dropout", None):
        raise UnsupportedError(
            f"{file}: the model has a dropout of {backend.model.dropout:g}, which makes other ids of a text each time. "
            f"Set it to null."
        )
    # A file saved after training may cut or pad every text; scoring must see all of it.
    backend.no_truncation()
    backend.no_padding()
    return backend


@contextmanager
def _guarded(file: Path, failure: str) -> Iterator[None]:
    """Turn whatever the library raises into a FormatError that begins with `file` and `failure`.

    It raises bare Exception for every fault of a file, and where its Rust panics pyo3's PanicException, which is no
    Exception: nothing that expects one would catch it, and a worker would die without a word.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = (str(error).splitlines() or [""])[0]
        raise FormatError(f"{file}: {failure}: {said}") from error


def _check_ids(file: Path, backend: Backend) -> None:
    """Refuse ids with holes: an id past the number of tokens has no row, and libraries count up to the largest."""
    vocab = backend.get_vocab(with_added_tokens=True)
    text, index = max(vocab.items(), key=lambda item: item[1], default=("", -1))
    if index >= len(vocab):
        raise FormatError(
            f"{file}: token {quoted(text)} has the id {index}, but there are {len(vocab)} tokens; ids up to "
            f"{len(vocab) - 1} are allowed. Copy the original file again."
        )


def _single_id(value: Any) -> int | None:
    # Some configs list several end tokens; the first is the one that ends a document.
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) else None
