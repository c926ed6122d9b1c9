"""`--export FILE`: what the app shows of a path as a file, by suffix; .svg is the picture of the screen.

export_file(["model.gguf"], Path("model.csv"), reading={}, picture=Picture())
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bitnet_tui.core import session, settings
from bitnet_tui.core.bench_report import artifact_events, artifact_of, bench_table, is_bench
from bitnet_tui.core.exporting import FORMATS, PICTURE, export_run, export_table, model_table
from bitnet_tui.core.keymap import checked_key
from bitnet_tui.core.store import Store, describe, is_run, stream_path

SIZE = (120, 40)
_SMALLEST, _LARGEST = 20, 500


@dataclass(frozen=True)
class Picture:
    """How a screen is drawn: None is what the app would take."""

    size: tuple[int, int] | None = None
    theme: str | None = None
    press: Sequence[str] = ()


def is_file(export: Path | None) -> bool:
    """Return whether --export names a file of a known format, and no folder."""
    return export is not None and export.suffix in FORMATS and not export.is_dir()


def export_file(paths: Sequence[str], file: Path, reading: dict[str, Any], picture: Picture) -> None:
    """Write what the app shows of `paths` as the suffix of `file` says.

    Raises:
        click.UsageError: the suffix has no meaning for these paths.
        BitnetError: a path cannot be read, or the file cannot be written.
    """
    if len(paths) == 2:
        raise click.UsageError(
            f"--export {file.name}: a comparison is run first: --export DIR, then `bitnet-tui DIR --export "
            f"{file.name}`; or --report {file.name} for a report alone."
        )
    if file.suffix == PICTURE:
        session.write_atomic(file, _drawn(paths, reading, picture).encode())
        return
    if picture != Picture():
        raise click.UsageError(f"--size, --theme and --press are of a picture ({PICTURE}); {file.name} is none.")
    if not paths:
        raise click.UsageError(f"--export {file.name} needs a model, a recorded run or a benchmark.")
    path = Path(paths[0])
    if is_bench(path):
        export_table(bench_table(artifact_of(artifact_events(path), paths[0])), file)
    elif is_run(path) and describe(stream_path(path)).kind == "bench":
        export_table(bench_table(artifact_of(Store(path).open(stream_path(path)), paths[0])), file)
    elif is_run(path):
        export_run(Store(path).open(stream_path(path)), paths[0], file)
    else:
        export_table(model_table(session.inspect(paths[0], **reading)), file)


def _drawn(paths: Sequence[str], reading: dict[str, Any], picture: Picture) -> str:
    config = settings.load_config({"theme": picture.theme})
    from bitnet_tui.app import BitnetApp
    from bitnet_tui.screens import picture as drawing
    from bitnet_tui.screens.keys import textual_name

    app = BitnetApp(paths, config=config, reading=reading)
    return drawing.picture(app, picture.size or SIZE, [textual_name(key) for key in picture.press])


def size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return columns and rows of `120x40`."""
    if value is None:
        return None
    parts = value.split("x")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and _SMALLEST <= int(p[:9]) <= _LARGEST for p in parts):
        raise click.BadParameter(f"'{value}' is no size; COLUMNSxROWS is, each {_SMALLEST} to {_LARGEST}.")
    return int(parts[0]), int(parts[1])


def press(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the keys of `n,n,enter`, spelled as in a keymap."""
    return tuple(checked_key(key.strip(), "--press") for key in value.split(",")) if value else ()
