"""Record what llama.cpp computes on the sample, node by node: golden/llama-capture.

    pip install '.[llama]' && PYTHONPATH=. python samples/golden/record_llama_capture.py

The sample as TQ2_0, under the architecture name that llama.cpp knows, `bitnet`: its graph computes silu where the model
was trained with relu² (docs/formats.md §5, bug #1), which is what a diagnosis of the recording has to say.
"""

import shutil
import tempfile
from pathlib import Path

from bitnet_engine.formats import QuantType
from bitnet_parity import faults
from bitnet_parity.diagnosis.captures import write_capture
from bitnet_parity.diagnosis.llama_capture import LlamaCapture
from bitnet_parity.peers import LlamaCpp, open_peer
from bitnet_parity.sources import Side

SAMPLES = Path(__file__).parents[1]
TARGET = Path(__file__).parent / "llama-capture"
TEXT, TOKENS = "The people of the United States", 6


def main() -> None:
    """Write the file, run it in llama.cpp, and keep every result."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        faults.inject_file(SAMPLES / "nano" / "packed", path, "activation-other", 1, QuantType.TQ2_0)
        peer = open_peer(Side("llama", str(path)), context=64)
        assert isinstance(peer, LlamaCpp)
        source = LlamaCapture(peer, peer.tokenizer.encode(TEXT)[:TOKENS])
        shutil.rmtree(TARGET, ignore_errors=True)
        facts = {"model": {"path": "nano as TQ2_0, renamed bitnet", "numerics": peer.numerics}}
        write_capture(TARGET, source.tokens, source.parts(), facts)


if __name__ == "__main__":
    main()
