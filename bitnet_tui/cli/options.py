"""Options that several commands share, spelled once, and the two ways out for a result.

    @json_option
    @export_option
    def command(...): ...

stdout is data and stderr is narration, the same bytes to a pipe and to a terminal.
"""

from pathlib import Path
from typing import Any

import click
import orjson

from bitnet_tui.core import session

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
export_option = click.option(
    "--export", metavar="DIR", type=click.Path(path_type=Path), help="Write the artifacts into this folder."
)
corpus_option = click.option(
    "--corpus",
    metavar="PATH",
    help="A text file, or a folder of .txt files, one document each. Default: the shipped evaluation text.",
)
context_option = click.option(
    "--context", type=int, metavar="N", help="Tokens a window. Default: 512, or all positions the model has."
)
max_tokens_option = click.option(
    "--max-tokens", type=click.IntRange(1), metavar="N", help="Stop after this many tokens. Default: the whole corpus."
)
numerics_option = click.option(
    "--numerics",
    type=click.Choice(session.NUMERICS),
    default=session.NUMERICS[0],
    show_default=True,
    help="How activations are rounded: which engine to compute as (docs/numerics.md).",
)


def to_json(result: dict[str, Any]) -> str:
    """Return `result` as indented JSON with a final newline; NaN and infinity become null."""
    return orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def export_json(folder: Path, name: str, result: dict[str, Any]) -> None:
    """Write `result` as `folder/name`, whole or not at all. Raises StorageError."""
    make_folder(folder)
    session.write_atomic(folder / name, to_json(result).encode())


def make_folder(folder: Path) -> None:
    """Make the export folder. Raises StorageError where a file is in the way or may not write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise session.StorageError(f"{folder}: cannot make this folder: {error.strerror}") from error
