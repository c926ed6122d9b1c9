"""The README's promises that can rot: its commands, its tree, its library example."""

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    """The text of README.md."""
    return (root / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme(root, readme):
    """Red when CI tests another installation than the one users are told to make."""
    commands = [line.strip() for line in readme.splitlines() if line.startswith("    python3 -m venv")]
    assert len(commands) == 2
    assert commands[1] in (root / ".ci" / "run").read_text().splitlines()


def test_every_path_of_the_tree_exists(root, readme):
    """Red when a file is renamed and the README still shows the old name."""
    tree = readme.split("## The tree")[1]
    names = re.findall(r"^ {4,6}((?:[\w.]+/?)+(?: [\w.]+/)*) {2,}", tree, re.MULTILINE)
    assert len(names) > 10
    for name in " ".join(names).split():
        assert (root / name).exists() or (root / "bitnet_tui" / name).exists(), name


def test_every_linked_file_exists(root, readme):
    """Red when a picture or a page that the README links is missing."""
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert links
    assert [link for link in links if "://" not in link and not (root / link).exists()] == []


def test_the_library_example_runs_as_printed(root, readme, monkeypatch, capsys):
    """Red when the public API and its one example part ways."""
    monkeypatch.chdir(root)
    code = readme.split("```python\n")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})  # the README is ours
    assert capsys.readouterr().out == "Verdict.PASS\n"
