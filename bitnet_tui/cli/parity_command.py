"""`bitnet-tui parity REF CAND`: do two checkpoints of one model still agree? With a verdict for CI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.device_options import device_options, process_options
from bitnet_tui.cli.ending import INTERRUPTED, JobError
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    context_option,
    corpus_option,
    export_option,
    json_option,
    make_folder,
    max_tokens_option,
    nonempty,
    numerics_option,
    pair_reading_options,
    path,
    show,
)
from bitnet_tui.core import session
from bitnet_tui.core.events import Event, encode
from bitnet_tui.core.store import STREAM
from bitnet_tui.display.plain import parity_lines

EXIT_CODES = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 5}

profile_option = click.option(
    "--profile",
    default="quantized",
    show_default=True,
    callback=nonempty,
    metavar="NAME|FILE.toml",
    help="The limits to judge by: lossless, nightly, fp32, quantized, or a file of your own (docs/parity.md).",
)
exact_option = click.option(
    "--exact", is_flag=True, help="Take tau-b over the whole vocabulary on every token, however large it is."
)
floor_option = click.option(
    "--noise-floor",
    "floor_documents",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    help="Documents on which the reference is measured against itself; 0 measures no noise floor. Default: 4.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Chooses the ids of the tau-b estimate, and the noise of the noise floor.",
)
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with the interrupted run in the folder of --export, to the same bytes."
)
junit_option = click.option(
    "--junit", metavar="FILE", callback=path, help="Write the gates as JUnit XML, a test case each."
)


def _report_path(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Refuse a suffix that is no format now, and not after the run."""
    given = path(context, parameter, value)
    if given is not None and given.suffix not in session.REPORT_SUFFIXES:
        raise click.BadParameter(
            f"'{given.suffix}' is no format of a report; {', '.join(session.REPORT_SUFFIXES)} are."
        )
    return given


report_option = click.option(
    "--report",
    metavar="FILE",
    callback=_report_path,
    help="Write the report as .json, .jsonl, .csv, .md or .html, by suffix.",
)
candidate_numerics_option = click.option(
    "--candidate-numerics", type=click.Choice(session.NUMERICS), help="Those of CANDIDATE, where they differ."
)


def parity_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a parity run; all but --json and --export are fields of the request."""
    numerics = (candidate_numerics_option, numerics_option)
    scope = (max_tokens_option, context_option, profile_option, corpus_option)
    depth = (seed_option, floor_option, exact_option)
    outputs = (resume_option, report_option, junit_option, export_option, json_option)
    for option in (*outputs, pair_reading_options, *numerics, *depth, *scope):
        function = option(function)
    return function


@click.command("parity")
@click.argument("reference")
@click.argument("candidate")
@parity_options
@device_options
@process_options
def command(reference: str, candidate: str, as_json: bool, export: Path | None, **settings: Any) -> int:
    """Compare CANDIDATE with REFERENCE: tokenizer, belief (tau-b) and probability (nll) parity.

    A side is the path of a model, or recorded:DIR (what `record` wrote), kld:FILE (what llama-perplexity saved
    with --save-all-logits), hf:DIR (run by transformers), llama:FILE (run by llama.cpp).

    Exits 0 on PASS, 1 on FAIL, 5 when the corpus is too small to tell.
    """
    return run_parity(parity_request(reference, candidate, export, **settings), as_json)


def parity_request(
    reference: str,
    candidate: str,
    export: Path | None,
    corpus: Path | None,
    junit: Path | None,
    report: Path | None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the request that `core.session.run` takes; `settings` are the other options."""
    if settings["resume"] and export is None:
        raise click.UsageError("--resume goes on with what --export DIR began; name that folder.")
    paths = {"export": export, "corpus": corpus, "junit": junit, "report": report}
    named = {name: None if path is None else str(path) for name, path in paths.items()}
    return {"kind": "parity", "reference": reference, "candidate": candidate, **named, **settings}


def _exported(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a request with its stream and its report written into `folder`; what is cut off can be resumed."""
    make_folder(folder)
    with session.locked_folder(folder) as lock:
        try:
            with session.atomic_file(folder / STREAM) as stream:
                report = run_headless(request, each=lambda event: stream.write(_timeless(event)), hold=(lock,))
        except KeyboardInterrupt as error:
            message = f"interrupted; the same command with --resume goes on from what is in {folder}"
            raise JobError(message, INTERRUPTED) from error
        (folder / session.JOURNAL).unlink(missing_ok=True)
    return report


def _timeless(event: Event) -> bytes:
    # Seconds are the one thing in which two runs of the same request differ.
    return encode({**event, "seconds": None} if "seconds" in event else event)


def run_exporting(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request without the app, into the folder that it names where it names one; return its report."""
    return run_headless(request) if request.get("export") is None else _exported(request, Path(request["export"]))


def run_parity(request: dict[str, Any], as_json: bool) -> int:
    """Run a parity request without the app, print its result and return the exit code."""
    report = run_exporting(request)
    if request["report"] is not None:
        session.export_report(report, Path(request["report"]))
    for line in session.tell_ci(report, None if request["junit"] is None else Path(request["junit"])):
        click.echo(line, err=True)
    show(report, parity_lines(report), as_json=as_json)
    return EXIT_CODES[report["judgement"]["verdict"]]
