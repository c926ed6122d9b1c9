"""`bitnet-tui eval MODEL`: how well a model predicts a text."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, scoring_options, scoring_request, show
from bitnet_tui.display.plain import eval_lines


@click.command("eval")
@click.argument("model")
@scoring_options
@json_option
@export_option
def command(model: str, as_json: bool, export: Path | None, **settings: Any) -> None:
    """Score a corpus with MODEL: mean nll in nats a token, and perplexity."""
    report = run_headless(scoring_request("eval", model, **settings))
    if export is not None:
        export_json(export, "eval.json", report)
    show(report, eval_lines(report), as_json=as_json)
