"""Options that several commands share, spelled once, and the two ways out for a result.

    @json_option
    @export_option
    def command(...): ...

stdout is data and stderr is narration, the same bytes to a pipe and to a terminal.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bitnet_tui.cli.streams import emit, emit_json
from bitnet_tui.core import session
from bitnet_tui.core.events import dumps
from bitnet_tui.core.readings import LAYOUTS


def nonempty(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty path: an unset variable in a script, which means neither a default nor the current folder."""
    if value == "":
        raise click.BadParameter("the path is empty.")
    return value


def path(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Return an option's path; refuse an empty one."""
    given = nonempty(context, parameter, value)
    return None if given is None else Path(given)


def finite(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    """Refuse NaN and infinity, which slip through a range."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def utf8(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a text whose bytes are not UTF-8: no tokenizer has ids for them."""
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"not UTF-8 at character {error.start}.") from error
    return value


def _keep_model(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    context.meta[_MODEL] = value


def _one_model(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    named = context.meta[_MODEL]
    if value is not None and named is not None:
        raise click.UsageError(f"'{value}' and --model '{named}' were given; one model is meant.")
    if (model := value if named is None else named) is None:
        raise click.MissingParameter(ctx=context, param=parameter)
    return model


_MODEL = "bitnet_tui.model"


def model_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its model: as the argument MODEL, or as --model PATH, which scripts of other tools have."""
    # The option is seen first, and the argument's callback takes what it left.
    function = click.argument("model", metavar="MODEL", required=False, callback=_one_model)(function)
    return click.option(
        "--model", "_named", metavar="PATH", is_eager=True, expose_value=False, callback=_keep_model, help="MODEL."
    )(function)


def _be_deterministic(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ["BITNET_DETERMINISTIC"] = "1"  # the worker's; it says so in the stamp


deterministic_option = click.option(
    "--deterministic",
    is_flag=True,
    expose_value=False,
    callback=_be_deterministic,
    help="As BITNET_DETERMINISTIC=1: no kernel whose result may differ between two runs.",
)
json_out_option = click.option(
    "--json-out", metavar="FILE", callback=path, help="Write the result as one JSON document into FILE."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
export_option = click.option("--export", metavar="DIR", callback=path, help="Write artifacts into this folder.")
corpus_option = click.option(
    "--corpus",
    "--text-file",
    metavar="PATH",
    callback=path,
    help="A text file, or a folder of .txt files, one document each. Default: the shipped evaluation text.",
)
context_option = click.option(
    "--context",
    type=click.IntRange(2, 2**31 - 1),
    metavar="N",
    help="Tokens a window. Default: 512, or all positions the model has.",
)
max_tokens_option = click.option(
    "--max-tokens",
    type=click.IntRange(1, 2**31 - 1),
    metavar="N",
    help="Score N tokens, shared over all documents. Default: the whole corpus.",
)
numerics_option = click.option(
    "--numerics",
    type=click.Choice(session.NUMERICS),
    default=session.NUMERICS[0],
    show_default=True,
    help="How activations are rounded: which engine to compute as (docs/numerics.md).",
)
cache_type_option = click.option(
    "--cache-type",
    type=click.Choice(session.CACHE_TYPES),
    default=session.CACHE_TYPES[0],
    show_default=True,
    help="What keys and values are kept in: float16 rounds each once, and halves the cache (docs/numerics.md).",
)
i2s_layout_option = click.option(
    "--i2s-layout",
    type=click.Choice(LAYOUTS),
    default=LAYOUTS[0],
    show_default=True,
    help="The order of I2_S tensors, which no file states; auto is what a reference proves, else A.",
)
kernel_config_option = click.option(
    "--kernel-config",
    metavar="FILE",
    callback=nonempty,
    help="The kernel_config.ini of the build that wrote TL1 or TL2 tensors.",
)
candidate_i2s_layout_option = click.option(
    "--candidate-i2s-layout", type=click.Choice(LAYOUTS[1:]), help="That of CANDIDATE, where it differs."
)
candidate_kernel_config_option = click.option(
    "--candidate-kernel-config", metavar="FILE", callback=nonempty, help="That of CANDIDATE, where it differs."
)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that reads weights what their file may not state: `i2s_layout` and `kernel_config`."""
    return i2s_layout_option(kernel_config_option(function))


def pair_reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command of two sides the same, and the candidate's own where they differ."""
    own = (candidate_i2s_layout_option, candidate_kernel_config_option)
    for option in (*reversed(own), reading_options):
        function = option(function)
    return function


def scoring_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that runs one model over a text its options, which `scoring_request` takes."""
    for option in (reading_options, numerics_option, max_tokens_option, context_option, corpus_option):
        function = option(function)
    return function


def scoring_request(kind: str, path: str, corpus: Path | None, **settings: Any) -> dict[str, Any]:
    """Return the request that `core.session.run` takes; `settings` are the other options."""
    return {"kind": kind, "path": path, "corpus": None if corpus is None else str(corpus), **settings}


def show(result: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print a result: as one JSON document, or as the lines a person reads."""
    if as_json:
        emit_json(dumps(result, indent=True))
    else:
        emit("\n".join(lines) + "\n")


def export_json(folder: Path, name: str, result: dict[str, Any]) -> None:
    """Write `result` as `folder/name`, whole or not at all. Raises StorageError."""
    make_folder(folder)
    session.write_atomic(folder / name, dumps(result, indent=True))


def make_folder(folder: Path) -> None:
    """Make the export folder. Raises StorageError where a file is in the way or may not write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise session.StorageError(f"{folder}: cannot make this folder: {error.strerror}") from error
