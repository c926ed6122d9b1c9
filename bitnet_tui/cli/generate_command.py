"""`bitnet-tui generate MODEL PROMPT`: text, as it is made."""

import sys
from pathlib import Path

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, numerics_option, to_json
from bitnet_tui.core.events import Event
from bitnet_tui.core.text import safe


@click.command("generate")
@click.argument("model")
@click.argument("prompt")
@click.option("-n", "--max-new", type=click.IntRange(1), default=64, show_default=True, help="Tokens to make.")
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--top-k", type=click.IntRange(0), default=0, show_default=True, help="0 keeps all tokens.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same text.")
@numerics_option
@json_option
@export_option
def command(
    model: str,
    prompt: str,
    max_new: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    numerics: str,
    as_json: bool,
    export: Path | None,
) -> None:
    """Continue PROMPT with MODEL."""
    request = {
        "kind": "generate",
        "path": model,
        "prompt": prompt,
        "max_new": max_new,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "numerics": numerics,
    }
    report = run_headless(request, each=_ignore if as_json else _print_text)
    if export is not None:
        export_json(export, "generation.json", report)
    click.echo(to_json(report) if as_json else "", nl=not as_json)


def _print_text(event: Event) -> None:
    if event["event"] == "text":
        # Models write control bytes too; a terminal must not obey them. Line breaks and tabs are text.
        sys.stdout.write("\n".join("\t".join(map(_visible, line.split("\t"))) for line in event["text"].split("\n")))
        sys.stdout.flush()


def _visible(text: str) -> str:
    return safe(text, limit=len(text) * 10 + 1)


def _ignore(_: Event) -> None:
    pass
