"""A checkpoint's tokenizer in the other format's words: GGUF's keys, or the files of a Hugging Face folder.

    gguf_keys(checkpoint)                   # {"tokenizer.ggml.model": "gpt2", ...}
    write_files(checkpoint, folder)         # tokenizer.json or tokenizer.model, and tokenizer_config.json
    check_carried(source, written)          # the same ids on every probe, or an error

What cannot be said there in full is refused. Keys: docs/formats.md §3.2. A chat template is carried and never run.
"""

import shutil
from pathlib import Path
from typing import Any

import orjson
import tokenizers
from tokenizers import processors

from bitnet_engine.errors import BitnetError, FormatError, StorageError, UnsupportedError
from bitnet_engine.files import write_atomic
from bitnet_engine.formats import Array, Checkpoint
from bitnet_engine.sentencepiece_backend import SentencePiece
from bitnet_engine.sentencepiece_proto import BPE
from bitnet_engine.tokenizer import load_tokenizer
from bitnet_engine.tokenizer_gguf import ADDED_SCORE, CONTROL, GPT2, NORMAL, RULES, USER_DEFINED

TEMPLATE = "tokenizer.chat_template"
CONFIG, TEMPLATE_FILE = "tokenizer_config.json", "chat_template.jinja"

PROBES = (
    "",
    " ",
    "foo.bar(x_1)",
    "It's 12345, I'LL go",
    "Hi!\n\n  twice\t \r\n",
    "naïve café “…” Ελληνικά 日本語 😀👩‍👩‍👧 \u202e\u0000",
    " leading and trailing ",
)
"""Texts on which split rules, prefixes and byte fallback give different ids (docs/formats.md §3.4)."""


