"""`bitnet-tui convert SRC DST --type TYPE`: the same model in another storage."""

import re
from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import export_json, export_option, json_option, make_folder, nonempty, reading_options, show
from bitnet_tui.display.diff import conversion_lines

TYPES = ("I2_S", "TQ1_0", "TQ2_0", "HF_PACKED", "F32", "F16", "BF16")
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _known(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    # Not click.Choice, whose message about a missing one takes several lines.
    if value.upper() not in TYPES:
        raise click.BadParameter(f"'{value}' is none of {', '.join(TYPES)}.")
    return value.upper()


def _bytes(_ctx: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*([A-Z]*)", value.upper(), re.ASCII)
    size = int(float(found[1]) * UNITS.get(found[2], 0)) if found else 0
    if not size:
        raise click.BadParameter(f"'{value}' is no size; 5GB, 1.5GB, 500MB or bytes are (also KB, KiB, MiB, GiB).")
    return size


@click.command("convert")
@click.argument("source")
@click.argument("target", callback=nonempty)
@click.option(
    "--type",
    "quant_type",
    metavar="TYPE",
    required=True,
    callback=_known,
    help=f"{', '.join(TYPES)}. HF_PACKED writes a Hugging Face folder; a float type one GGUF file where TARGET ends in "
    f".gguf, else a folder; the others a GGUF file.",
)
@click.option(
    "--scale",
    type=click.Choice(["multiply", "divide"]),
    help="What the scales of HF_PACKED do; else as the model's family is published.",
)
@click.option(
    "--max-shard-size",
    metavar="SIZE",
    callback=_bytes,
    help="Split a folder's tensors into files of at most 5GB, 500MB, ...; else one file. A tensor is never split: a "
    "larger one is alone in its file.",
)
@click.option("--byte-order", type=click.Choice(["little", "big"]), help="Of a GGUF; little is what is not said.")
@click.option(
    "--allow-lossy", is_flag=True, help="Round scales and embeddings that the type cannot hold, and list them."
)
@click.option("--force", is_flag=True, help="Replace TARGET where it is a file already; never a link or a folder.")
@reading_options
@json_option
@export_option
def command(source: str, target: str, quant_type: str, as_json: bool, export: Path | None, **chosen: Any) -> None:
    """Write the model SOURCE as TARGET. What would lose a number is refused; what is written is read back.

    TARGET appears whole or not at all. --i2s-layout is of SOURCE: what is written is layout A.
    """
    if export is not None:
        make_folder(export)  # before the work, not after it
    report = run_headless({"kind": "convert", "path": source, "target": target, "type": quant_type, **chosen})
    if export is not None:
        export_json(export, "conversion.json", report)
    show(report, conversion_lines(report), as_json=as_json)
