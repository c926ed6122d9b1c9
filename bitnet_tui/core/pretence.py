"""Is anything in the installed packages only pretending? Their source, read as syntax.

    scan().hits                             # (): nothing imports a mocking library or defines a stand-in

A hit is an import of a library that makes or needs stand-ins, or a function, class or module that is named as one.
What text and comments say is no hit. Knows nothing of what the code does.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("bitnet_engine", "bitnet_parity", "bitnet_tui")
IMPORTS = ("unittest", "mock", "pytest", "hypothesis", "tests", "responses", "freezegun")
NAMES = re.compile(r"(?:^|_)(?:mock|fake|stub|dummy|placeholder|simulated)(?:$|_|ed|s$)")


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read, and what was found."""

    packages: tuple[str, ...]
    files: int
    hits: tuple[str, ...]
    """`package/file.py:12: imports unittest.mock`"""


def scan(folders: Sequence[Path] | None = None) -> Scan:
    """Read every module under `folders`: those of this program's packages where none are given."""
    roots = [_folder(package) for package in PACKAGES] if folders is None else list(folders)
    files = [(root, path) for root in roots for path in sorted(root.rglob("*.py"))]
    hits = [
        f"{root.name}/{path.relative_to(root)}:{line}: {what}" for root, path in files for line, what in _hits(path)
    ]
    return Scan(tuple(root.name for root in roots), len(files), tuple(hits))


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None  # this module is of one of them, and needs the others
    assert spec.origin is not None
    return Path(spec.origin).parent


def _hits(path: Path) -> Iterator[tuple[int, str]]:
    if NAMES.search(path.stem):
        yield 1, f"is a module named '{path.stem}'"
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from _imports(node.lineno, [alias.name for alias in node.names])
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _imports(node.lineno, [node.module])
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower()
            if NAMES.search(words):
                yield node.lineno, f"defines '{node.name}'"


def _imports(line: int, modules: Sequence[str]) -> Iterator[tuple[int, str]]:
    return ((line, f"imports {name}") for name in modules if name.split(".")[0] in IMPORTS)
