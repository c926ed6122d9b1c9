"""docs/commands.md: what every command says of itself with --help, to be read and searched without installing.

python docs/commands.py             # writes the page anew; a test holds the two equal
"""

from collections.abc import Iterator
from pathlib import Path

import click

from bitnet_engine.files import write_atomic
from bitnet_tui.cli.main import ALIASES, COMMANDS, OPEN, bitnet_tui

PAGE = Path(__file__).parent / "commands.md"
WIDTH = 100
ALSO = "; ".join(f"`{alias}` is `{name}`" for alias, name in ALIASES.items())
HEAD = f"""# Commands

What `bitnet-tui COMMAND --help` prints, written by `python docs/commands.py`. What the commands are for and how they
end: [README](../README.md). {ALSO}.
"""


def page() -> str:
    """Return the page: the program, then each command and what it groups, in the order of `--help`."""
    settings = {"terminal_width": WIDTH, **bitnet_tui.context_settings, "max_content_width": WIDTH}
    context = click.Context(bitnet_tui, info_name="bitnet-tui", **settings)
    parts = [HEAD, _section("bitnet-tui", bitnet_tui.get_help(context))]
    for name in (OPEN, *COMMANDS):
        command = bitnet_tui.get_command(context, name)
        assert command is not None
        # The command that opens the app has no name of its own.
        if name == OPEN:
            parts += _sections(command, click.Context(command, info_name="bitnet-tui MODEL|RUN|REF CAND", **settings))
        else:
            parts += _sections(command, click.Context(command, parent=context, info_name=name))
    return "\n".join(parts)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the section of a command, then those of the commands that it groups."""
    yield _section(context.command_path, command.get_help(context))
    for name, nested in getattr(command, "commands", {}).items():
        yield from _sections(nested, click.Context(nested, parent=context, info_name=name))


def _section(title: str, text: str) -> str:
    lines = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f"## {title}\n\n{lines}\n"


if __name__ == "__main__":
    write_atomic(PAGE, page().encode())