def gguf_keys(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return GGUF's keys for the tokenizer of a Hugging Face folder.

    Raises:
        UnsupportedError: its kind or its split rule has no name in GGUF.
        FormatError: it is broken, or its ids have a gap.
    """
    tokenizer = load_tokenizer(checkpoint)
    special = {"bos": tokenizer.bos, "eos": tokenizer.eos}
    backend = tokenizer.backend
    if isinstance(backend, SentencePiece):
        keys = _sentencepiece_keys(checkpoint.tokenizer_files["tokenizer.model"], backend)
    else:
        keys = _byte_level_keys(checkpoint.tokenizer_files["tokenizer.json"], backend)
    return {
        **keys,
        **{f"tokenizer.ggml.{name}_token_id": value for name, value in special.items() if value is not None},
        "tokenizer.ggml.add_bos_token": tokenizer.bos is not None,
        **_template_key(checkpoint),
    }


def _sentencepiece_keys(path: Path, backend: SentencePiece) -> dict[str, Any]:
    chosen, pieces = backend.settings, backend.pieces()
    if chosen.model_type != BPE or chosen.has_charsmap:
        raise UnsupportedError(
            f"{path}: GGUF's 'llama' tokenizer merges by score and normalises nothing; this model is not "
            f"{'BPE' if chosen.model_type != BPE else 'free of a normalisation table'}."
        )
    known = {text for text, score, kind in pieces if (score, kind) == (ADDED_SCORE, USER_DEFINED)}
    added = sorted((item for item in backend.added.items() if item[0] not in known), key=lambda item: item[1])
    if [index for _, index in added] != list(range(len(pieces), len(pieces) + len(added))):
        raise UnsupportedError(
            f"{path}: the ids of the added tokens do not follow its own {len(pieces)} without a gap."
        )
    tokens = [*pieces, *((text, ADDED_SCORE, USER_DEFINED) for text, _ in added)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": Array("str", [text for text, _, _ in tokens]),
        "tokenizer.ggml.scores": Array("f32", [score for _, score, _ in tokens]),
        "tokenizer.ggml.token_type": Array("i32", [kind for _, _, kind in tokens]),
        "tokenizer.ggml.add_space_prefix": chosen.dummy_prefix,
        "tokenizer.ggml.remove_extra_whitespaces": chosen.remove_extra_whitespaces,
    }


def _byte_level_keys(path: Path, backend: tokenizers.Tokenizer) -> dict[str, Any]:
    data = orjson.loads(backend.to_str())
    model = data["model"]
    pre = _pre(data)
    if pre is None:
        raise UnsupportedError(
            f"{path}: its split rule has no name in GGUF; byte-level BPE split as {', '.join(sorted(set(RULES)))} has."
        )
    tokens = [backend.id_to_token(index) for index in range(backend.get_vocab_size(with_added_tokens=True))]
    if None in tokens:
        raise FormatError(f"{path}: no token has the id {tokens.index(None)}; ids must run without a gap.")
    kinds = {token["id"]: CONTROL if token["special"] else USER_DEFINED for token in data["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Array("i32", [kinds.get(index, NORMAL) for index in range(len(tokens))]),
        "tokenizer.ggml.merges": Array("str", merges),
    }


def _pre(data: dict[str, Any]) -> str | None:
    """Return GGUF's name for the split rule of a tokenizer.json, None where it has none."""
    model = data["model"]
    if model["type"] != "BPE" or data["normalizer"] or model.get("byte_fallback") or model.get("dropout"):
        return None
    outer = data["pre_tokenizer"] or {}
    patterns: list[str] = []
    for step in outer.get("pretokenizers", [outer]):
        if (found := _patterns(step)) is None:
            return None
        patterns += found
    rules = (name for name, rule in RULES.items() if rule.patterns == tuple(patterns))
    return next((name for name in rules if RULES[name].ignore_merges == bool(model.get("ignore_merges"))), None)


def _patterns(step: dict[str, Any]) -> list[str] | None:
    """Return what one pre-tokenizer splits by, None for one that GGUF cannot say."""
    if step.get("type") == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
        return [step["pattern"]["Regex"]] if "Regex" in step["pattern"] else None
    if step.get("type") == "Digits" and step["individual_digits"]:
        return [r"\p{N}"]
    if step.get("type") == "ByteLevel" and not step["add_prefix_space"]:
        return [GPT2] if step["use_regex"] else []
    return None


def _template_key(checkpoint: Checkpoint) -> dict[str, str]:
    template = _folder_template(checkpoint)
    return {} if template is None else {TEMPLATE: template}


def _folder_template(checkpoint: Checkpoint) -> str | None:
    files = checkpoint.tokenizer_files
    if TEMPLATE_FILE in files:
        return _read(files[TEMPLATE_FILE]).decode("utf-8", errors="replace")
    if CONFIG not in files:
        return None
    try:
        config = orjson.loads(_read(files[CONFIG]))
    except orjson.JSONDecodeError as error:
        raise FormatError(f"{files[CONFIG]}: not JSON: {error}") from error
    template = config.get("chat_template") if isinstance(config, dict) else None
    return template if isinstance(template, str) else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error


def write_files(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the tokenizer of `checkpoint` into `folder`: a folder's own files again, or files made of GGUF's keys.

    Raises:
        FormatError, UnsupportedError: as `load_tokenizer`.
        StorageError: a file cannot be read or written.
    """
    if checkpoint.format == "safetensors":
        for name, path in checkpoint.tokenizer_files.items():
            shutil.copyfile(path, folder / name)
        return
    tokenizer = load_tokenizer(checkpoint)
    config: dict[str, Any] = {"clean_up_tokenization_spaces": False}
    if isinstance(tokenizer.backend, SentencePiece):
        config |= {"tokenizer_class": "LlamaTokenizer", "add_bos_token": tokenizer.bos is not None, "legacy": True}
        write_atomic(folder / "tokenizer.model", tokenizer.backend.model)
        if tokenizer.backend.added:
            write_atomic(folder / "added_tokens.json", orjson.dumps(tokenizer.backend.added))
    else:
        config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        write_atomic(folder / "tokenizer.json", _tokenizer_json(tokenizer.backend, tokenizer.bos))
    for name, token in (("bos_token", tokenizer.bos), ("eos_token", tokenizer.eos)):
        config |= {} if token is None else {name: tokenizer.backend.id_to_token(token)}
    template = checkpoint.metadata.get(TEMPLATE)
    config |= {"chat_template": template} if isinstance(template, str) else {}
    write_atomic(folder / CONFIG, orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _tokenizer_json(backend: tokenizers.Tokenizer, bos: int | None) -> bytes:
    backend = tokenizers.Tokenizer.from_str(backend.to_str())
    if bos is not None:
        text = backend.id_to_token(bos)
        # What the template puts before an empty text is the BOS, to transformers and to us.
        backend.post_processor = processors.TemplateProcessing(
            single=[text, "$A"], pair=[text, "$A", "$B"], special_tokens=[(text, bos)]
        )
    return backend.to_str(pretty=True).encode()


def check_carried(source: Checkpoint, written: Checkpoint) -> None:
    """Compare the tokenizers of two checkpoints.

    Raises:
        BitnetError: their vocabularies, or the ids of a probe, differ.
    """
    first, second = load_tokenizer(source), load_tokenizer(written)
    if first.fingerprint() != second.fingerprint():
        raise BitnetError(f"{written.path}: the vocabulary read back differs from its source's; not kept.")
    spelled = [first.piece(token) for token in (first.bos, first.eos) if token is not None]
    for text in (*PROBES, "".join(spelled)):
        if first.encode(text) != second.encode(text):
            raise BitnetError(f"{written.path}: {text!r} read back gives other ids than its source; not kept.")
