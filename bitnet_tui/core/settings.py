"""What a user may set, where each value comes from, and which one wins.

    config = load_config()                        # of this user, in this environment
    config.settings.theme                  # "bitnet-dark"
    config.sources["theme"]                # "default", "config.toml", "BITNET_TUI_THEME" or "--theme"

A flag wins over the environment, the environment over `config.toml`, the file over the default. A key that is no
setting is refused with the nearest name, a value with what is allowed. Reads, never writes (`core.config_file`
does). Knows no screen, and of keys only how the table `[keymap]` is laid out; `core.keymap` says which actions exist.

    theme = "bitnet-light"
    models_dirs = ["~/models"]
    [keymap]
    preset = "vim"
    parity.worst = "W"
"""

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from bitnet_tui.core.keymap import PRESETS
from bitnet_tui.core.session import NUMERICS, SettingError
from bitnet_tui.core.store import default_root
from bitnet_tui.core.text import safe

FILE_VARIABLE = "BITNET_TUI_CONFIG"
"""Names another file than `config.toml` in the user's configuration folder."""

DEFAULT_THEME = "bitnet-dark"
PROFILES = ("lossless", "nightly", "fp32", "quantized")


class _NotAllowedError(Exception):
    """A value of the wrong kind; the text says what is allowed."""


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _NotAllowedError("a name in quotes is allowed")
    return value


def _one_of(names: Iterable[str]) -> Callable[[object], str]:
    allowed = tuple(names)

    def read(value: object) -> str:
        if value not in allowed:
            raise _NotAllowedError(f"{', '.join(allowed)} are allowed")
        return str(value)

    return read


def _gib(value: object) -> float:
    # TOML's booleans are Python's integers; its nan and inf are floats.
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise _NotAllowedError("a number from 0 is allowed; 0 keeps every run")
    return float(value)


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise _NotAllowedError("a path in quotes is allowed")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise _NotAllowedError("a path of a user that exists is allowed") from error


def _folders(value: object) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise _NotAllowedError("a list of paths is allowed")
    return tuple(map(_folder, value))


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _paths(text: str) -> object:
    return [part for part in text.split(os.pathsep) if part]


def _choice(default: str, env: str, about: str, names: Iterable[str], key: str = "") -> Any:
    """Declare a field that takes one of `names`."""
    names = tuple(names)
    return _setting(default, env, about, _one_of(names), key=key, choices=names)


