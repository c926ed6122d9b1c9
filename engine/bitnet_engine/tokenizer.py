"""Text to tokens and back, from a tokenizer.json or from GGUF metadata, behind one class.

    tokenizer = load_tokenizer(checkpoint)
    tokens = tokenizer.encode("The capital of France is")     # with BOS, where the model wants one

The byte-pair work is done by the `tokenizers` library; what is ours is the reading of GGUF's keys. It imports
no jax and reads no weights. A chat template is never run here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from bitnet_engine.errors import FormatError, StorageError, UnsupportedError
from bitnet_engine.formats import Checkpoint

# Split rules by `tokenizer.ggml.pre`; source: llama.cpp's src/llama-vocab.cpp.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")


@dataclass(frozen=True)
class _Rule:
    """How one `pre` splits text, and whether whole words skip the merges."""

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    adds_bos: bool = False


_LLAMA3_RULE = _Rule((LLAMA3,), ignore_merges=True, adds_bos=True)
RULES: dict[str, _Rule] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral"), _LLAMA3_RULE),
    "gpt-2": _Rule((GPT2,)),
    "smollm": _Rule((r"\p{N}", GPT2)),
    "default": _Rule(DEFAULT),
}
CONTROL, USER_DEFINED = 3, 4  # tokenizer.ggml.token_type
LLAMA3_VOCAB = 128_256


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
        return _from_gguf(checkpoint.path, checkpoint.metadata)
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


def _from_gguf(path: Path, metadata: Mapping[str, Any]) -> Tokenizer:
    kind = metadata.get("tokenizer.ggml.model")
    if kind is None:
        raise FormatError(f"{path}: the metadata has no 'tokenizer.ggml.model': the file carries no tokenizer.")
    if kind != "gpt2":
        raise UnsupportedError(
            f"{path}: tokenizer.ggml.model is {kind!r}; this version builds 'gpt2' (byte-level BPE)."
        )
    tokens, merges, types = (_strings_or_ints(path, metadata, key) for key in ("tokens", "merges", "token_type"))
    rule = _rule(path, metadata, len(tokens))
    backend = tokenizers.Tokenizer(_bpe(path, tokens, merges, rule))
    splits = [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in rule.patterns]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*splits, level])
    backend.decoder = decoders.ByteLevel()
    added = [
        tokenizers.AddedToken(text, special=kind == CONTROL, normalized=False)
        for text, kind in zip(tokens, types, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]
    backend.add_tokens(added)
    if backend.get_vocab_size() != len(tokens):
        raise FormatError(f"{path}: tokenizer.ggml.tokens holds {len(tokens)} tokens but some are spelled alike.")
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token", rule.adds_bos)
    bos = _known_id(path, metadata, "bos", len(tokens)) if adds_bos else None
    if adds_bos and bos is None:
        raise FormatError(f"{path}: a BOS is to be added, but the metadata has no 'tokenizer.ggml.bos_token_id'.")
    return Tokenizer(backend, bos, _known_id(path, metadata, "eos", len(tokens)))


def _strings_or_ints(path: Path, metadata: Mapping[str, Any], name: str) -> list[Any]:
    key = f"tokenizer.ggml.{name}"
    if key not in metadata:
        raise FormatError(f"{path}: the metadata has no '{key}', which the tokenizer cannot be built without.")
    values = metadata[key].tolist()
    expected = int if name == "token_type" else str
    if not all(isinstance(value, expected) for value in values):
        raise FormatError(f"{path}: metadata '{key}' must hold only {expected.__name__} values.")
    return values


def _rule(path: Path, metadata: Mapping[str, Any], vocab: int) -> _Rule:
    pre = metadata.get("tokenizer.ggml.pre")
    if pre is None:
        # The official BitNet 2B-4T file lacks the key and needs the Llama-3 rule (ik_llama.cpp PR #337).
        is_official = str(metadata.get("general.architecture")).startswith("bitnet-") and vocab == LLAMA3_VOCAB
        return _LLAMA3_RULE if is_official else RULES["default"]
    if pre not in RULES:
        raise UnsupportedError(
            f"{path}: tokenizer.ggml.pre is {pre!r}; the split rules known here are {', '.join(RULES)}."
        )
    return RULES[pre]


def _bpe(path: Path, tokens: list[str], merges: list[str], rule: _Rule) -> models.BPE:
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    if bad := next((merge for merge, pair in zip(merges, pairs, strict=True) if len(pair) != 2), None):
        raise FormatError(f"{path}: merge {bad!r} in tokenizer.ggml.merges is not two pieces with a space between.")
    try:
        return models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=pairs,  # pyright: ignore[reportArgumentType]
            ignore_merges=rule.ignore_merges,
        )
    except Exception as error:  # the library raises bare Exception for a merge of unknown pieces
        raise FormatError(f"{path}: tokenizer.ggml.merges cannot be used: {error}") from error


def _known_id(path: Path, metadata: Mapping[str, Any], name: str, vocab: int) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if value is not None and not (isinstance(value, int) and 0 <= value < vocab):
        raise FormatError(f"{path}: tokenizer.ggml.{name}_token_id is {value!r}; ids run from 0 to {vocab - 1}.")
    return value
