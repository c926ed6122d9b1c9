"""Every bad file gives its one line: the right exit code, the file's name first, no memory reserved."""

import tracemalloc
from pathlib import Path

import pytest

from bitnet_engine.errors import BitnetError
from bitnet_engine.formats import open_checkpoint
from tests.badfiles.cases import CASES, Case

MEMORY = 96 << 20
"""Bytes. The largest case is a header of 3 MB; what was declared and is not there costs nothing."""


def test_names_are_unique():
    """Two cases of one name, of which a test report shows only one."""
    assert len({case.name for case in CASES}) == len(CASES) >= 45


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line(case: Case, tmp_path: Path):
    """A hang, a traceback, a declared number believed, or a message that does not say what and where."""
    path = case.build(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(BitnetError) as caught:
            open_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert case.says in message
    assert message.startswith(str(path))
    assert caught.value.exit_code == case.exit_code
    # The path is the user's own; what comes out of the file must not break the line or drive a terminal.
    assert message.replace(str(path), "").isprintable()
    assert peak < MEMORY
