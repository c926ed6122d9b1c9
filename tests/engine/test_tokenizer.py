"""Tokenizers from both formats: same ids on the sample, the split rules of each `pre`, and what is refused."""

import pytest
from tokenizers.pre_tokenizers import ByteLevel

import bitnet_engine as engine
from bitnet_engine.formats import Array, write_gguf

TEXTS = [
    "",
    " ",
    "It's 12345, I'LL go\n\n  twice",
    "foo.bar(x_1) == {'a': [1, 2]}\t# done\r\n",
    "naïve café — “quotes” … Ελληνικά 日本語 😀👩‍👩‍👧 \u202e rtl \u0000\u001b[2J",
    "<|begin_of_text|>User: hi<|eot_id|>",
    "a" * 300,
]


@pytest.mark.parametrize("text", TEXTS)
def test_gguf_metadata_gives_the_ids_of_tokenizer_json(sample, i2_s, text):
    """Red when the split rule, the special tokens or the BOS of a GGUF are read differently."""
    with engine.open_checkpoint(i2_s) as checkpoint:
        tokenizer = engine.load_tokenizer(checkpoint)
    assert tokenizer.encode(text) == sample.tokenizer.encode(text)
    assert tokenizer.encode(text)[0] == 4088
    assert tokenizer.encode(text, bos=False) == tokenizer.encode(text)[1:]


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back(sample, text):
    """Red when a byte is lost between text and tokens."""
    assert sample.tokenizer.decode(sample.tokenizer.encode(text, bos=False)) == text


def byte_tokens():
    """All single bytes as byte-level tokens, so that every split shows as it is."""
    return sorted(ByteLevel.alphabet())


def gguf(tmp_path, **changes):
    """Write a GGUF whose tokenizer knows single bytes only."""
    tokens = byte_tokens()
    metadata = {
        "general.architecture": "bitnet-b1.58",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Array("i32", [1] * len(tokens)),
        "tokenizer.ggml.merges": Array("str", []),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    path = tmp_path / "tokenizer.gguf"
    write_gguf(path, {key: value for key, value in metadata.items() if value is not None}, [])
    return path


def build(path):
    with engine.open_checkpoint(path) as checkpoint:
        return engine.load_tokenizer(checkpoint)


@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        # docs/formats.md §3.4: three rules, three answers.
        ("llama-bpe", "foo.bar(x_1)", ["foo", ".bar", "(x", "_", "1", ")"]),
        (None, "foo.bar(x_1)", ["foo", ".", "bar", "(", "x", "_", "1", ")"]),
        ("llama-bpe", "It's 12345, I'LL go", ["It", "'s", "Ġ", "123", "45", ",", "ĠI", "'LL", "Ġgo"]),
        (None, "It's 12345, I'LL go", ["It", "'", "s", "Ġ", "123", "45", ",", "ĠI", "'", "LL", "Ġgo"]),
        ("gpt-2", "It's 12345, I'LL go", ["It", "'s", "Ġ12345", ",", "ĠI", "'", "LL", "Ġgo"]),
        ("smollm", "is 12", ["is", "Ġ", "1", "2"]),
        ("llama-bpe", "Hi!\n", ["Hi", "!Ċ"]),
        (None, "Hi!\n", ["Hi", "!", "Ċ"]),
    ],
)
def test_each_pre_splits_as_llama_cpp_does(tmp_path, pre, text, pieces):
    """Red when a missing `pre` is taken for another rule; ids then differ inside numbers and quotes."""
    split = build(gguf(tmp_path, pre=pre)).backend.pre_tokenizer
    assert split is not None
    assert [piece for piece, _ in split.pre_tokenize_str(text)] == pieces


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"model": None}, engine.FormatError, "carries no tokenizer"),
        ({"model": "bert"}, engine.UnsupportedError, "'bert'"),
        ({"model": "llama"}, engine.FormatError, "no 'tokenizer.ggml.scores'"),
        ({"pre": "falcon_e"}, engine.UnsupportedError, "'falcon_e'"),
        ({"tokens": None}, engine.FormatError, "no 'tokenizer.ggml.tokens'"),
        ({"merges": ["ab"]}, engine.FormatError, "two pieces"),
        ({"merges": ["a zz"]}, engine.FormatError, "cannot be used"),
        ({"bos_token_id": None}, engine.FormatError, "BOS is to be added"),
        ({"bos_token_id": 4096}, engine.FormatError, "ids run from 0 to"),
    ],
)
def test_a_broken_gguf_tokenizer_is_refused(tmp_path, changes, kind, message):
    """Red when a wrong key is skipped and the ids quietly change."""
    with pytest.raises(kind, match=message):
        build(gguf(tmp_path, **changes))


def test_llama3_rule_is_used_for_the_official_file_without_pre(tmp_path):
    """Red when the official 2B-4T GGUF, which lacks `pre`, gets the default split."""
    tokens = byte_tokens() + [f"<t{index}>" for index in range(128_256 - 256)]
    kinds = Array("i32", [1] * len(tokens))
    split = build(gguf(tmp_path, pre=None, tokens=tokens, token_type=kinds)).backend.pre_tokenizer
    assert split is not None
    assert [piece for piece, _ in split.pre_tokenize_str("foo.bar")] == ["foo", ".bar"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "Nothing"}}'])
def test_a_broken_tokenizer_json_is_one_line(tmp_path, packed, content):
    """Red when the tokenizer library's own exception reaches the user."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(engine.FormatError, match=r"tokenizer\.json") as caught:
        build(tmp_path)
    assert "\n" not in str(caught.value)


def test_truncation_saved_in_a_tokenizer_json_is_lifted(tmp_path, packed, sample):
    """Red when a file saved with max_length cuts every text it scores."""
    cut = type(sample.tokenizer.backend).from_file(str(packed / "tokenizer.json"))
    cut.enable_truncation(4)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    cut.save(str(tmp_path / "tokenizer.json"))
    assert build(tmp_path).encode("one two three four five six") == sample.tokenizer.encode(
        "one two three four five six"
    )
