"""A verdict where a build server looks for it: JUnit XML, GitHub's step summary and annotations.

    junit(report)                                       # bytes of a test suite, a test case a gate
    for line in tell_github(report, os.environ): ...    # none outside of GitHub Actions

A failed gate is a failure; one that cannot tell yet is an error, because it is no pass. Formats: JUnit's as Jenkins and
GitLab read it; docs.github.com, "Workflow commands for GitHub Actions". Knows no model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bitnet_engine.errors import StorageError
from bitnet_parity.exporting import markdown, shown

_KINDS = {"FAIL": "failure", "INCONCLUSIVE": "error"}
_LEVELS = {"FAIL": "error", "INCONCLUSIVE": "warning"}


def junit(report: Mapping[str, Any]) -> bytes:
    """Return the gates as a JUnit test suite: no times in it, the same report is the same bytes."""
    gates = report["judgement"]["gates"]
    counts = {kind: sum(gate["status"] == status for gate in gates) for status, kind in _KINDS.items()}
    suite = ElementTree.Element(
        "testsuite",
        name="bitnet-tui parity",
        tests=str(len(gates)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
    )
    for side in ("reference", "candidate"):
        properties = suite.find("properties")
        properties = ElementTree.SubElement(suite, "properties") if properties is None else properties
        ElementTree.SubElement(properties, "property", name=side, value=shown(report[side].get("path")))
    for gate in gates:
        case = ElementTree.SubElement(suite, "testcase", classname="parity", name=shown(gate["gate"]))
        if gate["status"] in _KINDS:
            found = ElementTree.SubElement(case, _KINDS[gate["status"]], type=gate["status"], message=_message(gate))
            found.text = _message(gate)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n"


def tell_github(report: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Append the report to the step summary where GitHub names one; return the workflow commands to print, if any.

    Raises:
        StorageError: the summary cannot be written.
    """
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("ab") as stream:
                stream.write(markdown(report))
        except OSError as error:
            raise StorageError(f"{summary}: the step summary cannot be written: {error.strerror}") from error
    return annotations(report) if environment.get("GITHUB_ACTIONS") == "true" else []


def annotations(report: Mapping[str, Any]) -> list[str]:
    """Return a workflow command for each gate that did not pass."""
    return [
        f"::{_LEVELS[gate['status']]} title={_property('parity ' + shown(gate['gate']))}::{_data(_message(gate))}"
        for gate in report["judgement"]["gates"]
        if gate["status"] in _LEVELS
    ]


def _message(gate: Mapping[str, Any]) -> str:
    return f"{gate['status']}: {shown(gate['detail'])} (value {shown(gate['value'])}, limit {shown(gate['limit'])})"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
