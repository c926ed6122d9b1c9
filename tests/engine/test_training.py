"""The recipe of the sample: what is trained is what the engine runs, and the curve that ships is its own."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import orjson
import pytest
from safetensors.numpy import load_file

import bitnet_engine as engine

pytest.importorskip("optax", reason="the recipe needs optax, which the dev extra installs")


@pytest.fixture(scope="module")
def recipe(samples):
    """samples/train.py as a module."""
    specification = importlib.util.spec_from_file_location("train", samples / "train.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def master(samples):
    return samples / "nano" / "master"


def interrupted(save):
    """Return `save`, with Ctrl-C pressed after it."""

    def saved(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    return saved


def test_what_is_trained_is_what_is_run(recipe, master, samples):
    """Red when a norm, the activation, rope or a quantiser of the recipe is not the engine's."""
    model = engine.load(master)
    text = (samples / "eval" / "austen-emma-08.txt").read_text()
    tokens = np.asarray(model.tokenizer.encode(text)[: recipe.POSITIONS + 1])
    logits = model.logits(tokens[:-1].tolist()).astype(np.float64)
    expected = np.mean(np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), tokens[1:]])
    params = {name: jnp.asarray(w, jnp.float32) for name, w in load_file(master / "model.safetensors").items()}
    # The recipe's head multiplies in bfloat16.
    assert float(recipe.loss(params, jnp.asarray(tokens[None]))) == pytest.approx(expected, abs=2e-3)


def test_gradients_reach_every_weight(recipe):
    """Red when a quantiser stops them: its matrix would keep the weights it was born with."""
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, recipe.VOCAB, (2, 17)), jnp.int32)
    gradients = recipe.jax.jit(recipe.jax.grad(recipe.loss))(recipe.initial(), tokens)
    assert [name for name, gradient in gradients.items() if not np.any(gradient)] == []


def test_a_stopped_run_goes_on_as_if_it_had_not_been(recipe, tmp_path, monkeypatch):
    """Red when the optimiser's state or the order of the batches is lost between two starts."""
    text = np.random.default_rng(0).integers(0, recipe.VOCAB, (3 * recipe.BATCH, 17)).astype(np.uint16)
    whole = recipe.train(text, text, 4, 2, recipe.Checkpoint(tmp_path / "whole"))
    stopped = recipe.Checkpoint(tmp_path / "stopped")
    monkeypatch.setattr(stopped, "save", interrupted(stopped.save))
    with pytest.raises(KeyboardInterrupt):
        recipe.train(text, text, 4, 2, stopped)
    resumed = recipe.train(text, text, 4, 2, recipe.Checkpoint(tmp_path / "stopped"))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_the_shipped_curve(recipe, master):
    """Red when the model is weaker than promised, or the curve beside it is of another recipe."""
    report = orjson.loads((master / "training.json").read_bytes())
    last = report["curve"][-1]
    assert last["nll_held_out"] <= 4.6
    assert last["tokens"] == last["step"] * recipe.BATCH * recipe.POSITIONS
    assert report["command"].endswith(f"--steps {last['step']}")
