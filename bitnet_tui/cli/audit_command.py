"""`bitnet-tui audit REFERENCE CANDIDATE`: everything `accept` asks, the machine, and whether answers repeat."""

from typing import Any

import click

from bitnet_tui.cli.accept_command import acceptance_options, try_conditions
from bitnet_tui.core import acceptance


@click.command("audit")
@acceptance_options
def command(as_json: bool, **settings: Any) -> int:
    """Audit CANDIDATE against REFERENCE: all conditions of `accept`, the environment, and determinism.

    Artifacts and exit codes are those of `accept`.
    """
    return try_conditions(acceptance.AUDIT, as_json=as_json, **settings)
