"""`bitnet-tui locate [NAME]`: where the program keeps what it reads and writes."""

from pathlib import Path

import click

from bitnet_tui.cli.options import json_option
from bitnet_tui.cli.streams import emit, emit_json
from bitnet_tui.core import session, settings
from bitnet_tui.core.compiled import OFF, VARIABLE, compiled_dir
from bitnet_tui.core.events import dumps
from bitnet_tui.core.text import safe


@click.command("locate")
@click.argument("name", type=click.Choice(("config", "themes", "runs", "compiled")), required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """Print where config.toml, the user's own themes, the recorded runs and compiled programs are.

    With NAME only that path, for scripts. A place that does not exist yet is printed too.
    """
    places = {"config": settings.config_path(), "themes": settings.themes_dir()}
    # A file that is wrong is no reason not to say where it is.
    if name in (None, "runs"):
        places["runs"] = _runs_dir()
    if (kept := compiled_dir()) is not None:
        places["compiled"] = kept
    if name == "compiled" and name not in places:
        raise session.SettingError(f"{VARIABLE} is {OFF}: compiled programs are not kept.")
    chosen = places if name is None else {name: places[name]}
    if as_json:
        paths = {key: str(path) for key, path in chosen.items()}
        emit_json(dumps({"schema": "bitnet-tui/places", "schema_version": 1, "places": paths}, indent=True))
    elif name is not None:
        emit(f"{places[name]}\n")
    else:
        emit("".join(f"{key:<10}{_described(path)}\n" for key, path in places.items()))


def _runs_dir() -> Path:
    try:
        return settings.load_config().settings.runs_dir
    except session.SettingError as error:
        raise session.SettingError(f"{error} `bitnet-tui locate config` names the file.") from error


def _described(path: Path) -> str:
    return safe(str(path), 1000) + ("" if path.exists() else "  (not there yet)")
