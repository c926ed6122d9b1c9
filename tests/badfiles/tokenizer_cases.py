"""Tokenizers that cannot be built, or would lie: tokenizer.json, tokenizer.model with its neighbours, GGUF's keys.

`info` opens every one of them. What a library says of a file follows our own words and is not ours to promise.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any

from tests.badfiles.builders import array_header, f32, string, strings, u32
from tests.badfiles.case import BAD, UNSUPPORTED, Build, Case, files
from tests.badfiles.graph_cases import gguf, model_folder

TOKENIZING = ("tokenize", "eval", "parity")
UNUSABLE, CANNOT = "not a usable tokenizer: ", "cannot encode the letter a: "
BPE: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
SOUND: dict[str, Any] = {"version": "1.0", "added_tokens": [], "model": BPE}


def _added(**changes: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": 3, "content": "<x>", **flags, **changes}


def _template(*ids: int) -> dict[str, Any]:
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    special = {"id": "<x>", "ids": list(ids), "tokens": ["<x>"] * len(ids)}
    single = [{"SpecialToken": {"id": "<x>", "type_id": 0}}, sequence]
    return {"type": "TemplateProcessing", "single": single, "pair": [sequence], "special_tokens": {"<x>": special}}


def _raw(name: str, data: bytes, says: str = UNUSABLE, then: str = UNUSABLE) -> Case:
    return Case(f"tokenizer-{name}", files(model_folder(tokenizer_json=data)), BAD, says, TOKENIZING, then)


def _json(name: str, says: str = UNUSABLE, then: str = UNUSABLE, code: int = BAD, **changes: Any) -> Case:
    data = json.dumps({**SOUND, **changes}).encode()
    return Case(f"tokenizer-{name}", files(model_folder(tokenizer_json=data)), code, says, TOKENIZING, then)


def _model(name: str, says: str = UNUSABLE, then: str = UNUSABLE, **changes: Any) -> Case:
    return _json(name, says, then, model={**BPE, **changes})


def _sparse(folder: Path) -> Path:
    files(model_folder(tokenizer_json=b"{"))(folder)
    os.truncate(folder / "tokenizer.json", 2**42)
    return folder


JSON = [
    _raw("empty", b""),
    _raw("cut", b'{"model": '),
    _raw("list", b"[]"),
    _raw("null", b"null"),
    _raw("deep", b'{"a":' + b"[" * 99_999),
    _raw("bom", b"\xef\xbb\xbf{}"),
    _raw("nan", b'{"model": NaN}'),
    _raw("utf8", b'{"\xff": 1}', "not UTF-8 at byte 2", ""),
    Case("tokenizer-sparse", _sparse, BAD, "raise it with --limit tokenizer_bytes=N", TOKENIZING),
    Case("tokenizer-none", files(model_folder()), BAD, "there is no tokenizer.json or tokenizer.model", TOKENIZING),
    _json("no-model", model=None),
    _json("version", version="9"),
    _json("other-model", model={"type": "Nope"}),
    _json("added-object", added_tokens={}),
    _json("pattern", normalizer={"type": "Replace", "pattern": {"Regex": "(a"}, "content": ""}),
    _json("charsmap-panics", normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    _model("no-vocab", vocab=None),
    _model("id-negative", vocab={"a": -1}),
    _model("id-wraps", vocab={"a": 2**32}),
    _model("id-far", "has the id 4000000000, but there are 3 tokens", "", vocab={**BPE["vocab"], "ab": 4 * 10**9}),
    _model("merge-unknown", merges=[["a", "z"]]),
    _model("merge-three", merges=[["a", "b", "c"]]),
    _model("prefix-panics", continuing_subword_prefix="##"),
    _model("dropout-range", dropout=7),
    _json("dropout", "has a dropout of 0.5, which makes other ids", "", UNSUPPORTED, model={**BPE, "dropout": 0.5}),
    _json("no-unknown-token", CANNOT, CANNOT, model={"type": "WordLevel", "vocab": {"b": 0}, "unk_token": "[U]"}),
    _json("unigram-unknown", CANNOT, CANNOT, model={"type": "Unigram", "unk_id": None, "vocab": [["b", 0.0]]}),
    _json("unigram-id", model={"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}),
    _json("template-id", "puts id 3 before a text, which is no token", "", post_processor=_template(3)),
    _json("template-far", "puts id 4294967295 before a text", "", post_processor=_template(2**32 - 1)),
    _json(
        "template-two", "the template makes [3, 3, 0]", "", UNSUPPORTED,
        added_tokens=[_added()], post_processor=_template(3, 3),
    ),
]  # fmt: skip


def piece(text: bytes, kind: int) -> bytes:
    """Return one piece of a SentencePiece model: spelling 1, score 2, type 3."""
    body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -1.0) + b"\x18" + bytes([kind])
    return b"\x0a" + bytes([len(body)]) + body


SENTENCEPIECE = piece(b"<unk>", 2) + piece(b"a", 1) + b"\x12\x02\x18\x02"
"""A model of two pieces, BPE."""


def _sp(name: str, data: bytes, says: str = "not a usable SentencePiece model", then: str = "model: ") -> Case:
    return Case(f"sentencepiece-{name}", files(model_folder(tokenizer_model=data)), BAD, says, TOKENIZING, then)


def _beside(name: str, says: str, then: str = "", **extra: bytes) -> Case:
    folder = model_folder(tokenizer_model=SENTENCEPIECE, **extra)
    return Case(f"sentencepiece-{name}", files(folder), BAD, says, TOKENIZING, then)


def _listed(name: str, entry: Any) -> Case:
    data = json.dumps({"added_tokens_decoder": entry}).encode()
    return _beside(name, "added_tokens_decoder must map ids to tokens with a content", tokenizer_config_json=data)


SP = [
    _sp("empty", b""),
    _sp("zeros", bytes(100)),
    _sp("text", b"hello, world"),
    _sp("cut", SENTENCEPIECE[:-1]),
    _sp("no-unknown", piece(b"a", 1)),
    _sp("same-piece", SENTENCEPIECE + piece(b"a", 1)),
    _sp("empty-piece", SENTENCEPIECE + piece(b"", 1)),
    _beside("added-broken", "added_tokens.json: not JSON: ", "not JSON: ", added_tokens_json=b"{"),
    _beside("added-list", "added_tokens.json: holds no JSON object", added_tokens_json=b"[]"),
    _beside("added-negative", "the added token 'x' has the id -1, which is", added_tokens_json=b'{"x": -1}'),
    _beside("added-taken", "the added token 'x' has the id 0, which is taken", added_tokens_json=b'{"x": 0}'),
    _beside("added-far", "token 'x' has the id 99999, but there are 3 tokens", added_tokens_json=b'{"x": 99999}'),
    _listed("listed-text", {"7": "x"}),
    _listed("listed-word", {"x": {"content": "y"}}),
    _listed("listed-bare", {"7": {}}),
    _listed("listed-number", {"7": {"content": 5}}),
]  # fmt: skip


def _ints(*values: int) -> bytes:
    return array_header(5, len(values)) + struct.pack(f"<{len(values)}i", *values)


def _scores(*values: float) -> bytes:
    return array_header(6, len(values)) + struct.pack(f"<{len(values)}f", *values)


def _keys(name: str, says: str, code: int = BAD, then: str = "", **changes: bytes | None) -> Case:
    build: Build = gguf(**{f"tokenizer__ggml__{key}": value for key, value in changes.items()})
    return Case(f"gguf-tokenizer-{name}", build, code, says, TOKENIZING, then)


def _llama(name: str, says: str, then: str = "", scores: bytes = _scores(0, -1, -2), **changes: bytes) -> Case:
    own = {
        "model": string("llama"),
        "scores": scores,
        "tokens": strings(["<unk>", "a", "b"]),
        "token_type": _ints(2, 1, 1),
    }
    return _keys(f"llama-{name}", says, BAD, then, **{**own, **changes})


KEYS = [
    _keys("none", "carries no tokenizer", model=None),
    _keys("model-other", "tokenizer.ggml.model is 'bert'", UNSUPPORTED, model=string("bert")),
    _keys("model-number", "tokenizer.ggml.model is 3", UNSUPPORTED, model=u32(3)),
    _keys("pre-unknown", "tokenizer.ggml.pre is 'zz'", UNSUPPORTED, pre=string("zz")),
    _keys("no-tokens", "the metadata has no 'tokenizer.ggml.tokens'", tokens=None),
    _keys("tokens-number", "'tokenizer.ggml.tokens' is no array", tokens=u32(1)),
    _keys("tokens-numbers", "must hold only str values", tokens=_ints(1, 2, 3)),
    _keys("tokens-few", "1 tokens and 3 types in tokenizer.ggml; one each", tokens=strings(["a"])),
    _keys("tokens-alike", "merges cannot be used", then="be used: ", tokens=strings(["a", "a", "ab"])),
    _keys("types-few", "3 tokens and 1 types", token_type=_ints(1)),
    _keys("types-floats", "must hold only int values", token_type=_scores(1, 1, 1)),
    _keys("no-merges", "the metadata has no 'tokenizer.ggml.merges'", merges=None),
    _keys("merge-one", "merge 'ab' in tokenizer.ggml.merges is not two pieces", merges=strings(["ab"])),
    _keys("merge-unknown", "merges cannot be used", then="be used: ", merges=strings(["a z"])),
    _keys("bos-number", "add_bos_token is 1; true or false", add_bos_token=u32(1)),
    _keys("bos-none", "has no 'tokenizer.ggml.bos_token_id'", add_bos_token=struct.pack("<IB", 7, 1)),
    _keys("eos-far", "eos_token_id is 3; ids run from 0 to 2", eos_token_id=u32(3)),
    _keys("eos-text", "eos_token_id is '2'; ids run from 0 to 2", eos_token_id=string("2")),
    _keys("eos-fraction", "eos_token_id is 1.5; ids run", eos_token_id=f32(1.5)),
    _llama("no-unknown", "no token has the type 2 (unknown)", token_type=_ints(1, 1, 1)),
    _llama("scores-few", "3 tokens, 2 scores and 3 types", scores=_scores(0, -1)),
    _llama("scores-nan", "scores holds NaN or infinity", scores=_scores(0, float("nan"), -2)),
    _llama("type-negative", "cannot be built: ", "cannot be built: ", token_type=_ints(2, -1, 1)),
    _llama("empty-token", "cannot be built: ", "cannot be built: ", tokens=strings(["<unk>", "", "b"])),
]  # fmt: skip

TOKENIZERS = [*JSON, *SP, *KEYS]
