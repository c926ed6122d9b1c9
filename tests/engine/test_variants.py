"""The reference again with what must not matter changed: close to it, but not it, and one row a token."""

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.errors import BitnetError
from bitnet_engine.variants import HalfUlp, OtherShape
from tests.engine import tiny

TOKENS = [3, 17, 250, 9, 9, 120, 44]


@pytest.fixture(scope="module")
def tied(tmp_path_factory, packed):
    """A tiny model whose head is its embedding."""
    return engine.load(
        tiny.write_packed(tiny.plain_model(5), tmp_path_factory.mktemp("tied"), packed / "tokenizer.json")
    )


@pytest.fixture(scope="module")
def untied(tmp_path_factory, packed):
    """A tiny model with a head of its own."""
    plain = tiny.plain_model(6, tied=False)
    return engine.load(tiny.write_packed(plain, tmp_path_factory.mktemp("untied"), packed / "tokenizer.json"))


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_half_an_ulp_is_half_an_ulp(kind, request):
    """Red when the noise is a whole percent, all in one direction, or none."""
    model = request.getfixturevalue(kind)
    rows = np.asarray(model.weights.token_embd[np.array(TOKENS)], np.float32)
    moved = HalfUlp(model)._moved(rows)
    ulps = (moved - rows) / np.spacing(np.abs(rows))
    assert np.abs(ulps).max() <= 1.0
    assert 0.4 < np.abs(ulps).mean() < 0.6
    assert abs(ulps.mean()) < 0.1
    np.testing.assert_array_equal(HalfUlp(model)._moved(np.zeros((2, 3), np.float32)), 0.0)


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_the_model_hardly_notices(kind, request):
    """Red when the moved rows stand for other tokens, or the head is moved too."""
    model = request.getfixturevalue(kind)
    expected = model.logits(TOKENS)
    found = HalfUlp(model).logits(TOKENS)
    assert found.shape == expected.shape
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    np.testing.assert_array_equal(found, HalfUlp(model).logits(TOKENS))
    assert (found != HalfUlp(model, seed=1).logits(TOKENS)).any()


def test_moved_by_nothing_it_is_the_model(tied, monkeypatch):
    """Red when the short table of rows changes what is computed, beside the noise."""
    monkeypatch.setattr(HalfUlp, "_moved", lambda _self, rows: rows)
    np.testing.assert_array_equal(HalfUlp(tied).logits(TOKENS), tied.logits(TOKENS))


@pytest.mark.parametrize("length", [1, 31, 32, 64])
def test_another_shape_is_the_same_model(tied, length):
    """Red when padding is seen, or a window as long as the model's positions has no longer shape."""
    tokens = np.random.default_rng(length).integers(0, 300, length).tolist()
    found, expected = OtherShape(tied).logits(tokens), tied.logits(tokens)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


@pytest.mark.parametrize("tokens", [[], [300], [-1], [0] * 65])
def test_what_the_model_refuses_is_refused(tied, tokens):
    """Red when an id outside the vocabulary is answered for another token."""
    for variant in (HalfUlp(tied), OtherShape(tied)):
        with pytest.raises(BitnetError):
            variant.logits(tokens)
