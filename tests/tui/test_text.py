"""Strings from files must not reach the terminal as anything but glyphs."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_tui.core.text import (
    ago,
    duration,
    elide,
    human_bytes,
    human_count,
    number,
    safe,
    safe_lines,
    token_text,
)

FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
ANY_TEXT = st.text(st.characters() | st.sampled_from("\x1b\x9b\u202e\u200b\u2028\ufe0f\U000e0041[]·"), max_size=300)


@given(ANY_TEXT, st.integers(4, 200))
def test_safe_holds_no_control_and_keeps_its_limit(text, limit):
    """A raw ESC, C1, bidi or tag character reached the terminal from every Textual sink that was tried."""
    shown = safe(text, limit)
    assert not FORBIDDEN.search(shown)
    assert len(shown) <= limit


@given(ANY_TEXT)
def test_safe_changes_nothing_twice(text):
    """A view-model and a widget may both call it; a name must not be escaped a second time."""
    assert safe(safe(text, 2400), 2400) == safe(text, 2400)


@given(ANY_TEXT)
def test_a_token_is_visible_whatever_it_is(text):
    """A token of width 0 leaves the cursor nothing to stand on."""
    shown = token_text(text)
    assert shown
    assert not FORBIDDEN.search(shown)
    assert unicodedata.category(shown[0])[0] != "M"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("blk.0\x1b[2J", "blk.0␛[2J"),
        ("a\x7f\x9b", "a␡⟨U+009B⟩"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("\ufe0f", "⟨U+FE0F⟩"),
        ("日本語", "日本語"),
        ("line\nline", "line␊line"),
    ],
)
def test_hidden_characters_are_named(text, shown):
    """Dropping a hidden character would let two different names look the same."""
    assert safe(text) == shown


def test_long_text_says_that_it_was_cut():
    """A name cut without a sign reads as the whole name."""
    assert safe("x" * 300) == "x" * 199 + "…"
    assert safe("é" * 300) == "é" * 199 + "…"
    assert safe_lines("a\nb\nc", limit=2) == ["a", "b", "… 1 more lines"]


@pytest.mark.parametrize(
    ("text", "shown"), [(" a b\n", "·a·b↵"), ("\t", "→"), ("", "∅"), ("\u0301", "◌\u0301"), ("\r", "␍")]
)
def test_tokens_show_their_spaces(text, shown):
    """A leading space is part of a token, and invisible when printed."""
    assert token_text(text) == shown


def test_elide_keeps_both_ends():
    """The start of a path says which disk, its end says which file."""
    assert elide("/models/bitnet/model.gguf", 15) == "/mod…model.gguf"
    assert elide("short", 15) == "short"
    assert elide("longer than two", 2) == "……"[:1]


def test_numbers_that_do_not_exist_are_dashes():
    """A NaN printed as 0 would read as a measurement."""
    assert [number(x) for x in (0.965, -0.5, 1.0, None, float("nan"))] == [".965", "-.500", "1.000", "—", "—"]
    assert number(-0.0001) == ".000"


def test_units():
    """999 MiB must not become 0.976 GiB, nor 1000 B stay bytes."""
    assert human_bytes(512) == "512 B"
    assert human_bytes(1_181_116_006) == "1.1 GiB"
    assert human_count(2_412_820_480) == "2.41 B"
    assert duration(3) == "3 s"
    assert duration(125) == "2 m 05 s"
    assert duration(4320) == "1 h 12 m"
    assert [ago(s) for s in (5, 300, 7200, 200_000)] == ["now", "5 m ago", "2 h ago", "2 d ago"]
