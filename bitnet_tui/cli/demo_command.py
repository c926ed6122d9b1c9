"""`bitnet-tui demo`: a guided tour of the app over a recorded run of the sample."""

import click

from bitnet_tui.cli.open_command import open_app


@click.command("demo")
@click.option("--theme", metavar="NAME", help="Theme of the app, over that of config.toml.")
def command(theme: str | None) -> int:
    """Show the app in six stops, on a recorded comparison; nothing is computed and nothing is written."""
    return open_app((), None, {}, theme, tour=True)
