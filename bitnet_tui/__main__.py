"""`python -m bitnet_tui`, the same program as the `bitnet-tui` command."""

from bitnet_tui.cli.main import run

run()
