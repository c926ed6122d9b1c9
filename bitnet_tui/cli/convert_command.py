"""`bitnet-tui convert SRC DST --type TYPE`: the same model in another storage."""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, make_folder, nonempty, reading_options, show
from bitnet_tui.display.diff import conversion_lines

TYPES = ("I2_S", "TQ1_0", "TQ2_0", "HF_PACKED")


def _known(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    # Not click.Choice, whose message about a missing one takes several lines.
    if value.upper() not in TYPES:
        raise click.BadParameter(f"'{value}' is none of {', '.join(TYPES)}.")
    return value.upper()


@click.command("convert")
@click.argument("source")
@click.argument("target", callback=nonempty)
@click.option(
    "--type",
    "quant_type",
    metavar="TYPE",
    required=True,
    callback=_known,
    help=f"{', '.join(TYPES)}: the last writes a Hugging Face folder, the others one GGUF file.",
)
@click.option(
    "--allow-lossy", is_flag=True, help="Round scales and embeddings that the type cannot hold, and list them."
)
@click.option("--force", is_flag=True, help="Replace TARGET where it is a file already; never a link or a folder.")
@reading_options
@json_option
@export_option
def command(
    source: str,
    target: str,
    quant_type: str,
    allow_lossy: bool,
    force: bool,
    as_json: bool,
    export: Path | None,
    **reading: Any,
) -> None:
    """Write the model SOURCE as TARGET. What would lose a number is refused; what is written is read back.

    TARGET appears whole or not at all. --i2s-layout is of SOURCE: what is written is layout A.
    """
    if export is not None:
        make_folder(export)  # before the work, not after it
    allowed = {"allow_lossy": allow_lossy, "force": force}
    request = {"kind": "convert", "path": source, "target": target, "type": quant_type, **allowed}
    report = run_headless({**request, **reading})
    if export is not None:
        export_json(export, "conversion.json", report)
    show(report, conversion_lines(report), as_json=as_json)
