"""`info` on a vocabulary of Llama-3's size: a header of half a million strings is walked, never built."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bitnet_engine.formats import Array, OutTensor, QuantType, write_gguf

TOKENS, MERGES = 128_256, 280_147


@pytest.fixture(scope="module")
def llama3_sized(tmp_path_factory):
    """A GGUF with as many tokens and merges as the official BitNet 2B-4T file."""
    path = tmp_path_factory.mktemp("gguf") / "vocab.gguf"
    metadata = {
        "general.architecture": "bitnet-b1.58",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": [f"token{index}" for index in range(TOKENS)],
        "tokenizer.ggml.scores": Array("f32", [0.0] * TOKENS),
        "tokenizer.ggml.token_type": Array("i32", [1] * TOKENS),
        "tokenizer.ggml.merges": [f"to ken{index}" for index in range(MERGES)],
    }
    norm = np.ones(2560, np.float32).tobytes()
    write_gguf(path, metadata, [OutTensor("output_norm.weight", QuantType.F32, (2560,), lambda: norm)])
    return path


def test_info_stays_small(llama3_sized):
    """Red when arrays become Python lists: gguf-py takes about 700 MB here. Peak memory is no timing."""
    script = (
        "import resource, subprocess, sys\n"
        "out = subprocess.run([sys.executable, '-m', 'bitnet_tui', 'info', sys.argv[1], '--json'],"
        " stdout=subprocess.PIPE, check=True).stdout\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.stdout.flush(); sys.stdout.buffer.write(out)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(llama3_sized)], stdout=subprocess.PIPE, check=True)
    peak, _, summary = done.stdout.partition(b"\n")
    scale = 1 if sys.platform == "darwin" else 1024
    assert int(peak) * scale < 120e6
    assert json.loads(summary)["tokenizer"]["tokens"] == TOKENS
    assert json.loads(summary)["tokenizer"]["merges"] == MERGES
