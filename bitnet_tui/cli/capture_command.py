"""`bitnet-tui capture MODEL --export DIR`: every result on the way to the logits, to be diagnosed elsewhere."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.diagnose_command import text_option, tokens_option
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import json_option, numerics_option, path, reading_options, show
from bitnet_tui.display.diagnosis import capture_lines


@click.command("capture")
@click.argument("model")
@click.option(
    "--export",
    metavar="DIR",
    required=True,
    callback=path,
    help="Write the capture into this new folder, whole or not at all.",
)
@text_option
@tokens_option
@numerics_option
@reading_options
@json_option
def command(model: str, export: Path, as_json: bool, **asked: Any) -> int:
    """Write the result of every operation of MODEL on a text, a SafeTensors file a layer and an index.

    MODEL is a path, or llama:FILE for what llama.cpp computes (the [llama] extra), or hf:DIR for what transformers
    computes (the [hf] extra).

    Exits 1 if capturing changed a bit of the logits, which it never should.
    """
    report = run_headless({"kind": "capture", "path": model, "folder": str(export), **asked})
    show(report, capture_lines(report), as_json=as_json)
    return int(report["same_bits"] is False)
