"""Record the independent oracle: logits of transformers' BitNetForCausalLM for the sample model.

    pip install torch transformers accelerate safetensors
    python samples/golden/record.py [FILE]

Writes FILE, by default transformers.safetensors beside this script: for each text its token ids and the logits after every
one of them, and in the metadata the versions that made them. The packed checkpoint's bfloat16 tensors are widened
to float32 first (exact), because the sample is compared in float32 and transformers cannot widen a packed file
while loading it. None of this project's code takes part.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # the unpacking hook of BitLinear is otherwise compiled, with no compiler

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BitNetForCausalLM

HERE = Path(__file__).parent
MODEL = HERE.parent / "nano" / "packed"
TEXTS = {
    "emma": HERE.parent / "eval" / "austen-emma-08.txt",
    "macbeth": HERE.parent / "eval" / "shakespeare-macbeth-018.txt",
    "monroe": HERE.parent / "eval" / "president-1823-monroe-1.txt",
}
TOKENS = 64


def widened(folder: Path) -> None:
    """Write a copy of the sample with every bfloat16 tensor as float32."""
    tensors = load_file(MODEL / "model.safetensors")
    wide = {name: t.float() if t.dtype == torch.bfloat16 else t for name, t in tensors.items()}
    save_file(wide, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((MODEL / "config.json").read_text()) | {"torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))


def main() -> None:
    """Record every text of TEXTS."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        widened(Path(folder))
        model = BitNetForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = {}
    for name, file in TEXTS.items():
        ids = tokenizer(file.read_text(encoding="utf-8"), return_tensors="pt").input_ids[:, :TOKENS]
        with torch.inference_mode():
            found[f"{name}.logits"] = model(ids).logits[0].contiguous()
        found[f"{name}.tokens"] = ids[0].to(torch.int32).contiguous()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "python": platform.python_version()}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "transformers.safetensors"
    save_file(found, target, metadata=versions)
    print({name: list(t.shape) for name, t in found.items()}, versions)


main()
