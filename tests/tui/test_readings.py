"""How a file was read, in words: nothing for most files, and a warning only where the numbers depend on it."""

import pytest

from bitnet_tui.core.readings import needs_a_word, reading_text

NOTHING = dict.fromkeys(("i2s_layout", "i2s_basis", "kernel_config", "kernel_config_sha256")) | {"i2s_evidence": ""}


@pytest.mark.parametrize(
    ("reading", "text", "warns"),
    [
        ({}, "", False),
        ({"i2s_layout": "A", "i2s_basis": "assumed"}, "I2_S layout A, assumed; no file states it", False),
        ({"i2s_layout": "B", "i2s_basis": "given"}, "I2_S layout B, given", True),
        (
            {"i2s_layout": "A", "i2s_basis": "assumed", "i2s_evidence": "no layout\x1b"},
            "I2_S layout A, assumed (no layout␛)",
            True,
        ),
        (
            {"i2s_layout": "A", "i2s_basis": "detected", "i2s_evidence": "A 1.0"},
            "I2_S layout A, detected (A 1.0)",
            False,
        ),
        (
            {"kernel_config": "k.ini", "kernel_config_sha256": "ab" * 32},
            "tiles of k.ini, sha256 abababababababab",
            False,
        ),
    ],
)
def test_words(reading, text, warns):
    """A guess shown as a fact, an escape sequence obeyed, or a warning on every sound file."""
    assert reading_text(NOTHING | reading) == text
    assert needs_a_word(NOTHING | reading) is warns
