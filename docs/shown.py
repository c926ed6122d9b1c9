"""The commands that pages show, run: a page is right when each prints what the page says it prints.

    python docs/shown.py                 # exits 1 and says where a page and a command differ
    python docs/shown.py --write         # writes what differs into the page; look at the difference

A block that begins with ```console holds commands after `$ ` and what they print on stdout. `…` stands for any text of
a line, and alone in a line for any lines. The blocks of a page run one after another in a folder of its own, where
`samples` and `docs` are those of this tree; narration on stderr is not shown.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "guide").glob("*.md"))
MARK = "@@ end of a command @@"
_BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```$)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A command of a page, and the lines that it is said to print."""

    command: str
    printed: tuple[str, ...]


def parse(block: str) -> list[Shown]:
    """Return the commands of a block."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(f"a block begins with no command: {parts[0]!r}")
    commands = [part.rstrip("\n").split("\n") for part in parts[1:]]
    return [Shown(lines[0], tuple(lines[1:])) for lines in commands]


def matches(printed: Sequence[str], lines: Sequence[str]) -> bool:
    """Return whether what was printed is what a page shows."""
    rule = "\n".join("(.*)" if line.strip() == "…" else _rule(line) for line in printed)
    return re.fullmatch(rule, "\n".join(lines), re.DOTALL) is not None


def _rule(line: str) -> str:
    return "[^\n]*".join(map(re.escape, line.split("…")))


def run(commands: Sequence[Shown], folder: Path) -> list[tuple[str, ...]]:
    """Run commands one after another in one shell in `folder`; return the lines that each printed."""
    # The exit code of one command is what `$?` is in the next.
    steps = [f"{shown.command}\n_code=$?; printf '\\n%s\\n' '{MARK}'; (exit $_code)" for shown in commands]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "BITNET_TUI_RUNS": str(folder / "runs"), "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    done = subprocess.run(
        ["bash", "-c", "\n".join(steps)], cwd=folder, env={**kept, **own}, capture_output=True, text=True, check=False
    )
    outputs = done.stdout.split(f"\n{MARK}\n")[:-1]
    return [tuple(output.rstrip("\n").split("\n")) if output.rstrip("\n") else () for output in outputs]


def checked(page: Path) -> tuple[str, list[str]]:
    """Run what a page shows; return the page with what was printed, and where they differ."""
    text = page.read_text(encoding="utf-8")
    blocks = [parse(match[1]) for match in _BLOCK.finditer(text)]
    with tempfile.TemporaryDirectory(prefix="shown-") as folder:
        for name in ("samples", "docs"):
            (Path(folder) / name).symlink_to(ROOT / name)
        printed = iter(run([shown for block in blocks for shown in block], Path(folder)) if blocks else [])
    wrong, written = list[str](), list[str]()
    for block in blocks:
        lines = []
        for shown, found in zip(block, printed, strict=False):
            if not (same := matches(shown.printed, found)):
                wrong.append(f"{page.relative_to(ROOT)}: `{shown.command}` prints\n" + "\n".join(found))
            lines += [f"$ {shown.command}", *(shown.printed if same else found)]
        written.append("\n".join(lines) + "\n")
    fill = iter(written)
    return _BLOCK.sub(lambda _: next(fill), text), wrong


def main() -> None:
    """Check every page, or write them."""
    problems = []
    for page in PAGES:
        text, wrong = checked(page)
        if "--write" in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
        problems += wrong
    sys.stdout.write("\n\n".join([*problems, f"{len(PAGES)} pages, {len(problems)} commands print something else\n"]))
    sys.exit(1 if problems and "--write" not in sys.argv[1:] else 0)


if __name__ == "__main__":
    main()
