"""`bitnet-tui diff REF CAND`: do two files hold the same numbers? Runs neither."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, make_folder, pair_reading_options, show
from bitnet_tui.display.diff import diff_lines


@click.command("diff")
@click.argument("reference")
@click.argument("candidate")
@pair_reading_options
@json_option
@export_option
def command(reference: str, candidate: str, as_json: bool, export: Path | None, **readings: Any) -> int:
    """List in what CANDIDATE differs from REFERENCE, tensor by tensor, whatever the formats.

    Exits 0 where nothing differs and 1 where something does.
    """
    if export is not None:
        make_folder(export)
    report = run_headless({"kind": "diff", "reference": reference, "candidate": candidate, **readings})
    if export is not None:
        export_json(export, "diff.json", report)
    show(report, diff_lines(report), as_json=as_json)
    return 0 if report["identical"] else 1
