"""`bitnet-tui eval MODEL`: how well a model predicts a text."""

from pathlib import Path

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    context_option,
    corpus_option,
    export_json,
    export_option,
    json_option,
    max_tokens_option,
    numerics_option,
    reading_options,
    show,
)
from bitnet_tui.display.plain import eval_lines


@click.command("eval")
@click.argument("model")
@corpus_option
@context_option
@max_tokens_option
@numerics_option
@reading_options
@json_option
@export_option
def command(
    model: str,
    corpus: Path | None,
    context: int | None,
    max_tokens: int | None,
    numerics: str,
    i2s_layout: str,
    kernel_config: str | None,
    as_json: bool,
    export: Path | None,
) -> None:
    """Score a corpus with MODEL: mean nll in nats a token, and perplexity."""
    request = {
        "kind": "eval",
        "path": model,
        "corpus": None if corpus is None else str(corpus),
        "context": context,
        "max_tokens": max_tokens,
        "numerics": numerics,
        "i2s_layout": i2s_layout,
        "kernel_config": kernel_config,
    }
    report = run_headless(request)
    if export is not None:
        export_json(export, "eval.json", report)
    show(report, eval_lines(report), as_json=as_json)
