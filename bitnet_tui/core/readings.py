"""How a file was read where it does not say so itself, in words: the layout of I2_S, the tiles of TL1 and TL2.

    reading_text(report["reading"])      # "I2_S layout B, detected (share of equal codes in 8 matrices: …)"

Takes the JSON-ready `reading` of the engine's results; knows no file.
"""

from collections.abc import Mapping
from typing import Any

from bitnet_tui.core.text import safe

LAYOUTS = ("auto", "A", "B", "C")
"""What --i2s-layout takes; auto is what a reference proves, else A."""


def reading_text(reading: Mapping[str, Any]) -> str:
    """Return how a file was read, as one line; empty where it left nothing open."""
    parts = []
    if layout := reading.get("i2s_layout"):
        basis, evidence = reading["i2s_basis"], reading["i2s_evidence"]
        why = f" ({safe(evidence, 300)})" if evidence else "; no file states it" if basis == "assumed" else ""
        parts.append(f"I2_S layout {layout}, {basis}{why}")
    if config := reading.get("kernel_config"):
        parts.append(f"tiles of {safe(config, 200)}, sha256 {reading['kernel_config_sha256'][:16]}")
    return " · ".join(parts)


def needs_a_word(reading: Mapping[str, Any]) -> bool:
    """Return whether a person should hear of a reading before its numbers: it is unusual, or its proof failed."""
    failed = reading.get("i2s_basis") == "assumed" and reading["i2s_evidence"]
    return bool(failed) or reading.get("i2s_layout") not in (None, "A")