def _setting(
    default: Any,
    env: str,
    about: str,
    read: Callable[[object], Any],
    parse: Callable[[str], object] = str,
    key: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field: its variable of the environment, one line for people, and how a value is checked.

    `parse` turns the text of a variable into what TOML would have held; `key` is the name in the file where it is
    not that of the field; `choices` are all that is allowed, where that can be listed.
    """
    known = {"env": env, "about": about, "read": read, "parse": parse, "key": key, "choices": choices}
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. The fields are the keys of config.toml."""

    theme: str = _setting(DEFAULT_THEME, "BITNET_TUI_THEME", "name of a theme", _name)
    models_dirs: tuple[Path, ...] = _setting(
        (), "BITNET_MODELS", "folders that Home looks for models in, beside the current one", _folders, _paths
    )
    runs_dir: Path = _setting(default_root(), "BITNET_TUI_RUNS", "where runs are recorded", _folder)  # noqa: RUF009
    runs_limit_gib: float = _setting(
        5.0, "BITNET_TUI_RUNS_LIMIT_GIB", "the oldest runs are deleted over this size; 0 keeps every run", _gib, _number
    )
    profile: str = _choice("quantized", "BITNET_TUI_PROFILE", "limits that a new run of the app begins with", PROFILES)
    numerics: str = _choice(
        NUMERICS[0], "BITNET_TUI_NUMERICS", "numerics that a new run of the app begins with", NUMERICS
    )
    preset: str = _choice("default", "BITNET_TUI_KEYMAP", "keys to begin with", PRESETS, key="keymap.preset")
    keys: Mapping[str, str] = field(default_factory=dict, metadata={"about": "keys of single actions"})
    """Action to keys, as written in `[keymap]`; what they may be is checked by `core.keymap`."""


@dataclass(frozen=True)
class Config:
    """The settings in force, and where each of them was set."""

    settings: Settings
    sources: Mapping[str, str]
    path: Path
    """The file, which need not exist."""


def config_path(env: Mapping[str, str] | None = None) -> Path:
    """Return where config.toml is read from: `BITNET_TUI_CONFIG`, or the user's configuration folder."""
    named = (os.environ if env is None else env).get(FILE_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_config_path("bitnet-tui") / "config.toml"


def themes_dir() -> Path:
    """Return the folder of the user's own themes, beside config.toml."""
    return config_path().parent / "themes"


def load_config(flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None) -> Config:
    """Return the settings of flags, environment and file, in this order of precedence.

    Args:
        flags: fields named on the command line; None counts as not given.
        env: the environment; this process's own by default.

    Raises:
        SettingError: an unknown key, a value that is not allowed, or a file that cannot be read.
    """
    env = os.environ if env is None else env
    path = config_path(env)
    given = _read_file(path, named=FILE_VARIABLE in env)
    values: dict[str, Any] = {}
    sources = {item.name: "default" for item in fields(Settings)}
    for item in _settings():
        key = item.metadata["key"] or item.name
        if key in given:
            values[item.name] = _checked(item, given.pop(key), f"{path}: {key}")
            sources[item.name] = path.name
        # An empty variable is how a shell takes one away.
        if text := env.get(item.metadata["env"]):
            values[item.name] = _checked(item, item.metadata["parse"](text), item.metadata["env"])
            sources[item.name] = item.metadata["env"]
        if (flag := (flags or {}).get(item.name)) is not None:
            values[item.name] = _checked(item, flag, f"--{item.name}")
            sources[item.name] = f"--{item.name}"
    values["keys"] = {key.removeprefix("keymap."): _keys(path, key, value) for key, value in given.items()}
    if values["keys"]:
        sources["keys"] = path.name
    return Config(Settings(**values), sources, path)


@dataclass(frozen=True)
class Entry:
    """A setting as a person sees and types it."""

    name: str
    """The field of `Settings`."""
    key: str
    """Its name in config.toml."""
    value: str
    """What is in force, as it would be typed: folders between the signs that PATH has between them."""
    source: str
    env: str
    about: str
    choices: tuple[str, ...]
    """All that is allowed; empty where that cannot be listed."""

    def read(self, text: str) -> str | float | list[str]:
        """Return what config.toml would hold for the typed `text`. Raises SettingError for what is not allowed."""
        item = next(item for item in _settings() if item.name == self.name)
        value = item.metadata["parse"](text)
        _checked(item, value, self.key)
        return value


def entries(config: Config) -> list[Entry]:
    """Return every setting but the keys of single actions."""
    found = []
    for item in _settings():
        value, known = getattr(config.settings, item.name), item.metadata
        text = os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)
        found.append(
            Entry(
                item.name,
                known["key"] or item.name,
                text,
                config.sources[item.name],
                known["env"],
                known["about"],
                known["choices"],
            )
        )
    return found


def _settings() -> list[Field[Any]]:
    return [item for item in fields(Settings) if "read" in item.metadata]


def key_names() -> list[str]:
    """Return the keys that config.toml may hold, beside the actions of `[keymap]`."""
    return [item.metadata["key"] or item.name for item in _settings()]


def nearest(word: str, names: Iterable[str]) -> str:
    """Return ` did you mean 'x'?` for the name that `word` may stand for, or nothing."""
    near = difflib.get_close_matches(word, list(names), 1, 0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def _checked(item: Field[Any], value: object, where: str) -> Any:
    try:
        return item.metadata["read"](value)
    except _NotAllowedError as error:
        shown = safe(repr(value), 60)
        raise SettingError(f"{where} is {shown}; {error}. Change it, or take it away for the default.") from error


def _read_file(path: Path, *, named: bool) -> dict[str, Any]:
    """Return what the file sets, `[keymap]` as `keymap.…`; nothing where there is no file and none was named."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise SettingError(f"{path}: no such file; {FILE_VARIABLE} names it.") from None
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path}: cannot be read: {error}. Mend the file, or move it away.") from error
    keymap = data.pop("keymap", {})
    if not isinstance(keymap, dict):
        raise SettingError(f"{path}: keymap is {safe(repr(keymap), 60)}; a table [keymap] is allowed.")
    known = key_names()
    for key in data:
        if key not in known:
            hint = nearest(key, [*known, "keymap"])
            raise SettingError(f"{path}: '{safe(key, 60)}' is no setting.{hint} Allowed: {', '.join(known)}.")
    return {**data, **_flat("keymap", keymap)}


def _flat(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"keymap.parity.worst": "W"}` of nested tables: TOML reads `parity.worst` as a table in a table."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(f"{name}.{key}", value) if isinstance(value, dict) else {f"{name}.{key}": value}
    return flat


def _keys(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        shown = safe(repr(value), 60)
        raise SettingError(f'{path}: {safe(key, 60)} is {shown}; keys in quotes are allowed, such as "n" or "f2".')
    return value
