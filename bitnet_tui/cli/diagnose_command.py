"""`bitnet-tui diagnose REF CAND`: where two models part, why, the proof, and what to do."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    export_json,
    export_option,
    json_option,
    make_folder,
    numerics_option,
    pair_reading_options,
    path,
    show,
    utf8,
)
from bitnet_tui.core import session
from bitnet_tui.display.diagnosis import finding_lines

EXIT_CODES = {"SAME": 0, "HARMLESS": 0, "EXPLAINED": 1, "UNEXPLAINED": 5}
NOT_WRITTEN = 6
text_option = click.option("--text", callback=utf8, help="What is run. Default: a sentence of our own.")
tokens_option = click.option(
    "--tokens", type=click.IntRange(2, 4096), default=32, show_default=True, help="Ids of the text that are run."
)


@click.command("diagnose")
@click.argument("reference")
@click.argument("candidate")
@text_option
@tokens_option
@numerics_option
@pair_reading_options
@click.option(
    "--write-repaired",
    metavar="FILE",
    callback=path,
    help="Write the candidate with its causes repaired, in its own format, once that is proved.",
)
@json_option
@export_option
def command(
    reference: str, candidate: str, write_repaired: Path | None, as_json: bool, export: Path | None, **asked: Any
) -> int:
    """Say why CANDIDATE is not REFERENCE: the place, a proved cause, and what repairs it.

    CANDIDATE is a model, or a folder that `capture` or another engine wrote. --numerics are the candidate's.

    Exits 0 where nothing or only rounding differs, 1 where every difference has a cause, 5 where one has none; 6 where
    --write-repaired has no file to write, because a cause is in no file or in none that is written here.
    """
    if export is not None:
        make_folder(export)
    folder = None if export is None else str(export)
    request = {"kind": "diagnose", "reference": reference, "candidate": candidate, "export": folder}
    if write_repaired is not None:
        request["write_repaired"] = str(write_repaired)
    return finish(run_headless({**request, **asked}), as_json=as_json, export=export)


def finish(report: dict[str, Any], *, as_json: bool, export: Path | None) -> int:
    """Write and show a finding; return its exit code."""
    if export is not None:
        export_json(export, "finding.json", report)
        session.write_atomic(export / "finding.md", session.finding_markdown(report))
    show(report, finding_lines(report), as_json=as_json)
    unwritten = "repaired" in report and report["repaired"]["path"] is None and report["verdict"] == "EXPLAINED"
    return NOT_WRITTEN if unwritten else EXIT_CODES[report["verdict"]]
