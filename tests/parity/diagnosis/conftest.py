"""A sound model of each graph family: its weights as the diagnosis reads them, its engine model, and ids to run."""

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_parity.diagnosis.weights import CheckpointWeights
from tests.engine import families

IDS = tuple(np.random.default_rng(5).integers(0, families.SIZES.vocab, 48).tolist())


@pytest.fixture(scope="session")
def sound(packed, tmp_path_factory):
    """Weights and model by family."""
    folder = tmp_path_factory.mktemp("sound")
    made = {}
    for family in ("bitnet", "llama"):
        path = families.write_hf(families.make(family), folder / family, packed / "tokenizer.json")
        made[family] = CheckpointWeights(engine.open_checkpoint(path)), engine.load(path)
    yield made
    for weights, _ in made.values():
        weights.checkpoint.close()
