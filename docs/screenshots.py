"""Make the pictures of the README: the app itself, on the sample, drawn without a terminal.

    python docs/screenshots.py

The Parity picture replays a real run that it makes first: the sample against itself with SiLU in place of ReLU², the
best-known bug of the field (docs/formats.md §5, row 1). Writes docs/screens/*.svg.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / "docs" / "screens"
SIZE = (110, 36)


def record(folder: Path) -> None:
    """Make the two models and the run of the Parity picture in `folder`."""
    shutil.copytree(ROOT / "samples" / "nano" / "packed", folder / "packed")
    shutil.copytree(folder / "packed", folder / "packed-silu")
    config = json.loads((folder / "packed-silu" / "config.json").read_text())
    (folder / "packed-silu" / "config.json").write_text(json.dumps({**config, "hidden_act": "silu"}))
    command = [sys.executable, "-m", "bitnet_tui", "packed", "packed-silu", "--max-tokens", "4800", "--export", "run"]
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode not in (0, 1, 5):
        raise SystemExit(done.returncode)


async def picture(name: str, paths: list[str], *keys: str) -> None:
    """Open the app on `paths`, press `keys`, and write docs/screens/NAME.svg."""
    from bitnet_tui.app import BitnetApp

    app = BitnetApp(paths)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(3)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.2)
        svg = app.export_screenshot(title="bitnet-tui")
    # Textual numbers the styles of each picture at random; a picture of the same screen must not differ.
    (SCREENS / f"{name}.svg").write_text(re.sub(r"terminal-\d+-", "terminal-", svg))


def main() -> None:
    """Make every picture."""
    SCREENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BITNET_TUI_RUNS"] = str(Path(folder) / "runs")
        os.environ["TEXTUAL_ANIMATIONS"] = "none"
        record(Path(folder))
        os.chdir(folder)
        asyncio.run(picture("parity", ["run"], "w"))
        os.chdir(ROOT / "samples" / "nano")
        asyncio.run(picture("inspect", ["model-i2_s.gguf"], *["down"] * 3, "enter", *["down"] * 2))


main()
