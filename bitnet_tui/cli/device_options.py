"""Where a command computes: on how many devices, and with which other processes.

    @device_options                                     # --mesh, --data-parallel
    @process_options                                    # and --coordinator, --processes, --process
    def command(..., **settings): ...                   # mesh, data_parallel, processes: fields of the request

Knows no device; the worker finds them.
"""

import functools
from collections.abc import Callable
from typing import Any

import click

from bitnet_tui.cli.streams import mute

_OUTPUTS = ("export", "json_out", "report", "junit")

mesh_option = click.option(
    "--mesh",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    metavar="N",
    help="Devices that share a model: each holds a part of every matrix. Ternary models give the same bits.",
)
data_parallel_option = click.option(
    "--data-parallel",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    metavar="N",
    help="Windows of the text that are scored at once, on N devices (N times --mesh). No number depends on it.",
)


def device_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that scores a text the options `mesh` and `data_parallel`."""
    return mesh_option(data_parallel_option(function))


def process_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a run by several processes; it takes them as `processes`, None for one alone.

    They all compute the same, and process 0 speaks for them: the others print and write nothing.
    """

    @functools.wraps(function)
    def run(coordinator: str | None, processes: int | None, process: int | None, **settings: Any) -> Any:
        joined = _joined(coordinator, processes, process)
        if joined is not None and settings.get("resume"):
            raise click.UsageError("--resume is for one process: the others would compute what a journal has kept.")
        if joined is not None and joined["process"] > 0:
            mute()
            settings |= {name: None for name in _OUTPUTS if name in settings}
        return function(**settings, processes=joined)

    for option in reversed((_coordinator_option, _processes_option, _process_option)):
        run = option(run)
    return run


_coordinator_option = click.option(
    "--coordinator",
    metavar="HOST:PORT",
    envvar="JAX_COORDINATOR_ADDRESS",
    help="Where process 0 of a run by several listens; the devices of all of them make one mesh (jax.distributed).",
)
_processes_option = click.option(
    "--processes", type=click.IntRange(1), metavar="N", envvar="JAX_NUM_PROCESSES", help="How many they are."
)
_process_option = click.option(
    "--process", type=click.IntRange(0), metavar="I", envvar="JAX_PROCESS_ID", help="Which one this is, from 0."
)


def _joined(coordinator: str | None, processes: int | None, process: int | None) -> dict[str, Any] | None:
    given = (coordinator, processes, process)
    if given == (None, None, None):
        return None
    if coordinator is None or processes is None or process is None:
        raise click.UsageError("--coordinator, --processes and --process go together; give all three.")
    _, colon, port = coordinator.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise click.UsageError(f"--coordinator '{coordinator}' is not HOST:PORT.")
    if process >= processes:
        raise click.UsageError(f"--process {process}: 0 to {processes - 1} is allowed, of {processes} processes.")
    return {"coordinator": coordinator, "processes": processes, "process": process}
