"""Record the run of the tour: the sample against itself with SiLU in place of ReLU², a mistake that conversions made.

    python samples/record_demo.py

Writes samples/demo/events.jsonl, under a megabyte. The mistake is row 1 of docs/formats.md §5.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
TOKENS = 800

with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(SAMPLES / "nano" / "packed", Path(folder) / "packed")
    shutil.copytree(Path(folder) / "packed", Path(folder) / "packed-silu")
    config = Path(folder) / "packed-silu" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "silu"}))
    command = [sys.executable, "-m", "bitnet_tui", "parity", "packed", "packed-silu", "--max-tokens", str(TOKENS)]
    done = subprocess.run([*command, "--export", "run"], cwd=folder, check=False)
    if done.returncode != 1:
        raise SystemExit(f"the comparison was expected to fail (exit 1), and ended with {done.returncode}")
    (SAMPLES / "demo").mkdir(exist_ok=True)
    shutil.copy(Path(folder) / "run" / "events.jsonl", SAMPLES / "demo" / "events.jsonl")
