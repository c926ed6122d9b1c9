"""`bitnet-tui bench MODEL` (or `benchmark`): how fast is it here, and how fast could it be?"""

from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    cache_type_option,
    export_json,
    export_option,
    json_option,
    make_folder,
    model_argument,
    nonempty,
    numerics_option,
    reading_options,
    show,
)
from bitnet_tui.cli.parity_command import EXIT_CODES
from bitnet_tui.core.command_line import bench_command
from bitnet_tui.display.bench import bench_lines

ARTIFACT = "bench.json"
NOISY = 5


def _threads(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[int]:
    counts = [] if value is None else value.split(",")
    if not all(count.isascii() and count.isdecimal() and 0 < len(count) < 5 and int(count) for count in counts):
        raise click.BadParameter(f"'{value}' is no list of counts; 1 or 1,2,4 are.")
    return [int(count) for count in counts]


@click.command("bench")
@model_argument
@click.option("--iterations", type=click.IntRange(1, 1000), default=10, show_default=True, help="Samples of each case.")
@click.option(
    "--warmup", type=click.IntRange(0, 1000), default=2, show_default=True, help="Untimed operations of each case."
)
@click.option(
    "--threads",
    metavar="N,N,…",
    callback=_threads,
    help="Processors to run on, one after another; the last runs every case. Default: all.",
)
@click.option("--quick", is_flag=True, help="Few cases: one prompt, one position, one process.")
@click.option("--peers", is_flag=True, help="Take turns with llama.cpp on the same GGUF (the [llama] extra).")
@click.option("--allow-noise", is_flag=True, help="Let disturbed samples count; they are marked all the same.")
@click.option(
    "--baseline",
    metavar="FILE",
    callback=nonempty,
    help=f"A {ARTIFACT} of this machine and model: FAIL where something is surely 10 % slower than there.",
)
@numerics_option
@cache_type_option
@reading_options
@json_option
@export_option
def command(model: str, as_json: bool, export: Path | None, **settings: Any) -> int:
    """Measure MODEL: loading, memory, compilation, prefill, decode and their parts, each beside its physical limit.

    The limits are measured in the same run: plain reading of memory, and products of bytes. Steal, other processes
    and the clock are recorded with every sample; what was disturbed does not count.

    Exits 0 where nothing is judged or all of it passes, 1 on FAIL, 5 where noise leaves no verdict or no value.
    """
    if export is not None:
        make_folder(export)  # before the work, not after it
    asked = {"path": model, **settings}
    # The model by its name, wherever it lies, and without a baseline: the command measures the same anywhere.
    same = {**asked, "path": Path(model).name, "baseline": None}
    report = run_headless({"kind": "bench", **asked, "command": bench_command(same)})
    if export is not None:
        export_json(export, ARTIFACT, report)
    show(report, bench_lines(report), as_json=as_json)
    verdict = report["judgement"]["verdict"]
    return 0 if verdict is None else EXIT_CODES.get(verdict, NOISY)
