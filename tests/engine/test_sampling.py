"""Generation: greedy is the argmax path, seeds decide, limits hold, text comes whole."""

import logging

import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.sampling import Sampler, compile_generation, generate, stream_text


def test_greedy_follows_the_argmax_of_full_logits(sample):
    """Red when decode drifts from scoring, or prefill returns another position's logits."""
    prompt = sample.tokenizer.encode("The people of the United")
    tokens = list(generate(sample, prompt, 12))
    path = [*prompt, *tokens]
    greedy = np.argmax(sample.logits(path), axis=-1)
    assert tokens == greedy[len(prompt) - 1 : -1].tolist()


def test_a_seed_decides_the_text(sample):
    """Red when sampling takes its randomness from anywhere but the seed."""
    prompt = sample.tokenizer.encode("It was")
    first, again, other = (
        list(generate(sample, prompt, 16, Sampler(temperature=1.0, seed=seed))) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_top_k_and_top_p_cut_the_tail():
    """Red when a token outside the nucleus can be drawn."""
    logits = np.log(np.array([0.05, 0.5, 0.15, 0.3]))
    random = np.random.default_rng(0)
    assert {Sampler(1.0, top_k=2).choose(logits, random) for _ in range(200)} == {1, 3}
    assert {Sampler(1.0, top_p=0.6).choose(logits, random) for _ in range(200)} == {1, 3}
    assert {Sampler(1.0, top_p=0.5).choose(logits, random) for _ in range(50)} == {1}
    assert Sampler().choose(np.array([1.0, 3.0, 3.0]), random) == 1


def test_nan_logits_choose_nothing():
    """Red when argmax of NaN passes for an answer: numpy returns its position."""
    with pytest.raises(engine.BitnetError, match="NaN"):
        Sampler().choose(np.array([0.0, np.nan]), np.random.default_rng(0))


@pytest.mark.parametrize("settings", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}])
def test_settings_out_of_range_are_refused(settings):
    """Red when a negative temperature inverts the distribution."""
    with pytest.raises(engine.BitnetError, match="out of range"):
        Sampler(**settings)


@pytest.mark.parametrize("count", [0, 254])
def test_more_tokens_than_positions_are_refused(sample, count):
    """Red when the cache runs over its end."""
    with pytest.raises(engine.BitnetError, match="1 to 253 are allowed"):
        list(generate(sample, [1, 2, 3], count))


def test_streamed_text_never_holds_half_a_character(sample):
    """Red when the bytes of one character come out as two broken ones."""
    text = "naïve 日本語 😀!"
    pieces = list(stream_text(sample.tokenizer, sample.tokenizer.encode(text, bos=False)))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(stream_text(sample.tokenizer, sample.tokenizer.encode("é", bos=False)[:1])) == "\ufffd"


def test_generation_compiles_nothing_that_was_compiled_before(sample, caplog):
    """Red when the program that is compiled ahead is not the one that runs: the first token then waits for it twice."""
    prompt = list(range(40, 45))
    jax.clear_caches()
    compile_generation(sample, prompt, 4)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        assert len(list(generate(sample, prompt, 4))) == 4
    assert not [record for record in caplog.records if "Compiling jit(_" in record.getMessage()]


def test_scoring_compiles_nothing_that_was_compiled_before(sample, caplog):
    """Red when a window waits for a program of another shape than the one compiled ahead."""
    jax.clear_caches()
    sample.compile_scoring(20)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        sample.logits(list(range(20)))
    assert not [record for record in caplog.records if "Compiling jit(score" in record.getMessage()]
