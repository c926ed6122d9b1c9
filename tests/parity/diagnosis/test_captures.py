"""Captures as folders: what is there after a failure, and what a reader is told of a damaged one."""

import numpy as np
import pytest

from bitnet_engine.capturing import Captured
from bitnet_parity.diagnosis.captures import Capture, write_capture, writing_capture

PART = Captured(None, {"inp_embd": np.ones((2, 3), np.float32)})


def test_a_capture_is_whole_or_not_there(tmp_path):
    """Red when a run that is cancelled leaves a folder that looks like a capture, or bars the next attempt."""

    def failing():
        yield PART
        raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        write_capture(tmp_path / "made" / "out", [1, 2], failing(), {})
    assert list((tmp_path / "made").iterdir()) == []
    (tmp_path / "made" / "out").mkdir()
    assert list(writing_capture(tmp_path / "made" / "out", [1, 2], [PART, PART], {})) == ["embedding", "head"]
    assert Capture.open(tmp_path / "made" / "out").tokens == (1, 2)
