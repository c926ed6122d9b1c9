"""`bitnet-tui gate LANE FOLDER`: the gates of a CI lane over the artifacts in a folder."""

from pathlib import Path

import click

from bitnet_tui.cli.options import export_json, export_option, json_option, nonempty, show
from bitnet_tui.core import acceptance, lanes
from bitnet_tui.display.acceptance import acceptance_lines


@click.command("gate")
@click.argument("lane", type=click.Choice(tuple(lanes.LANES)))
@click.argument("folder", callback=nonempty)
@click.option("--profile", metavar="NAME", callback=nonempty, help="Judge parity by it. Default: the lane's own.")
@json_option
@export_option
def command(lane: str, folder: str, profile: str | None, as_json: bool, export: Path | None) -> int:
    """Say GO where FOLDER holds every artifact that LANE needs, and each of them holds; compute nothing again.

    Exits 0 on GO, 1 where one fails, 5 where one is missing or has no verdict.
    """
    result = lanes.gate(Path(folder), lane, profile)
    if export is not None:
        export_json(export, "gate.json", result)
    show(result, acceptance_lines(result), as_json=as_json)
    return acceptance.exit_code(result)
