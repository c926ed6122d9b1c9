"""Record what transformers computes on a tiny model, module by module: golden/hf-capture.

    pip install torch transformers accelerate && pip install . && PYTHONPATH=. python samples/golden/record_hf_capture.py

The model is that of tests/engine/tiny.py, in bfloat16 as published ones are, and its config says silu where the model
has relu²: what a diagnosis of the recording has to say, and all that it may call harmful.
"""

import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

from bitnet_parity.diagnosis.captures import write_capture
from bitnet_parity.diagnosis.hf_capture import HfCapture
from bitnet_parity.peers import Transformers, open_peer
from bitnet_parity.sources import Side
from tests.engine import tiny

TARGET = Path(__file__).parent / "hf-capture"
TOKENIZER = Path(__file__).parents[1] / "nano" / "packed" / "tokenizer.json"
SEED, TOKENS = 1, (7, 42, 256, 3)


def opened(folder: Path) -> Transformers:
    """Write the model into `folder` and open it in transformers."""
    changes = {"hidden_act": "silu", "torch_dtype": "bfloat16"}
    file = tiny.write_packed(tiny.plain_model(SEED), folder, TOKENIZER, **changes) / "model.safetensors"
    narrow = {name: t.bfloat16() if t.is_floating_point() else t for name, t in load_file(file).items()}
    save_file(narrow, file, metadata={"format": "pt"})
    peer = open_peer(Side("hf", str(folder)), context=64)
    assert isinstance(peer, Transformers)
    return peer


def main() -> None:
    """Run the model and keep every result."""
    with tempfile.TemporaryDirectory() as place:
        peer = opened(Path(place) / "model")
        source = HfCapture(peer, TOKENS)
        shutil.rmtree(TARGET, ignore_errors=True)
        facts = {"model": {"path": f"tests/engine/tiny.py, seed {SEED}", "numerics": peer.numerics}}
        write_capture(TARGET, source.tokens, source.parts(), facts)


if __name__ == "__main__":
    main()
