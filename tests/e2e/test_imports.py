"""What starting a command must not import: the price of a slow start is paid at every call."""

import subprocess
import sys

import pytest


def imported(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after `code`."""
    listing = "sys.stdout = sys.__stdout__\nprint(*{module.split('.')[0] for module in sys.modules})"
    script = f"import sys\n{code}\n{listing}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


RUN = """
import io
from bitnet_tui.cli.main import bitnet_tui
out, sys.stdout = sys.stdout, io.StringIO()
try:
    bitnet_tui({arguments!r}, standalone_mode=False)
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import bitnet_engine", {"jax", "numpy", "tokenizers"}),
        ("import bitnet_engine.formats", {"jax", "equinox", "tokenizers", "scipy", "numba", "gguf"}),
        ("import bitnet_parity", {"jax", "numpy", "numba", "scipy"}),
        ("import bitnet_parity.comparison", {"jax", "textual"}),
        ("import bitnet_tui.core.jobs, bitnet_tui.core.session", {"jax", "textual", "rich", "numba", "scipy"}),
        ("import bitnet_tui.app", {"jax", "equinox", "numba", "scipy", "tokenizers"}),
        (RUN.format(arguments=["--help"]), {"textual", "rich", "jax", "numpy"}),
    ],
)
def test_nothing_heavy_is_imported(code, absent):
    """Red when an import at the top of a module makes every command pay for jax or Textual."""
    assert not imported(code) & absent


def test_info_imports_neither_jax_nor_textual(i2_s):
    """Red when inspecting a file starts the engine or the app."""
    assert not imported(RUN.format(arguments=["info", str(i2_s)])) & {"jax", "textual", "rich", "tokenizers", "scipy"}


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "bitnet_tui.core.session":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
sys.meta_path.insert(0, Interrupt())
from bitnet_tui.__main__ import main
main()
"""


def test_an_interrupt_while_modules_load_is_one_line():
    """Red when Ctrl-C in the first second is a traceback out of an import."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "bitnet-tui: interrupted\n")
