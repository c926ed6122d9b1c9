"""Fixtures that every room of the tests shares: the shipped sample and the corpus."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# No accelerator in tests, whatever the machine has, and no messages about the one that is missing.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nothing of a test stays in the user's folders; but the programs that one process has compiled serve the next, as they
# do a user. Whoever starts first makes the folder, and the workers inherit it.
COMPILED = "BITNET_TUI_COMPILED_BY_TESTS"
_FIRST = COMPILED not in os.environ
if _FIRST:
    os.environ[COMPILED] = tempfile.mkdtemp(prefix="compiled-")
os.environ["BITNET_TUI_COMPILED"] = os.environ[COMPILED]


def pytest_unconfigure() -> None:
    """Remove the compiled programs, where this process made their folder."""
    if _FIRST:
        shutil.rmtree(os.environ.pop(COMPILED), ignore_errors=True)


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
