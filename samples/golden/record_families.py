"""Record the independent oracle of the other graphs that transformers has: logits of tiny random models in float32.

    pip install torch transformers accelerate safetensors
    python samples/golden/record_families.py [FILE]

Writes FILE, by default families.safetensors beside this script: logits after each of 20 tokens, of models that
tests/engine/families.py makes. The metadata holds the versions that made them and the sha256 of each model's weights.
The engine takes no part. Ternary Llama without more is in record_llama.py, the sample in record.py.
"""

import hashlib
import os
import platform
import sys
import tempfile
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # BitLinear's steps are otherwise compiled, with no compiler

import torch
import transformers
from safetensors.torch import save_file
from transformers import BitNetForCausalLM, LlamaForCausalLM, Qwen3ForCausalLM

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.engine import families

TOKENS = [int(token) for token in range(3, 300, 15)]
CLASSES = {
    "bitnet": BitNetForCausalLM,
    "dense": LlamaForCausalLM,
    "qwen3": Qwen3ForCausalLM,
    "llama3": LlamaForCausalLM,
    "normed": Qwen3ForCausalLM,
}


def main() -> None:
    """Record each family."""
    torch.set_num_threads(1)
    found, digests = {"tokens": torch.tensor(TOKENS, dtype=torch.int32)}, {}
    for family, kind in CLASSES.items():
        with tempfile.TemporaryDirectory() as place:
            tokenizer = HERE.parent / "nano" / "packed" / "tokenizer.json"
            folder = families.write_hf(families.make(family), Path(place) / "m", tokenizer)
            digests[family] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
            model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.inference_mode():
            found[family] = model(torch.tensor([TOKENS])).logits[0].contiguous()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "python": platform.python_version()}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "families.safetensors"
    save_file(found, target, metadata=versions | digests)


if __name__ == "__main__":
    main()
