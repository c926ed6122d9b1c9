"""Text to tokens and back, from a tokenizer.json or from GGUF metadata, behind one class.

    tokenizer = load_tokenizer(checkpoint)
    tokens = tokenizer.encode("The capital of France is")     # with BOS, where the model wants one

The work is done by the `tokenizers` and `sentencepiece` libraries; GGUF's keys are read by tokenizer_gguf.py. It
imports no jax and reads no weights. A chat template is never run here.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import tokenizers

from bitnet_engine.errors import FormatError, StorageError, UnsupportedError
from bitnet_engine.formats import Checkpoint
from bitnet_engine.tokenizer_gguf import build


@dataclass(frozen=True)
class Tokenizer:
    """A byte-level BPE tokenizer and its beginning-of-text rule."""

    backend: tokenizers.Tokenizer
    bos: int | None
    """The id put before every text; None where the model wants none."""
    eos: int | None

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids of `text`, after BOS where the model wants one and `bos` does not forbid it."""
        ids = self.backend.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if bos and self.bos is not None else ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special tokens spelled out, broken UTF-8 as U+FFFD."""
        return self.backend.decode(list(tokens), skip_special_tokens=False)

    def piece(self, token: int) -> str:
        """Return the text of one token by itself; part of a character shows as U+FFFD."""
        return self.decode([token])

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
        return Tokenizer(*build(checkpoint.path, checkpoint.metadata))
    return _from_folder(checkpoint)


def _from_folder(checkpoint: Checkpoint) -> Tokenizer:
    file = checkpoint.tokenizer_files.get("tokenizer.json")
    if file is None:
        raise FormatError(
            f"{checkpoint.path}: there is no tokenizer.json beside the weights. Copy the one the model came with."
        )
    backend = _parse(file)
    # The template decides, not a config key: what it puts before an empty text is the BOS.
    prefix = backend.encode("").ids
    if len(prefix) > 1:
        raise UnsupportedError(f"{file}: the template puts {len(prefix)} tokens before a text; 0 or 1 is run here.")
    return Tokenizer(backend, prefix[0] if prefix else None, _single_id(checkpoint.metadata.get("eos_token_id")))


def _parse(file: Path) -> tokenizers.Tokenizer:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{file}: not UTF-8 at byte {error.start}. Copy the original file again.") from error
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception for every fault of the JSON
        raise FormatError(f"{file}: not a usable tokenizer: {str(error).splitlines()[0]}") from error
    # A file saved after training may cut or pad every text; scoring must see all of it.
    backend.no_truncation()
    backend.no_padding()
    return backend


def _single_id(value: Any) -> int | None:
    # Some configs list several end tokens; the first is the one that ends a document.
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) else None
