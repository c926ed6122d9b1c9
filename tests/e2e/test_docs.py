"""The pages' promises that can rot: every command they show exists with its options, every file they link is there."""

import re
from pathlib import Path

import click
import pytest

from bitnet_tui.cli.main import COMMANDS, OPEN, bitnet_tui
from docs import commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
SCRIPTS = sorted((ROOT / "docs" / "ci").iterdir())
# Of inline code and of indented or fenced blocks: from the program's name to the end of the span or line.
SHOWN = re.compile(r"bitnet-tui((?: [^`\n#|]*)?)")


def options_of(name: str) -> set[str]:
    command = bitnet_tui.get_command(click.Context(bitnet_tui), name)
    assert command is not None
    nested = command.commands.values() if isinstance(command, click.Group) else ()
    found = {"--help", "-h", "--debug", "--limit"}
    for each in (command, *nested):
        found |= {spelling for parameter in each.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    return found


def shown(page: Path) -> list[str]:
    """Every line of a page that begins with the program's name; a shell's continuation lines are joined."""
    text = page.read_text(encoding="utf-8").replace(">-\n", " ").replace("\\\n", " ")
    return [match[1].strip() for match in SHOWN.finditer(text)]


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: page.name)
def test_every_command_shown_exists(page):
    """Red when a page shows a command or an option that was renamed."""
    for line in shown(page):
        words = re.split(r"\s{2,}", line)[0].split()
        options = [word.split("=")[0].rstrip(".,;:)") for word in words if word.startswith("--")]
        name = words[0] if words and words[0] in COMMANDS else OPEN
        known = options_of(name) | {"--version"}
        assert [option for option in options if option not in known] == [], f"{page.name}: bitnet-tui {line}"


def test_the_migration_table_names_commands_of_ours():
    """Red when the right column of a row answers with something that is no command."""
    rows = [line.split("|") for line in (ROOT / "docs" / "MIGRATION.md").read_text().splitlines() if "| `" in line]
    lines = [match[1].split() for row in rows for match in SHOWN.finditer(row[2])]
    words = [line[0] for line in lines if line]
    assert len(words) > 12
    assert [word for word in words if word not in COMMANDS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """Red when a page or a heading was renamed and a link still has its old name."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, link


def test_the_help_in_the_docs_is_that_of_the_commands():
    """Red when an option changes and docs/commands.md does not: run `python docs/commands.py`."""
    # Words, not lines: another version of click breaks them elsewhere.
    assert commands.PAGE.read_text(encoding="utf-8").split() == commands.page().split()


def test_every_word_of_the_glossary_stands_once_and_in_order():
    """Red when a word was added at the wrong place, or twice."""
    lines = (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
    words = [line.split("|")[1].strip() for line in lines if line.startswith("| ") and not line.startswith("| word")]
    assert len(words) == len(set(words)) >= 40
    assert words == sorted(words, key=str.casefold)
