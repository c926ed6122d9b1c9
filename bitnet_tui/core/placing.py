"""Where a request is computed: devices that share a model, more of them for more windows at once, more processes.

    join(request)                                       # before anything starts jax
    models, description = placed(request, lambda: sides.load_model(checkpoint, numerics))

Part of `core.session`; imported in workers only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from bitnet_engine import devices
from bitnet_engine.model import Model
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event


def join(request: Request) -> None:
    """Join the processes that a request names. Raises BitnetError."""
    if request.get("processes"):
        devices.join(**request["processes"])


def placed(request: Mapping[str, Any], load: Callable[[], tuple[Model, Any]]) -> tuple[list[Model], Any]:
    """Load a model on the devices that a request asks for: as many of it as windows are computed at once.

    Returns them, and what else `load` returns. Raises BitnetError.
    """
    tensor, data = request.get("mesh", 1), request.get("data_parallel", 1)
    with nullcontext() if tensor * data == 1 else devices.on_host():
        model, other = load()
    return devices.spread(model, tensor=tensor, data=data), other


def facts(sources: Sequence[Any]) -> dict[str, str]:
    """Return what a stamp says of models that devices share; nothing where none is."""
    shared = [source.split.describe() for source in sources if isinstance(source, Model) and source.split.mesh]
    return {"mesh": shared[0]} if shared else {}


def narration(sources: Sequence[Any]) -> Iterator[Event]:
    """Say how models are shared, where they are: attention may not divide by the devices."""
    for split in facts(sources).values():
        yield {"event": "warn", "message": f"a model is shared by {split}"}
