"""`bitnet-tui demo`: a guided tour of the app; with --fault the sample, broken and diagnosed as one looks on."""

from pathlib import Path

import click

from bitnet_tui.cli.diagnose_command import finish, text_option, tokens_option
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.open_command import open_app
from bitnet_tui.cli.options import export_option, json_option, make_folder


@click.command("demo")
@click.option("--theme", metavar="NAME", help="Theme of the app, over that of config.toml.")
@click.option("--fault", metavar="NAME", help="Break a copy of the sample with it; docs/diagnose.md lists them.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Picks layer and rows.")
@click.option("--model", metavar="MODEL", help="What is broken, in a copy. Default: the shipped sample.")
@text_option
@tokens_option
@json_option
@export_option
def command(
    theme: str | None,
    fault: str | None,
    seed: int,
    model: str | None,
    text: str | None,
    tokens: int,
    as_json: bool,
    export: Path | None,
) -> int:
    """Show the app in six stops, on a recorded comparison; nothing is computed and nothing is written.

    With --fault: break a copy of the sample with a known fault and diagnose it, without the app. Exits as `diagnose`
    does; the options after --fault belong to it.
    """
    if fault is None:
        if as_json or model is not None or text is not None or export is not None:
            raise click.UsageError("the tour takes no --model, --text, --json or --export; they are of --fault NAME.")
        return open_app((), None, {}, theme, tour=True)
    if theme is not None:
        raise click.UsageError("--theme is of the tour; leave it or --fault out.")
    if export is not None:
        make_folder(export)
    request = {"kind": "demo", "fault": fault, "seed": seed, "path": model, "text": text, "tokens": tokens}
    return finish(run_headless(request), as_json=as_json, export=export)
