"""What requests of every kind say, and how the stream of each begins.

    yield (begun := start(request))
    with opened(request) as checkpoint: ...

Part of `core.session`, whose kinds of request are in modules of their own. Knows no kind.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bitnet_engine as engine
from bitnet_engine.numerics import CACHE_TYPES
from bitnet_engine.numerics import NAMES as NUMERICS
from bitnet_tui.core.events import SCHEMA, SCHEMA_VERSION, Event, dumps
from bitnet_tui.core.readings import LAYOUTS
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.store import new_id

if TYPE_CHECKING:
    from bitnet_engine.formats import Checkpoint

Request = dict[str, Any]

JOURNAL = ".parity.journal"
"""What an interrupted export leaves in its folder for `--resume`."""

NOT_ASKED = ("export", "resume", "report", "junit", "data_parallel", "processes")
"""Fields of a request that say where results go and who computes them, and change none of them."""

_SHOWN = ("kind", "reference", "candidate", "profile", "path")


def start(request: Request, contents: Mapping[str, Any] | None = None) -> Event:
    """Return the `run.start` of a request.

    The id of an exported run is derived from what was asked and from the stamp, so that an export can be made again.
    `contents` are what files that the request names hold, by its field: a profile that was edited is another run.
    """
    stamp = engine.stamp()
    # Where an export goes, and whether it goes on, is not what was asked: the same run is the same bytes anywhere.
    asked = {name: value for name, value in request.items() if name not in NOT_ASKED}
    return {
        "event": "run.start",
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "id": _derived_id({**asked, **(contents or {})}, stamp) if request.get("export") else new_id(),
        "request": asked,
        "stamp": stamp,
        **{name: request[name] for name in _SHOWN if name in request},
    }


def _derived_id(asked: Request, stamp: dict[str, Any]) -> str:
    return "x" + hashlib.sha256(dumps([asked, stamp])).hexdigest()[:12]


def kernel_warning() -> Iterator[Event]:
    """Say so where the native kernel should have multiplied and XLA does: nothing else would show why it is slow."""
    from bitnet_engine.kernels import backend  # starts jax

    if (chosen := backend()).missed:
        yield {"event": "warn", "message": f"trits are multiplied by {chosen.describe()}, the slower way"}


def opened(request: Request) -> "Checkpoint":
    """Open the file at `path`, read as the request says. Raises BitnetError."""
    return engine.open_checkpoint(request["path"], **reading(request))


def opened_pair(request: Request) -> "AbstractContextManager[tuple[Checkpoint, Checkpoint]]":
    """Open the files of `reference` and `candidate`, each read as the request says. Raises BitnetError."""
    return engine.open_pair(request["reference"], request["candidate"], **pair_reading(request))


def pair_reading(request: Request) -> dict[str, Any]:
    """Return how both files of a request are read, as the engine's functions of two files take it."""
    own = {f"candidate_{name}": value for name, value in reading(request, "candidate_").items()}
    return {**reading(request), **own}


def reading(request: Request, side: str = "") -> dict[str, Any]:
    """Return what a request says of how to read a file, as the engine's functions take it."""
    layout, config = (request.get(f"{side}{name}") for name in ("i2s_layout", "kernel_config"))
    return {
        "i2s_layout": None if layout in (None, LAYOUTS[0]) else engine.I2SLayout(layout),
        "kernel_config": None if config is None else Path(config),
    }


def numerics(request: Request) -> str:
    """Return the numerics that a request asks for."""
    return request.get("numerics") or NUMERICS[0]


def cache_type(request: Request) -> str:
    """Return the type of cache that a request asks for."""
    return request.get("cache_type") or CACHE_TYPES[0]


def corpus_path(request: Request) -> Path:
    """Return where the text is that a request asks for: the shipped one where it names none."""
    return resource_dir("eval") if request.get("corpus") is None else Path(request["corpus"])
