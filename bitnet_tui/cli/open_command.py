"""`bitnet-tui [PATH [PATH]]`: the app; with --export or --json the same without it."""

import difflib
import os
import sys
from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli import info_command, serving
from bitnet_tui.cli.file_export import Picture, export_file, is_file, press, size
from bitnet_tui.cli.main import COMMANDS
from bitnet_tui.cli.parity_command import parity_options, parity_request, run_parity
from bitnet_tui.cli.streams import emit
from bitnet_tui.core import session, settings


@click.command("open")
@click.argument("paths", nargs=-1)
@click.option("--theme", metavar="NAME", help="Theme of the app, over that of config.toml.")
@click.option(
    "--serve",
    metavar="PORT",
    type=click.IntRange(1024, 65535),
    help="Show the app in a browser of this machine, at http://localhost:PORT (the [web] extra).",
)
@click.option("--size", metavar="120x40", callback=size, help="With --export FILE.svg: columns and rows of the screen.")
@click.option("--press", metavar="KEYS", callback=press, help="With --export FILE.svg: keys pressed first: n,n,enter.")
@parity_options
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    theme: str | None,
    size: tuple[int, int] | None,
    press: tuple[str, ...],
    serve: int | None,
    as_json: bool,
    export: Path | None,
    **options: Any,
) -> int:
    """Open the app at Home, on one model (or recorded run), or on a reference and a candidate.

    --export FILE writes what it would show: the picture of the screen as .svg, its data as .json, .jsonl, .csv, .md
    or .html.
    """
    _refuse_typing_slips(paths)
    reading = {name: options[name] for name in ("i2s_layout", "kernel_config")}
    if export is not None and is_file(export):
        export_file(paths, export, reading, Picture(size, theme, press))
        return 0
    if size is not None or press:
        raise click.UsageError("--size and --press are of a picture: --export FILE.svg.")
    headless = export is not None or as_json
    if serve is not None:
        return _served(paths, theme, serve, headless)
    if headless and theme is not None:
        raise click.UsageError("--theme is of the app, which --export and --json do without.")
    if len(paths) == 2:
        request = parity_request(*paths, export, **options)
        return run_parity(request, as_json) if headless else open_app(paths, request, {}, theme)
    if not headless:
        return open_app(paths, None, reading, theme)
    if not paths:
        raise click.UsageError("--export and --json need a model, or a reference and a candidate.")
    ctx.invoke(info_command.command, model=paths[0], scan=False, as_json=as_json, export=export, **reading)
    return 0


def _served(paths: tuple[str, ...], theme: str | None, port: int, headless: bool) -> int:
    if headless or len(paths) > 1:
        raise click.UsageError("--serve shows Home, a model or a recorded run; it goes with no --export and no --json.")
    serving.serve([*(["--theme", theme] if theme else []), *(str(Path(path).resolve()) for path in paths)], port)
    return 0


def _refuse_typing_slips(paths: tuple[str, ...]) -> None:
    if paths and not Path(paths[0]).exists() and (near := difflib.get_close_matches(paths[0], COMMANDS, 1)):
        raise click.UsageError(f"There is no file or command '{paths[0]}'. Did you mean '{near[0]}'?")
    if len(paths) > 2:
        raise click.UsageError(f"{len(paths)} paths were given; one opens a model, two are compared.")


def open_app(
    paths: tuple[str, ...],
    request: dict[str, Any] | None,
    reading: dict[str, Any],
    theme: str | None,
    *,
    tour: bool = False,
) -> int:
    """Open the app as `BitnetApp` takes it, and return its exit code; with `tour` it begins with the guided tour.

    Raises:
        click.UsageError: there is no terminal that it can draw on.
        BitnetError: a path or a setting is wrong.
    """
    for path in paths:
        if not Path(session.side_path(path)).exists():
            raise session.FormatError(f"{path}: no such file or folder; check the path.")
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    # textual-serve brings a driver of its own, which draws in a browser.
    if not terminal and "TEXTUAL_DRIVER" not in os.environ:
        raise click.UsageError(
            "The app needs a terminal that can move its cursor. Without one: `bitnet-tui info MODEL`, "
            "or `bitnet-tui REF CAND --export DIR`."
        )
    config = settings.load_config({"theme": theme})
    from bitnet_tui.app import BitnetApp

    app = BitnetApp(paths, request, config=config, reading=reading, tour=tour)
    app.run()
    for line in app.summary:
        emit(f"{line}\n")
    return app.return_code or app.exit_code
