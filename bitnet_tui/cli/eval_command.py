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
    to_json,
)
from bitnet_tui.display.plain import eval_lines


@click.command("eval")
@click.argument("model")
@corpus_option
@context_option
@max_tokens_option
@numerics_option
@json_option
@export_option
def command(
    model: str,
    corpus: str | None,
    context: int | None,
    max_tokens: int | None,
    numerics: str,
    as_json: bool,
    export: Path | None,
) -> None:
    """Score a corpus with MODEL: mean nll in nats a token, and perplexity."""
    settings = {"corpus": corpus, "context": context, "max_tokens": max_tokens, "numerics": numerics}
    request = {"kind": "eval", "path": model, **settings}
    report = run_headless(request)
    if export is not None:
        export_json(export, "eval.json", report)
    click.echo(to_json(report) if as_json else "\n".join(eval_lines(report)), nl=not as_json)
