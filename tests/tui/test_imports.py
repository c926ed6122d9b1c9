"""What the program must not load before it is needed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bitnet_tui.app", ["jax", "jaxlib", "equinox", "numba", "scipy", "tokenizers", "matplotlib"]),
        ("bitnet_tui.core.parity_view", ["textual", "rich", "jax"]),
        ("bitnet_tui.core.inspect_view", ["textual", "rich", "jax", "numpy"]),
        ("bitnet_tui.core.store", ["textual", "rich", "jax", "numpy"]),
        ("bitnet_tui.core.feed", ["textual", "rich", "jax"]),
        ("bitnet_tui.core.scan", ["textual", "rich", "jax"]),
        ("bitnet_tui.core.themes", ["textual", "rich", "jax"]),
        ("bitnet_tui.core.text", ["textual", "rich", "jax"]),
    ],
)
def test_what_is_not_imported(module, absent):
    """One import at the top of a file made `--help` take four seconds."""
    code = f"import sys, {module}; print(' '.join(n for n in {absent!r} if n in sys.modules))"
    path = [entry for entry in sys.path if entry]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == []
