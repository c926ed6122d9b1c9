"""The command that equals what was asked for in the app, ready to paste into a shell.

    parity_command(request)    ->  "bitnet-tui parity a.gguf 'b 2.gguf' --profile fp32 --max-tokens 500"
    command("info", path)      ->  "bitnet-tui info model.gguf"

A default of the command line is left out, except the profile: a verdict without it says nothing. Knows no screen.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from bitnet_tui.core.readings import LAYOUTS
from bitnet_tui.core.session import CACHE_TYPES, NUMERICS

_OPTIONS = {
    **dict.fromkeys(("corpus", "profile", "context", "max_tokens", "candidate_numerics", "kernel_config")),
    **dict.fromkeys(("candidate_i2s_layout", "candidate_kernel_config", "floor_documents")),
    "numerics": NUMERICS[0],
    "i2s_layout": LAYOUTS[0],
    "seed": 0,
    "exact": False,
}
"""Fields of a request that have an option, with the value that needs none."""

_ANSI_C = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", "'": r"\'"}

_SPELLED = {"floor_documents": "noise-floor"}


def command(*words: str) -> str:
    """Return a `bitnet-tui` line of `words`, each quoted where a shell needs it: one line, and nothing unseen in it."""
    return " ".join(map(_quoted, ("bitnet-tui", *words)))


def _quoted(word: str) -> str:
    """Return a word as bash and zsh read it: as $'…' where a character in it cannot be seen."""
    return shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_in_ansi_c, word))}'"


def _in_ansi_c(character: str) -> str:
    """Return a character as it stands between $' and ' (bash's manual, ANSI-C Quoting)."""
    if character in _ANSI_C:
        return _ANSI_C[character]
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # how Python holds the byte of a path that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def reading_words(reading: Mapping[str, Any]) -> list[str]:
    """Return the options that say how a model is read, as `core.session.inspect` takes them."""
    given = {name: value for name, value in reading.items() if value not in (None, LAYOUTS[0])}
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def parity_command(request: dict[str, Any]) -> str:
    """Return the `bitnet-tui parity` line of a request, as `core.session.run` takes it."""
    # A side that is not named yet stands there by its name, as in the usage line.
    line = ["parity", *(request[side] or side.upper() for side in ("reference", "candidate"))]
    for name, default in _OPTIONS.items():
        value = request.get(name, default)
        if value not in (None, default):
            option = f"--{_SPELLED.get(name, name.replace('_', '-'))}"
            line += [option] if value is True else [option, str(value)]
    return command(*line)


def diagnose_command(request: Mapping[str, Any], folder: str | None = None) -> str:
    """Return the `bitnet-tui diagnose` line of a request, writing into `folder` where one is given."""
    line = ["diagnose", request["reference"], request["candidate"], "--text", request["text"]]
    line += ["--tokens", str(request["tokens"])]
    if request.get("write_repaired") is not None:
        line += ["--write-repaired", request["write_repaired"]]
    if request.get("numerics") not in (None, NUMERICS[0]):
        line += ["--numerics", request["numerics"]]
    line += reading_words({name: request.get(name) for name in _READINGS})
    return command(*line, *(["--export", folder] if folder is not None else []))


_READINGS = ("i2s_layout", "kernel_config", "candidate_i2s_layout", "candidate_kernel_config")


def bench_command(request: Mapping[str, Any]) -> str:
    """Return the `bitnet-tui bench` line of a request, as `core.session.run` takes it."""
    line = ["bench", request["path"] or "MODEL"]
    line += ["--iterations", str(request["iterations"]), "--warmup", str(request["warmup"])]
    if request["threads"]:
        line += ["--threads", ",".join(map(str, request["threads"]))]
    line += [f"--{name}" for name in ("quick", "peers") if request[name]]
    if request.get("numerics") not in (None, NUMERICS[0]):
        line += ["--numerics", str(request["numerics"])]
    if request.get("cache_type") not in (None, CACHE_TYPES[0]):
        line += ["--cache-type", str(request["cache_type"])]
    return command(*line, *(["--baseline", str(request["baseline"])] if request.get("baseline") else []))
