"""SentencePiece from tokenizer.model and from GGUF's keys: the ids of the sentencepiece library itself."""

import io
import json
import os

import pytest
import sentencepiece

import bitnet_engine as engine
from bitnet_engine import sentencepiece_proto as proto
from bitnet_engine.formats import Array, write_gguf
from bitnet_engine.tokenizer_writing import gguf_keys, write_files
from tests.engine import tiny

BATTERY = [
    "",
    " ",
    "a",
    "The people of the United States,  twice spaced",
    "  leading\n\n\ttabs and\r\nlines ",
    "It's 12345, I'LL go; foo.bar(x_1) == {'a': [1, 2]}",
    "naïve café — “quotes” … Ελληνικά 日本語 😀👩‍👩‍👧 \u202e rtl \x1b[2J",
    "aaaaaaaaaaaaaaaa " * 5,
    "▁ already ▁▁ marked",
    "<0x41> <s2> < s>",
    "=====----=====",
]
CONTINUED = [text for text in BATTERY if text]


@pytest.fixture(scope="module")
def trained(samples):
    """A small BPE model trained on the sample's text, as Llama's was: byte fallback, no normalisation."""
    made = io.BytesIO()
    sentences = [
        line for file in sorted((samples / "eval").glob("*.txt")) for line in file.read_text().splitlines() if line
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=made,
        model_type="bpe",
        vocab_size=1200,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    return made.getvalue()


@pytest.fixture(scope="module")
def library(trained):
    """The sentencepiece library on that model: the oracle."""
    return sentencepiece.SentencePieceProcessor(model_proto=trained)


@pytest.fixture
def folder(tmp_path, trained, packed):
    """Return a function that makes a model folder with tokenizer.model and the files given by name."""

    def make(**files):
        place = tmp_path / "folder"
        tiny.write_packed(tiny.plain_model(seed=1), place, packed / "tokenizer.json", eos_token_id=2)
        (place / "tokenizer.json").unlink()
        (place / "tokenizer.model").write_bytes(trained)
        for name, content in files.items():
            (place / f"{name}.json").write_text(json.dumps(content))
        return place

    return make


def gguf(path, library, *, added=(), **changes):
    """Write GGUF's keys as llama.cpp's converter does, from what the library says of each id."""
    size = library.get_piece_size()
    kinds = [
        2 if library.is_unknown(i) else 3 if library.is_control(i) else 6 if library.is_byte(i) else 1
        for i in range(size)
    ]
    metadata = {
        "general.architecture": "bitnet",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*(library.id_to_piece(i) for i in range(size)), *added],
        "tokenizer.ggml.scores": Array("f32", [*(library.get_score(i) for i in range(size)), *[-1000.0] * len(added)]),
        "tokenizer.ggml.token_type": Array("i32", [*kinds, *[4] * len(added)]),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    write_gguf(path, {key: value for key, value in metadata.items() if value is not None}, [])
    return path


def build(path):
    with engine.open_checkpoint(path) as checkpoint:
        return engine.load_tokenizer(checkpoint)


@pytest.mark.parametrize("text", BATTERY)
def test_both_formats_give_the_ids_of_the_library(tmp_path, folder, library, text):
    """Red when merges, byte fallback or the dummy prefix differ from sentencepiece's, or the BOS is not added."""
    expected = library.encode(text, out_type=int)
    for tokenizer in (build(folder()), build(gguf(tmp_path / "m.gguf", library))):
        assert tokenizer.encode(text) == [1, *expected]
        assert tokenizer.encode(text, bos=False) == expected
        # Of '▁' the library makes a space, and nobody can tell them apart afterwards.
        assert tokenizer.decode(expected) == library.decode(expected) == text.replace("▁", " ")


def test_the_sample_text_gives_the_ids_of_the_library(tmp_path, samples, library):
    """Red when a rare merge goes another way: 130 KB of text."""
    tokenizer = build(gguf(tmp_path / "m.gguf", library))
    for file in sorted((samples / "eval").glob("*.txt")):
        assert tokenizer.encode(file.read_text(), bos=False) == library.encode(file.read_text(), out_type=int)


def test_both_formats_have_one_fingerprint(tmp_path, folder, library):
    """Red when one model in two formats counts as two vocabularies."""
    assert build(folder()).fingerprint() == build(gguf(tmp_path / "m.gguf", library)).fingerprint()


def test_leftmost_of_equal_merges_wins(tmp_path):
    """Red when merges come out of a table, where 'aba' of 'ab' + 'a' and of 'a' + 'ba' cannot have one rank."""
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", "ba", "aba"]
    changes = {
        "tokens": tokens,
        "scores": Array("f32", [0.0, 0.0, 0.0, -5.0, -6.0, -1.0, -2.0, -3.0]),
        "token_type": Array("i32", [2, 3, 3, 1, 1, 1, 1, 1]),
        "add_space_prefix": False,
    }
    path = tmp_path / "m.gguf"
    metadata = {"general.architecture": "bitnet", "tokenizer.ggml.model": "llama", "tokenizer.ggml.bos_token_id": 1}
    write_gguf(path, metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}, [])
    # abaaba: ab a ab a -> aba, aba by the best merge first and the leftmost of equals.
    assert [tokens[i] for i in build(path).encode("abaaba", bos=False)] == ["aba", "aba"]


