"""Fixtures of the engine's tests: tiny random models and the shipped one."""

from pathlib import Path

import pytest

import bitnet_engine as engine
from tests.engine import tiny


@pytest.fixture(scope="session")
def tokenizer_json(packed: Path) -> Path:
    """A real tokenizer.json; tiny models use a part of its ids."""
    return packed / "tokenizer.json"


@pytest.fixture(scope="session")
def tiny_packed(tmp_path_factory, tokenizer_json):
    """A tiny random model and the folder it was written to."""
    plain = tiny.plain_model(seed=1)
    return plain, tiny.write_packed(plain, tmp_path_factory.mktemp("tiny") / "packed", tokenizer_json)


@pytest.fixture(scope="session")
def sample(packed: Path) -> engine.Model:
    """The shipped sample, loaded."""
    return engine.load(packed)
