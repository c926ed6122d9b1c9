"""`bitnet-tui verify MODEL`: is the answer the same answer again?"""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, numerics_option, reading_options, show
from bitnet_tui.display.proofs import verify_lines


@click.command("verify")
@click.argument("model")
@click.option("--runs", type=click.IntRange(2, 100), default=2, show_default=True, help="Fresh processes to ask.")
@click.option(
    "--tokens", type=click.IntRange(2, 2**31 - 1), default=24, show_default=True, help="Ids of each of 8 sequences."
)
@numerics_option
@reading_options
@json_option
@export_option
def command(model: str, as_json: bool, export: Path | None, **settings: Any) -> int:
    """Compare the logits and integer sums of MODEL across fresh processes, batches and padded shapes.

    Exits 0 where each is bit-exact or reproducible to what is printed, 1 where one is not reproducible.
    """
    report = run_headless({"kind": "verify", "path": model, **settings})
    if export is not None:
        export_json(export, "verify.json", report)
    show(report, verify_lines(report), as_json=as_json)
    return int(not report["holds"])
