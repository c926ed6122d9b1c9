"""`bitnet-tui generate MODEL PROMPT`: text, as it is made."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.device_options import mesh_option, process_options
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    cache_type_option,
    export_json,
    export_option,
    finite,
    json_option,
    numerics_option,
    reading_options,
    show,
    utf8,
)
from bitnet_tui.cli.streams import emit
from bitnet_tui.core import session
from bitnet_tui.core.events import Event
from bitnet_tui.core.text import safe


@click.command("generate")
@click.argument("model")
@click.argument("prompt", callback=utf8)
@click.option(
    "-n", "--max-new", type=click.IntRange(1, 2**31 - 1), default=64, show_default=True, help="Tokens to make."
)
@click.option(
    "--temperature", type=click.FloatRange(0), callback=finite, default=0.0, show_default=True, help="0 is greedy."
)
@click.option("--top-k", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="0 keeps all tokens.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), callback=finite, default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Same seed, same text. Default: BITNET_SEED, else 0.")
@numerics_option
@cache_type_option
@reading_options
@mesh_option
@process_options
@json_option
@export_option
def command(
    model: str,
    prompt: str,
    max_new: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    numerics: str,
    cache_type: str,
    i2s_layout: str,
    kernel_config: str | None,
    as_json: bool,
    export: Path | None,
    **devices: Any,
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
        "seed": session.environment().seed or 0 if seed is None else seed,
        "numerics": numerics,
        "cache_type": cache_type,
        "i2s_layout": i2s_layout,
        "kernel_config": kernel_config,
        **devices,
    }
    report = run_headless(request, each=_ignore if as_json else _print_text)
    if export is not None:
        export_json(export, "generation.json", report)
    show(report, [""], as_json=as_json)


def _print_text(event: Event) -> None:
    if event["event"] == "text":
        # Models write control bytes too; a terminal must not obey them. Line breaks and tabs are text.
        emit("\n".join("\t".join(map(_visible, line.split("\t"))) for line in event["text"].split("\n")))


def _visible(text: str) -> str:
    return safe(text, limit=len(text) * 10 + 1)


def _ignore(_: Event) -> None:
    pass
