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
    show,
    utf8,
)
from bitnet_tui.core import session
from bitnet_tui.display.diagnosis import finding_lines

EXIT_CODES = {"SAME": 0, "HARMLESS": 0, "EXPLAINED": 1, "UNEXPLAINED": 5}
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
@json_option
@export_option
def command(reference: str, candidate: str, as_json: bool, export: Path | None, **asked: Any) -> int:
    """Say why CANDIDATE is not REFERENCE: the place, a proved cause, and what repairs it.

    CANDIDATE is a model, or a folder that `capture` or another engine wrote. --numerics are the candidate's.

    Exits 0 where nothing or only rounding differs, 1 where every difference has a cause, 5 where one has none.
    """
    if export is not None:
        make_folder(export)
    folder = None if export is None else str(export)
    request = {"kind": "diagnose", "reference": reference, "candidate": candidate, "export": folder}
    return finish(run_headless({**request, **asked}), as_json=as_json, export=export)


def finish(report: dict[str, Any], *, as_json: bool, export: Path | None) -> int:
    """Write and show a finding; return its exit code."""
    if export is not None:
        export_json(export, "finding.json", report)
        session.write_atomic(export / "finding.md", session.finding_markdown(report))
    show(report, finding_lines(report), as_json=as_json)
    return EXIT_CODES[report["verdict"]]
