"""Fixtures that every room of the tests shares: the shipped sample and the corpus."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# No accelerator in tests, whatever the machine has, and no messages about the one that is missing.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nothing of a test stays in the user's folders.
os.environ["BITNET_TUI_COMPILED"] = "off"


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def samples() -> Path:
    """The shipped samples."""
    return ROOT / "samples"


@pytest.fixture(scope="session")
def packed(samples: Path) -> Path:
    """The sample as a packed Hugging Face folder."""
    return samples / "nano" / "packed"


@pytest.fixture(scope="session")
def i2_s(samples: Path) -> Path:
    """The sample as an I2_S GGUF."""
    return samples / "nano" / "model-i2_s.gguf"