def test_special_tokens_in_a_text_are_taken_as_such(tmp_path, folder, library):
    """Red when an added or control token is cut into letters, or the formats treat what follows it differently."""
    size = library.get_piece_size()
    added = {"<pad>": size, "</line>": size + 1}
    text = "one</line>two<s> three<pad>"
    stretches = [library.encode(part, out_type=int) for part in ("one", "two", " three")]
    expected = [*stretches[0], size + 1, *stretches[1], 1, *stretches[2], size]
    from_folder, from_gguf = build(folder(added_tokens=added)), build(gguf(tmp_path / "m.gguf", library, added=added))
    for tokenizer in (from_folder, from_gguf):
        assert tokenizer.encode(text, bos=False) == expected
        assert tokenizer.decode(expected) == text
        assert tokenizer.vocab_size == size + 2
    assert from_folder.fingerprint() == from_gguf.fingerprint()


def test_an_added_token_between_others_keeps_its_id(tmp_path, folder):
    """Red when ids after an added token move by one, or the token cannot be carried on."""
    tokens = ["<unk>", "<s>", "</s>", "<sep>", "a", "b", "▁", "<end>"]
    keys = {
        "tokens": tokens,
        "scores": Array("f32", [0.0, 0.0, 0.0, -1000.0, -1.0, -2.0, -3.0, -1000.0]),
        "token_type": Array("i32", [2, 3, 3, 4, 1, 1, 1, 4]),
        "bos_token_id": 1,
        "model": "llama",
    }
    metadata = {"general.architecture": "bitnet"} | {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    write_gguf(tmp_path / "m.gguf", metadata, [])
    assert build(tmp_path / "m.gguf").encode("a<sep>b<end>") == [1, 6, 4, 3, 6, 5, 7]
    place = folder()
    with engine.open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        (place / "tokenizer.model").unlink()
        write_files(checkpoint, place)
    with engine.open_checkpoint(place) as checkpoint:
        again = gguf_keys(checkpoint)
        assert engine.load_tokenizer(checkpoint).encode("a<sep>b<end>") == [1, 6, 4, 3, 6, 5, 7]
    for key in ("tokens", "scores", "token_type"):
        expected = keys[key] if key == "tokens" else keys[key].values
        assert again[f"tokenizer.ggml.{key}"].values == expected


@pytest.mark.parametrize("text", CONTINUED)
def test_generated_text_keeps_its_spaces(folder, library, text):
    """Red when every streamed piece loses its first space: Thepeopleofthe."""
    tokenizer = build(folder())
    ids = library.encode(text, out_type=int)
    assert "".join(engine.stream_text(tokenizer, ids)) == " " + text.replace("▁", " ")


def test_bos_follows_the_config(folder):
    """Red when add_bos_token is not obeyed, or eos is not the config's."""
    tokenizer = build(folder(tokenizer_config={"add_bos_token": False}))
    assert tokenizer.bos is None
    assert tokenizer.encode("") == []
    assert tokenizer.eos == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "SentencePiece model"),
        (b"IQ== 0\nIg== 1\n", "SentencePiece model"),  # tiktoken's ranks, which Microsoft ships under this name
        (b"\x0a\xff\xff\xff\xff\x0f", "SentencePiece model"),
    ],
)
def test_what_is_no_sentencepiece_model_is_one_line(folder, content, message):
    """Red when the library's exception, or a crash, reaches the user."""
    place = folder()
    (place / "tokenizer.model").write_bytes(content)
    with pytest.raises(engine.FormatError, match=message) as caught:
        build(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "no 'tokenizer.ggml.scores'"),
        ({"scores": Array("f32", [0.0])}, "one each"),
        ({"token_type": Array("i32", [1] * 1200)}, "unknown"),
        ({"bos_token_id": None}, "BOS is to be added"),
    ],
)
def test_broken_keys_are_refused(tmp_path, library, changes, message):
    """Red when a missing score or unknown token quietly gives other ids."""
    with pytest.raises(engine.FormatError, match=message):
        build(gguf(tmp_path / "m.gguf", library, **changes))


def test_a_model_file_is_read_as_the_library_reads_it(trained, library):
    """Red when pieces, scores or settings taken from the file by hand are not the library's."""
    pieces = proto.pieces(trained)
    assert [(text, score) for text, score, _ in pieces] == [
        (library.id_to_piece(i), library.get_score(i)) for i in range(library.get_piece_size())
    ]
    assert proto.settings(trained) == proto.Settings()


def test_a_conversion_carries_it_both_ways(tmp_path, folder, library):
    """Red when a SentencePiece model cannot leave its folder, or comes back as another."""
    source = folder(added_tokens={"<pad>": library.get_piece_size()})
    engine.convert(source, tmp_path / "m.gguf", engine.QuantType.I2_S, allow_lossy=True)
    engine.convert(tmp_path / "m.gguf", tmp_path / "back", engine.QuantType.HF_PACKED)
    engine.convert(tmp_path / "back", tmp_path / "again.gguf", engine.QuantType.I2_S)
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "m.gguf").read_bytes()
    assert sorted(os.listdir(tmp_path / "back"))[0] == "added_tokens.json"
    assert build(tmp_path / "back").encode("one<pad> two") == build(source).encode("one<pad> two")
