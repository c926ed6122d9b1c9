"""The list itself: long enough, without a gap, and documented as it is."""

from bitnet_parity import faults
from bitnet_parity.faults.fault import STORAGES

REAL_BUGS = set(range(1, 25))
"""The rows of docs/formats.md §5."""


def test_every_known_bug_and_every_fingerprint_is_a_fault():
    """Red when a row of docs/formats.md §5, or a sign of docs/parity.md, has nothing to be tested with."""
    library = [faults.get(name) for name in faults.names()]
    assert {bug for fault in library for bug in fault.bugs} == REAL_BUGS
    assert {fault.fingerprint for fault in library} == set(faults.Fingerprint)
    assert sum(not fault.harmless for fault in library) >= 40


def test_every_fault_can_be_put_somewhere():
    """Red when a fault has no way into one of its targets."""
    for name in faults.names():
        fault = faults.get(name)
        assert fault.name == name
        assert fault.apply or fault.rewrite
        assert fault.targets == {"file"} or fault.apply
        assert fault.storages
        assert set(fault.refused) <= set(fault.storages) <= set(STORAGES)


def test_the_documented_table_is_the_library(root):
    """Red when a fault is added, renamed or dropped and docs/diagnose.md still lists the old ones."""
    assert faults.table() in (root / "docs" / "diagnose.md").read_text()
