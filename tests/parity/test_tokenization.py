"""Tokenizer parity: the battery, and where the first difference lies to the byte."""

import unicodedata

import orjson

from bitnet_parity import BATTERY, Document, compare_tokenizers

from .fakes import Bytes


def spelled(change):
    """Compare bytes with bytes of a changed text, on the battery alone."""
    return compare_tokenizers(Bytes(), Bytes(spell=change), [])


def test_the_battery_is_what_it_says():
    """Red when a string is lost or written twice, or a kind of text that tells tokenizers apart is gone."""
    assert len(BATTERY) == len(set(BATTERY)) >= 60
    everything = "".join(BATTERY)
    for needle in (
        "foo.bar(x_1)",
        "It's 12345, I'LL go",
        "Hi!\n",
        "<|eot_id|>",
        "\u200d",
        "\r\n",
        "\x00",
        "  ",
    ):
        assert needle in everything
    assert "" in BATTERY
    assert {"Nd", "Lo", "So", "Cf", "Cc", "Mn", "Zs"} <= {unicodedata.category(c) for c in everything}
    assert {"R", "AL", "AN"} <= {unicodedata.bidirectional(c) for c in everything}
    assert all(text.encode() for text in BATTERY if text)


def test_equal_tokenizers_agree_on_everything():
    """Red when BOS, the battery or a document is left out of the count."""
    documents = [Document("a", "text"), Document("b", "")]
    found = compare_tokenizers(Bytes(), Bytes(), documents)
    assert (found.strings, found.equal, found.rate) == (len(BATTERY) + 3, len(BATTERY) + 3, 1.0)
    assert found.first_difference is None


def test_another_bos_is_a_difference():
    """Red when two models that open a sequence differently count as one tokenizer."""
    found = compare_tokenizers(Bytes(bos=256), Bytes(bos=None), [])
    assert found.equal == 0  # every sequence begins with another id
    assert (found.first_difference.string, found.first_difference.ids_reference) == ("bos", (256,))
    assert found.first_difference.ids_candidate == ()


def test_first_difference_is_shown_to_the_byte():
    """Red when the offset counts characters or ids where it says bytes."""
    found = compare_tokenizers(Bytes(), Bytes(spell=lambda t: t.replace("Z", "z")), [Document("d", "naïve Zoë Z")])
    difference = found.first_difference
    assert difference.string == f"battery {BATTERY.index('2024-02-29T23:59:59Z')}"
    assert difference.byte_offset == 19
    found = compare_tokenizers(Bytes(), Bytes(spell=lambda t: t.replace("ë", "e")), [Document("d", "naïve Zoë Z")])
    assert found.first_difference.string == "d"
    assert found.first_difference.byte_offset == len("naïve Zo".encode())
    assert found.first_difference.ids_reference == tuple("ë Z".encode())
    assert found.first_difference.ids_candidate == tuple(b"e Z")
    assert found.strings - found.equal == 1


def test_a_difference_inside_a_character_is_at_its_first_byte():
    """Red when ids that end inside a character move the offset past it."""
    found = compare_tokenizers(Bytes(), Bytes(spell=lambda t: t.replace("ê", "ë")), [Document("d", "aê")])
    assert (found.first_difference.index, found.first_difference.byte_offset) == (2, 1)


def test_one_side_that_ends_early_differs_at_its_end():
    """Red when a prefix counts as equal, or the index is out of range."""
    found = compare_tokenizers(Bytes(), Bytes(spell=lambda t: t.removesuffix("!!")), [Document("d", "Hi!!")])
    assert found.first_difference.ids_candidate == ()
    assert found.first_difference.ids_reference[:2] == tuple(b"!!")


def test_a_long_document_is_shown_in_part():
    """Red when a report holds a whole book to show one id."""
    found = compare_tokenizers(
        Bytes(), Bytes(spell=lambda t: t.replace("§", "#")), [Document("d", "x" * 5000 + "§" + "y" * 5000)]
    )
    assert found.first_difference.byte_offset == 5000
    assert found.first_difference.text == "x" * 40 + "§" + "y" * 39
    assert len(orjson.dumps(found.to_json())) < 1000


def test_ids_are_handed_on_once_for_each_document():
    """Red when documents are tokenised twice, or the battery is taken for corpus."""
    kept = []
    compare_tokenizers(Bytes(), Bytes(), [Document("a", "hi")], keep=lambda *pair: kept.append(pair))
    assert kept == [(Document("a", "hi"), [104, 105])]
