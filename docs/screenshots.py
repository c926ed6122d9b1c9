"""Make the pictures of the README and of docs/guide: the app itself, on the sample, drawn without a terminal.

    python docs/screenshots.py

They are what `bitnet-tui PATH --export FILE.svg --press KEYS` draws, with a folder of runs that holds the tour's run
and two more; that of Bench is of docs/screens/bench.json, which says how it was measured. Writes docs/screens/*.svg.
"""

import os
import shutil
import tempfile
from pathlib import Path

from bitnet_tui.core.settings import load_config

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / "docs" / "screens"
SIZE = (110, 36)
DEMO = ROOT / "samples" / "demo"
NOW = 1_900_000_000.0

PICTURES: dict[str, tuple[list[str], list[str]]] = {
    "home": ([], []),
    "inspect": (["model-i2_s.gguf"], ["down"] * 3 + ["enter"] + ["down"] * 2),
    "layout": (["model-i2_s.gguf"], ["end"]),
    "parity": ([str(DEMO)], ["w"]),
    "differences": ([str(DEMO)], ["w", "c", "c"]),
    "bench": ([str(SCREENS / "bench.json")], []),
    "runs": ([], ["4", "space", "down"]),
    "compare": ([], ["4", "space", "down", "c"]),
    "settings": ([], ["comma"]),
    "help": (["model-i2_s.gguf"], ["question_mark"]),
    "export": (["model-i2_s.gguf"], ["e"]),
}


def record(runs: Path) -> None:
    """Fill a folder of runs: the run of the tour, and the same as if it had been stopped."""
    for id, lines, age in (("t5k2zx7f", None, 3_000), ("t5k1aa01", 300, 90_000), ("t5i0bb02", 120, 400_000)):
        folder = runs / id
        folder.mkdir(parents=True)
        stream = shutil.copy(DEMO / "events.jsonl", folder)
        if lines is not None:
            kept = Path(stream).read_bytes().splitlines(keepends=True)[:lines]
            Path(stream).write_bytes(b"".join(kept))
        os.utime(stream, (NOW - age, NOW - age))


def main() -> None:
    """Make every picture."""
    from bitnet_tui.app import BitnetApp
    from bitnet_tui.screens.picture import picture

    SCREENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="runs") as folder:
        record(Path(folder) / "runs")
        os.environ |= {"BITNET_TUI_RUNS": f"{folder}/runs", "BITNET_TUI_CONFIG": f"{folder}/config.toml"}
        (Path(folder) / "config.toml").touch()
        os.chdir(ROOT / "samples" / "nano")
        for name, (paths, keys) in PICTURES.items():
            app = BitnetApp(paths, config=load_config(), clock=lambda: NOW)
            svg = picture(app, SIZE, keys).replace(folder, "/home/you/bitnet")
            (SCREENS / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
