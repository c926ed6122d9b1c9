"""Writing one setting into config.toml: its line changes, and every other byte of the file stays.

    save(path, "theme", "phosphor")            # a value; None takes the setting away, for the default
    with_value('theme = "a"  # mine\\n', "theme", "b")   ->  'theme = "b"  # mine\\n'

TOML is not written here but edited, a line at a time: comments, order and blank lines are the user's. What comes out is
parsed, and has to be what was there with that one change; a file laid out in a way that defeats this is left alone,
and the error says which line to write by hand. Which settings there are is `core.settings`' business.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import orjson

from bitnet_tui.core.session import SettingError, StorageError, write_atomic

Value = str | float | list[str]

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")


def save(path: Path, key: str, value: Value | None) -> None:
    """Write `value` as the setting `key` into the file at `path`, which need not exist; all of it or nothing.

    Raises:
        SettingError: the file is no TOML, or its layout does not allow the change.
        StorageError: it cannot be read or written.
    """
    path = path.resolve()  # a link to a file kept elsewhere stays a link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_bytes().decode() if path.exists() else ""
        changed = with_value(text, key, value)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"{path}: {error}") from error
    write_atomic(path, changed.encode())


def with_value(text: str, key: str, value: Value | None) -> str:
    """Return the TOML `text` with `key` (`theme`, `keymap.preset`) set to `value`, or without it.

    Raises:
        ValueError: `text` is no TOML, or the change could not be made without changing something else.
    """
    table, _, name = key.rpartition(".")
    wanted = _set(tomllib.loads(text), table, name, value)
    lines = text.splitlines(keepends=True)
    place = _find(lines, table, name)
    if place is not None:
        start, end = place
        lines[start:end] = [] if value is None else [_replaced("".join(lines[start:end]), value)]
    elif value is not None:
        _insert(lines, table, f"{name} = {_toml(value)}\n")
    changed = "".join(lines)
    try:
        done = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        done = None
    if done != wanted:
        line = f"take {key} out of it" if value is None else f"write {key} = {_toml(value)} into it"
        raise ValueError(f"its layout does not allow a change from here; {line} by hand.")
    return changed


def _set(data: dict[str, Any], table: str, name: str, value: Value | None) -> dict[str, Any]:
    inner = dict(data.get(table, {})) if table else dict(data)
    inner.pop(name, None)
    if value is not None:
        inner[name] = value
    # A table that has lost its last key is still there, as its header is.
    return inner if not table else {**data, table: inner} if value is not None or table in data else data


def _find(lines: list[str], table: str, name: str) -> tuple[int, int] | None:
    """Return the first line of a setting, and the one after its last."""
    current = ""
    for start, line in enumerate(lines):
        if header := _HEADER.fullmatch(line.rstrip("\r\n")):
            current = header[1]
            continue
        written = name if current == table else f"{table}.{name}" if not current and table else None
        if written is not None and re.match(rf"\s*{re.escape(written)}\s*=", line):
            return start, _end(lines, start)
    return None


def _end(lines: list[str], start: int) -> int:
    """Return the line after the value that begins at `start`: a list may take several."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return start + 1


def _replaced(old: str, value: Value) -> str:
    """Return the line of a setting with another value; its comment stays."""
    body = old.rstrip("\r\n")
    end = old[len(body) :] or "\n"
    key, _, _ = body.partition("=")
    for at in (match.start() for match in re.finditer("#", body)):
        try:
            tomllib.loads(body[:at])
        except tomllib.TOMLDecodeError:
            continue  # this # is inside the value
        return f"{key}= {_toml(value)}  {body[at:]}{end}"
    return f"{key}= {_toml(value)}{end}"


def _insert(lines: list[str], table: str, line: str) -> None:
    headers = [at for at, text in enumerate(lines) if _HEADER.fullmatch(text.rstrip("\r\n"))]
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if table:
        own = [at for at in headers if (match := _HEADER.fullmatch(lines[at].rstrip("\r\n"))) and match[1] == table]
        if own:
            lines.insert(own[0] + 1, line)
        else:
            lines += ["\n"] * bool(lines) + [f"[{table}]\n", line]
        return
    at = headers[0] if headers else len(lines)
    # Comments and blank lines over a table belong to it.
    while at > 0 and headers and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#")):
        at -= 1
    lines.insert(at, line)


def _toml(value: Value) -> str:
    """Return a value as TOML spells it. JSON's strings and lists are TOML's, but for the character DEL."""
    if isinstance(value, float):
        return repr(value)
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")
