"""`bitnet-tui accept REFERENCE CANDIDATE`: may this candidate be shipped? GO or NO-GO, and why."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.options import corpus_option, json_option, max_tokens_option, nonempty, path, show
from bitnet_tui.cli.parity_command import profile_option, run_exporting
from bitnet_tui.core import acceptance, session
from bitnet_tui.core.events import dumps
from bitnet_tui.display.acceptance import acceptance_lines, condition_line

BASELINE = "An artifact of `bench` to hold the candidate's speed against. Default: the reference, measured in this run."


def acceptance_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command that tries conditions what it tries them on."""
    options = (
        click.argument("reference"),
        click.argument("candidate"),
        corpus_option,
        profile_option,
        max_tokens_option,
        click.option("--baseline", metavar="FILE", callback=nonempty, help=BASELINE),
        click.option(
            "--export", metavar="DIR", callback=path, default="acceptance", show_default=True, help="For the artifacts."
        ),
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("accept")
@acceptance_options
def command(as_json: bool, **settings: Any) -> int:
    """Try every condition under which CANDIDATE may stand in for REFERENCE, and say GO or NO-GO.

    Writes acceptance_summary.json and all that led to it into DIR, which must be new or empty. Exits 0 on GO, 1 where a
    condition fails, 5 where one has no verdict.
    """
    return try_conditions(acceptance.ACCEPTANCE, as_json=as_json, **settings)


def try_conditions(names: Sequence[str], *, as_json: bool, corpus: Path | None, export: Path, **settings: Any) -> int:
    """Try the conditions `names`, narrate each, write the summary, and return the exit code."""
    if export.exists() and (not export.is_dir() or any(export.iterdir())):
        raise session.StorageError(f"{export}: is there already and not an empty folder; name another with --export.")
    given = None if corpus is None else str(corpus)
    trial = acceptance.Trial(folder=export, run=run_exporting, corpus=given, **settings)
    tried = []
    for condition in acceptance.try_all(trial, names):
        tried.append(condition)
        click.echo(condition_line(asdict(condition)), err=True)
    result = acceptance.summary(trial, tried)
    session.write_atomic(export / acceptance.SUMMARY, dumps(result, indent=True))
    show(result, acceptance_lines(result), as_json=as_json)
    return acceptance.exit_code(result)
