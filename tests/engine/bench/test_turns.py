"""Two files in turns: what other processes did to a round is no verdict on a file."""

import pytest

from bitnet_engine.bench.turns import Round, speed_gate


def rounds(factor, disturbed=(), count=8):
    """Rounds of a candidate that takes `factor` times as long, and half as long again where disturbed."""
    return [
        Round(1 + 0.01 * (i % 3), (1 + 0.01 * (i % 3)) * factor * (1.5 if i in disturbed else 1), i in disturbed)
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("factor", "disturbed", "status"),
    [
        (1.0, (), "PASS"),
        (1.25, (), "FAIL"),
        (1.0, (0, 1, 2), "PASS"),
        (1.25, (0, 1, 2), "FAIL"),
        (1.25, range(4), "INCONCLUSIVE"),
        (1.25, range(8), "INCONCLUSIVE"),
        (0.5, range(8), "PASS"),
    ],
)
def test_a_busy_machine_makes_nothing_slower(factor, disturbed, status):
    """Red when a candidate is NO-GO because somebody else computed, or when a truly slower one passes for it."""
    found = speed_gate("decode", rounds(factor, disturbed))
    assert found.status == status
    assert ("quiet machine" in found.detail) == (status == "INCONCLUSIVE")
    assert (f"{len(disturbed)} rounds were disturbed" in found.detail) == bool(len(disturbed))
