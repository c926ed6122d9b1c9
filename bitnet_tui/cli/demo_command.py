"""`bitnet-tui demo --fault NAME`: the shipped sample, broken before one's eyes and diagnosed."""

from pathlib import Path

import click

from bitnet_tui.cli.diagnose_command import finish, text_option, tokens_option
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_option, json_option, make_folder


@click.command("demo")
@click.option("--fault", metavar="NAME", default="activation-other", show_default=True, help="See docs/diagnose.md.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Picks layer and rows.")
@click.option("--model", metavar="MODEL", help="What is broken, in a copy. Default: the shipped sample.")
@text_option
@tokens_option
@json_option
@export_option
def command(
    fault: str, seed: int, model: str | None, text: str | None, tokens: int, as_json: bool, export: Path | None
) -> int:
    """Break a copy of the sample with a known fault and diagnose it. Exits as `diagnose` does."""
    if export is not None:
        make_folder(export)
    request = {"kind": "demo", "fault": fault, "seed": seed, "path": model, "text": text, "tokens": tokens}
    return finish(run_headless(request), as_json=as_json, export=export)
