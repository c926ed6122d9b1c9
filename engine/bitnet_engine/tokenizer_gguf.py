"""A tokenizer out of GGUF's keys: the split rule of each `pre`, and the tables for the library that does the work.

    backend, bos, eos = build(path, metadata)

Source: docs/formats.md §3.2-3.3 (llama.cpp's src/llama-vocab.cpp). Knows metadata alone: no weights, no folder.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import MetadataArray
from bitnet_engine.sentencepiece_backend import SentencePiece
from bitnet_engine.sentencepiece_proto import Settings
from bitnet_engine.sentencepiece_proto import build as proto

# Split rules by `tokenizer.ggml.pre`; source: llama.cpp's src/llama-vocab.cpp.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")


@dataclass(frozen=True)
class Rule:
    """How one `pre` splits text, and whether whole words skip the merges."""

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    adds_bos: bool = False


_LLAMA3_RULE = Rule((LLAMA3,), ignore_merges=True, adds_bos=True)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral"), _LLAMA3_RULE),
    "gpt-2": Rule((GPT2,)),
    "smollm": Rule((r"\p{N}", GPT2)),
    "default": Rule(DEFAULT),
}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""What tokenizer.ggml.token_type says of a token."""
LLAMA3_VOCAB = 128_256
ADDED_SCORE = -1000.0
"""What llama.cpp's converter gives to tokens that were added to a SentencePiece model (added_tokens.json)."""


Backend = tokenizers.Tokenizer | SentencePiece
"""What does the work: two libraries, one set of methods."""


def build(path: Path, metadata: Mapping[str, Any]) -> tuple[Backend, int | None, int | None]:
    """Return the tokenizer that `metadata` describes, the id it puts before a text (or None), and the end token's.

    Raises:
        FormatError: a key is missing, or contradicts another.
        UnsupportedError: a kind of tokenizer or a split rule that is not known here.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind is None:
        raise FormatError(f"{path}: the metadata has no 'tokenizer.ggml.model': the file carries no tokenizer.")
    if kind not in ("gpt2", "llama"):
        raise UnsupportedError(
            f"{path}: tokenizer.ggml.model is {kind!r}; this version builds 'gpt2' (byte-level BPE) and 'llama' "
            f"(SentencePiece)."
        )
    backend, adds_bos = (_byte_level if kind == "gpt2" else _sentencepiece)(path, metadata)
    size = backend.get_vocab_size(with_added_tokens=True)
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token", adds_bos)
    if not isinstance(adds_bos, bool):
        raise FormatError(f"{path}: tokenizer.ggml.add_bos_token is {adds_bos!r}; true or false was expected.")
    bos = _known_id(path, metadata, "bos", size) if adds_bos else None
    if adds_bos and bos is None:
        raise FormatError(f"{path}: a BOS is to be added, but the metadata has no 'tokenizer.ggml.bos_token_id'.")
    return backend, bos, _known_id(path, metadata, "eos", size)


def _sentencepiece(path: Path, metadata: Mapping[str, Any]) -> tuple[SentencePiece, bool]:
    """Rebuild the SentencePiece model that the keys were taken from, for its own library to run.

    Merging by score, leftmost first, as llama.cpp does; a table of merges cannot say it (docs/formats.md §3.3).
    """
    tokens, scores, types = (_values(path, metadata, key) for key in ("tokens", "scores", "token_type"))
    if not len(tokens) == len(scores) == len(types):
        raise FormatError(
            f"{path}: {len(tokens)} tokens, {len(scores)} scores and {len(types)} types in tokenizer.ggml; one each."
        )
    if not all(map(math.isfinite, scores)):
        raise FormatError(f"{path}: tokenizer.ggml.scores holds NaN or infinity; merges are ordered by finite scores.")
    added = {
        text: index
        for index, (text, score, kind) in enumerate(zip(tokens, scores, types, strict=True))
        if kind == USER_DEFINED and score == ADDED_SCORE
    }
    # In the middle an added token keeps its place among the pieces; at the end it needs none.
    own = max((index + 1 for index, text in enumerate(tokens) if text not in added), default=0)
    chosen = Settings(
        byte_fallback=BYTE in types,
        dummy_prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", True)),
        remove_extra_whitespaces=bool(metadata.get("tokenizer.ggml.remove_extra_whitespaces", False)),
    )
    try:
        model = proto(zip(tokens[:own], scores[:own], types[:own], strict=True), chosen)
        return SentencePiece(model, added), True
    except ValueError as error:
        raise FormatError(f"{path}: the tokenizer of tokenizer.ggml.tokens cannot be built: {error}") from error


def _byte_level(path: Path, metadata: Mapping[str, Any]) -> tuple[tokenizers.Tokenizer, bool]:
    tokens, merges, types = (_values(path, metadata, key) for key in ("tokens", "merges", "token_type"))
    if len(tokens) != len(types):
        raise FormatError(f"{path}: {len(tokens)} tokens and {len(types)} types in tokenizer.ggml; one each.")
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
    return backend, rule.adds_bos


def _values(path: Path, metadata: Mapping[str, Any], name: str) -> list[Any]:
    key = f"tokenizer.ggml.{name}"
    if key not in metadata:
        raise FormatError(f"{path}: the metadata has no '{key}', which the tokenizer cannot be built without.")
    if not isinstance(metadata[key], MetadataArray):
        raise FormatError(f"{path}: metadata '{key}' is no array; the tokenizer needs one value a token.")
    values = metadata[key].tolist()
    expected = {"token_type": int, "scores": float}.get(name, str)
    if not all(isinstance(value, expected) for value in values):
        raise FormatError(f"{path}: metadata '{key}' must hold only {expected.__name__} values.")
    return values


def _rule(path: Path, metadata: Mapping[str, Any], vocab: int) -> Rule:
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


def _bpe(path: Path, tokens: list[str], merges: list[str], rule: Rule) -> models.BPE:
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
        said = (str(error).splitlines() or [""])[0]
        raise FormatError(f"{path}: tokenizer.ggml.merges cannot be used: {said}") from error


def _known_id(path: Path, metadata: Mapping[str, Any], name: str, vocab: int) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if value is not None and (type(value) is not int or not 0 <= value < vocab):
        raise FormatError(f"{path}: tokenizer.ggml.{name}_token_id is {value!r}; ids run from 0 to {vocab - 1}.")
    return value
