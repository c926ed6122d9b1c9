"""`bitnet-tui info MODEL`: what a model file holds, from its header alone."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.options import export_json, export_option, json_option, model_argument, reading_options, show
from bitnet_tui.core import session
from bitnet_tui.display.plain import info_lines


@click.command("info")
@model_argument
@click.option("--scan", is_flag=True, help="Read the weights too, for the findings that only they show.")
@reading_options
@json_option
@export_option
def command(
    model: str, scan: bool, i2s_layout: str, kernel_config: str | None, as_json: bool, export: Path | None
) -> None:
    """Explain MODEL, a .gguf file, a .safetensors file or a model folder, without loading it."""
    summary: dict[str, Any] = session.inspect(model, scan=scan, i2s_layout=i2s_layout, kernel_config=kernel_config)
    if export is not None:
        export_json(export, "info.json", summary)
    show(summary, info_lines(summary), as_json=as_json)
