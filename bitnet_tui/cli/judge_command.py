"""`bitnet-tui judge REPORT --profile P`: other limits, the same numbers, the same exit codes as `parity`."""

from pathlib import Path

import click

from bitnet_tui.cli.options import export_json, export_option, json_option, nonempty, show
from bitnet_tui.cli.parity_command import EXIT_CODES, profile_option
from bitnet_tui.core import session
from bitnet_tui.display.plain import judgement_lines


@click.command("judge")
@click.argument("report", callback=nonempty)
@profile_option
@json_option
@export_option
def command(report: str, profile: str, as_json: bool, export: Path | None) -> int:
    """Judge REPORT, a report.json or the folder that holds one, by another profile.

    Nothing is computed again. Exits 0 on PASS, 1 on FAIL, 5 when the report is too small to tell.
    """
    result = session.judge(report, profile)
    if export is not None:
        export_json(export, "judgement.json", result)
    show(result, judgement_lines(result), as_json=as_json)
    return EXIT_CODES[result["judgement"]["verdict"]]
