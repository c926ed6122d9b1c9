"""Whose code runs here: what the packages import is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

OWN = {"bitnet_engine", "bitnet_parity", "bitnet_tui"}
OTHER_NAMES = {"llama_cpp": "llama-cpp-python", "textual_serve": "textual-serve"}
"""Distributions of modules that are not installed everywhere and have another name."""
NAMED = {"accelerate", "llama-cpp-python", "torch", "transformers"}
"""Imported by their names, where they are installed, or by one of these."""


def imported():
    """Every top-level module that a module of the packages imports, wherever in it."""
    found = set()
    for package in OWN:
        for path in Path(import_module(package).__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
    return found - OWN - set(sys.stdlib_module_names)


def declared(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in ("hf", "llama", "web", "report") for line in extras[name])]
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


def test_imports_are_the_declared_dependencies(root):
    """Red when a package works only because another one brings a module along, or a dependency is no longer used."""
    known = packages_distributions()
    used = {(OTHER_NAMES.get(name) or known.get(name, [name])[0]).lower() for name in imported()}
    assert used - declared(root) == set()
    assert declared(root) - used - NAMED == set()
