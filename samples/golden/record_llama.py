"""Record the independent oracle of the ternary Llama graph: transformers' LlamaForCausalLM with BitLinear layers.

    pip install torch transformers accelerate safetensors
    python samples/golden/record_llama.py [FILE]

Writes FILE, by default llama.safetensors beside this script: logits after each of 20 tokens, in float32 and in
bfloat16, of the tiny random model that tests/engine/families.py makes; likewise those of the sample in bfloat16. The
metadata holds the versions that made them and the sha256 of the tiny model's weights. The engine takes no part.
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # BitLinear's steps are otherwise compiled, with no compiler

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BitNetForCausalLM, LlamaForCausalLM

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "nano" / "packed"
sys.path.insert(0, str(HERE.parents[1]))

from tests.engine import families

TOKENS = [int(token) for token in range(3, 300, 15)]


def logits(kind, source: Path, dtype: torch.dtype) -> torch.Tensor:
    """Return the logits of the model at `source` with all its floats as `dtype`."""
    with tempfile.TemporaryDirectory() as folder:
        tensors = load_file(source / "model.safetensors")
        cast = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
        save_file(cast, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((source / "config.json").read_text()) | {"torch_dtype": str(dtype).removeprefix("torch.")}
        (Path(folder) / "config.json").write_text(json.dumps(config))
        model = kind.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    with torch.inference_mode():
        return model(torch.tensor([TOKENS])).logits[0].contiguous()


def main() -> None:
    """Record both models."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tiny = families.write_hf(families.make("llama"), Path(folder) / "m", SAMPLE / "tokenizer.json")
        digest = hashlib.sha256((tiny / "model.safetensors").read_bytes()).hexdigest()
        found = {
            "llama.float32": logits(LlamaForCausalLM, tiny, torch.float32),
            "llama.bfloat16": logits(LlamaForCausalLM, tiny, torch.bfloat16),
            "sample.bfloat16": logits(BitNetForCausalLM, SAMPLE, torch.bfloat16),
        }
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "python": platform.python_version()}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "llama.safetensors"
    tokens = torch.tensor(TOKENS, dtype=torch.int32)
    save_file(found | {"tokens": tokens}, target, metadata=versions | {"model_sha256": digest})


if __name__ == "__main__":
    main()
