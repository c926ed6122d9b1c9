"""Which devices run a model: some share it, groups of them each have all of it, and processes bring them along.

    join("10.0.0.1:8476", processes=2, process=0)       # before jax has started; the same on every machine
    models = spread(model, tensor=2, data=2)            # two models, each shared by two devices

`tensor` devices share one model (`sharding`), for one that is too large or too slow on one. `data` such groups answer
for different documents at once. Processes are joined by `jax.distributed`, and run the same program in step.
Knows nothing of what the models are asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from bitnet_engine.errors import BitnetError, SettingError
from bitnet_engine.model import Model
from bitnet_engine.sharding import mesh_of

_JOIN_SECONDS = 120


def join(coordinator: str, processes: int, process: int) -> None:
    """Join this process to `processes` in all, of which number 0 listens at `coordinator`, HOST:PORT.

    Raises:
        BitnetError: jax has started already, or the others cannot be reached.
    """
    try:
        jax.distributed.initialize(coordinator, processes, process, initialization_timeout=_JOIN_SECONDS)
    except (RuntimeError, ValueError) as error:
        raise BitnetError(
            f"{coordinator}: process {process} of {processes} cannot join: {str(error).splitlines()[0]}. "
            f"Start every process with the same coordinator, an address of the machine of process 0."
        ) from error


@contextmanager
def on_host() -> Iterator[None]:
    """Make arrays in the host's memory: a model that several devices will share need not fit one of them.

    Where jax was told to leave the CPU out (JAX_PLATFORMS), they are made on the first device, as ever.
    """
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        yield
        return
    with jax.default_device(host):
        yield


def spread(model: Model, *, tensor: int = 1, data: int = 1) -> list[Model]:
    """Return `data` models that give the same logits, each shared by `tensor` devices of its own.

    Raises:
        SettingError: there are not so many devices, or several processes, whose devices cannot be told apart so.
    """
    devices = jax.devices()
    if tensor * data > len(devices):
        hint = " (on CPU the variable JAX_NUM_CPU_DEVICES says how many it counts as)" if _cpu() else ""
        raise SettingError(
            f"{tensor * data} devices are asked for, {tensor} for a model and {data} models: "
            f"jax sees {len(devices)} here{hint}."
        )
    if data > 1 and jax.process_count() > 1:
        raise SettingError("Processes compute one window together; give each a part of the corpus to go on alone.")
    if data == 1 and tensor == 1:
        return [model]
    groups = [devices[first : first + tensor] for first in range(0, tensor * data, tensor)]
    # One device runs the program that it would run alone: of float matrices, too, logits are then the same bits.
    return [model.over(mesh_of(group)) if tensor > 1 else model.on(group[0]) for group in groups]


def _cpu() -> bool:
    return jax.default_backend() == "cpu"
