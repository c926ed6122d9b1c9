"""The door: each kind of request is there, and says what it takes; an exported run is named by what it was asked."""

import inspect
from importlib import import_module

import pytest

from bitnet_tui.core import asking, session


@pytest.mark.parametrize("kind", session.KINDS)
def test_each_kind_is_there_and_documented(kind):
    """Red when a kind is renamed in its module and not at the door, or its fields are written down nowhere."""
    module, name = session.KINDS[kind].split(".")
    assert inspect.isgeneratorfunction(getattr(import_module(f"bitnet_tui.core.{module}"), name))
    listed = [row.split("|")[1] for row in session.run.__doc__.splitlines() if row.strip().startswith("|")]
    assert any(kind in cell.replace(" ", "").split(",") for cell in listed)


def test_an_export_is_named_by_what_its_files_hold():
    """Red when an edited profile gives another verdict under the same id, or the folder of the export makes an id."""
    request = {"kind": "parity", "profile": "limits.toml", "export": "out"}
    ids = [asking.start(request, {"profile": {"median_tau_b": limit}})["id"] for limit in (0.5, 0.6, 0.5)]
    assert ids[0] == ids[2] != ids[1]
    elsewhere = asking.start({**request, "export": "other"}, {"profile": {"median_tau_b": 0.5}})
    assert elsewhere["id"] == ids[0]


def test_a_run_that_is_not_exported_has_an_id_of_its_own():
    """Red when two runs of the app are one in the list of runs."""
    request = {"kind": "stats", "path": "x"}
    assert asking.start(request)["id"] != asking.start(request)["id"]
