"""`bitnet-tui eval MODEL`: how well a model predicts a text."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.device_options import device_options, process_options
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    deterministic_option,
    export_json,
    export_option,
    json_option,
    json_out_option,
    model_argument,
    scoring_options,
    scoring_request,
    show,
)
from bitnet_tui.core import session
from bitnet_tui.core.events import dumps
from bitnet_tui.display.plain import eval_lines


@click.command("eval")
@model_argument
@scoring_options
@device_options
@process_options
@deterministic_option
@json_option
@json_out_option
@export_option
def command(model: str, as_json: bool, json_out: Path | None, export: Path | None, **settings: Any) -> None:
    """Score a corpus with MODEL: mean nll in nats a token, and perplexity."""
    report = run_headless(scoring_request("eval", model, **settings))
    if json_out is not None:
        session.write_atomic(json_out, dumps(report, indent=True))
    if export is not None:
        export_json(export, "eval.json", report)
    show(report, eval_lines(report), as_json=as_json)
