"""`bitnet-tui replay FILE --row N`: one failure of a parity run again, from its line alone."""

from pathlib import Path

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, nonempty, show
from bitnet_tui.display.proofs import replay_lines


@click.command("replay")
@click.argument("file", callback=nonempty)
@click.option("--row", type=click.IntRange(1), required=True, metavar="N", help="The line of FILE, counted from 1.")
@json_option
@export_option
def command(file: str, row: int, as_json: bool, export: Path | None) -> int:
    """Measure one line of parity_failures.jsonl again: FILE's line N names the models, the ids and the settings.

    Exits 0 where every number is the same bit for bit; and where the stamp is another, for then they may differ,
    and by how much is printed. Exits 1 where they differ on the same stamp.
    """
    report = run_headless({"kind": "replay", "path": file, "row": row})
    if export is not None:
        export_json(export, "replay.json", report)
    show(report, replay_lines(report), as_json=as_json)
    return int(report["same_stamp"] and not report["identical"])
