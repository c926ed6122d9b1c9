"""`bitnet-tui parity REF CAND`: do two checkpoints of one model still agree? With a verdict for CI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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
    show,
)
from bitnet_tui.core import session
from bitnet_tui.core.events import encode
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
candidate_numerics_option = click.option(
    "--candidate-numerics", type=click.Choice(session.NUMERICS), help="Those of CANDIDATE, where they differ."
)


def parity_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a parity run; all but --json and --export are fields of the request."""
    numerics = (candidate_numerics_option, numerics_option)
    scope = (max_tokens_option, context_option, profile_option, corpus_option)
    depth = (seed_option, floor_option, exact_option)
    for option in (export_option, json_option, pair_reading_options, *numerics, *depth, *scope):
        function = option(function)
    return function


@click.command("parity")
@click.argument("reference")
@click.argument("candidate")
@parity_options
def command(reference: str, candidate: str, as_json: bool, export: Path | None, **settings: Any) -> int:
    """Compare CANDIDATE with REFERENCE: tokenizer, belief (tau-b) and probability (nll) parity.

    Exits 0 on PASS, 1 on FAIL, 5 when the corpus is too small to tell.
    """
    return run_parity(parity_request(reference, candidate, export, **settings), as_json)


def parity_request(
    reference: str, candidate: str, export: Path | None, corpus: Path | None, **settings: Any
) -> dict[str, Any]:
    """Return the request that `core.session.run` takes; `settings` are the other options."""
    paths = {"export": export, "corpus": corpus}
    named = {name: None if path is None else str(path) for name, path in paths.items()}
    return {"kind": "parity", "reference": reference, "candidate": candidate, **named, **settings}


def run_parity(request: dict[str, Any], as_json: bool) -> int:
    """Run a parity request without the app, print its result and return the exit code."""
    if request["export"] is None:
        report = run_headless(request)
    else:
        folder = Path(request["export"])
        make_folder(folder)
        with session.atomic_file(folder / STREAM) as stream:
            report = run_headless(request, each=lambda event: stream.write(encode(event)))
    show(report, parity_lines(report), as_json=as_json)
    return EXIT_CODES[report["judgement"]["verdict"]]
