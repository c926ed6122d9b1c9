"""Record what llama-perplexity says of a pair of files: base.kld, the candidate's logits, and all that it prints.

    python samples/golden/record_llama_perplexity.py path/to/llama-perplexity

Needs the [llama] extra, whose source package holds llama.cpp: `llama-perplexity` was built from the same source as
the library that the extra runs, of llama-cpp-python 0.3.36. llama.cpp computes SiLU in every graph it calls `bitnet`
and knows no other BitNet, so the pair is the sample's weights under that name: a sound F16 file as the base, and a
TQ2_0 file in which one weight in 64 became zero. Writes golden/llama-perplexity/{base.kld,candidate.safetensors,printed.txt}.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import bitnet_engine as engine
from bitnet_parity import faults
from bitnet_parity.kld_base import KldBase
from bitnet_parity.peers import open_peer
from bitnet_parity.sources import Side

SAMPLES = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "llama-perplexity"
TEXT = SAMPLES / "eval" / "austen-emma-08.txt"
CONTEXT, CHUNKS = 64, 4  # llama-perplexity prints its table from 100 tokens on, 31 of each chunk of 64


def pair(folder: Path) -> tuple[Path, Path]:
    """Write the reference and the candidate."""
    silu, reference, candidate = (folder / name for name in ("silu.gguf", "reference.gguf", "candidate.gguf"))
    faults.inject_file(SAMPLES / "nano" / "packed", silu, "activation-other", 1, engine.QuantType.TQ2_0)
    engine.convert(silu, reference, engine.QuantType.F16)
    faults.inject_file(silu, candidate, "trits-dropped", 1, engine.QuantType.TQ2_0, everywhere=True)
    return reference, candidate


def perplexity(program: str, model: Path, *arguments: str) -> str:
    """Run llama-perplexity on one window a batch and return what it prints, its narration aside."""
    # llama-cpp-python leaves flash attention off, and with it the last digits of what is recorded would be others.
    command = [program, "-m", str(model), "-f", str(TEXT), "-c", str(CONTEXT), "-b", str(CONTEXT), "-fa", "off"]
    return subprocess.run(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout


def main() -> None:
    """Record everything anew."""
    GOLDEN.mkdir(exist_ok=True)
    base = GOLDEN / "base.kld"
    with tempfile.TemporaryDirectory() as folder:
        reference, candidate = pair(Path(folder))
        perplexity(sys.argv[1], reference, "--chunks", str(CHUNKS), "--kl-divergence-base", str(base))
        printed = perplexity(sys.argv[1], candidate, "--kl-divergence", "--kl-divergence-base", str(base))
        peer = open_peer(Side("llama", str(candidate)), context=CONTEXT)
        opened = KldBase.open(base)
        windows = [list(document.ids) for document in opened.corpus(peer.tokenizer.bos).documents]
        rows = [peer.logits(window)[opened.first : -1] for window in windows]
    save_file({"logits": np.stack(rows)}, GOLDEN / "candidate.safetensors")
    table = printed[printed.index("====== Perplexity") :]
    (GOLDEN / "printed.txt").write_text(table.rstrip() + "\n")


if __name__ == "__main__":
    main()
