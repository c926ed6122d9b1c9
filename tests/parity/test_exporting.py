"""Reports as files: the same bytes twice, nothing missing, and nothing in a name that a reader's program obeys."""

import csv
import io
import re
from xml.etree import ElementTree

import orjson
import pytest

from bitnet_engine.errors import BitnetError, SettingError, StorageError
from bitnet_parity.ci import annotations, junit, tell_github
from bitnet_parity.exporting import export, markdown_text, render, rows

EVIL = "=cmd|' /C calc'!A0 <script>alert(1)</script> | [x](javascript:1) \x1b[2J\u202e `a` \n::error::owned"


def report(name="austen.txt", verdict="FAIL"):
    """A report as JSON; `name` stands wherever a file's own words do."""
    return {
        "schema": "bitnet-tui/parity-report",
        "schema_version": 1,
        "stamp": {"id": "r1", "cpu": name, "isa": ["avx2"], "wsl2": False},
        "reference": {"path": name, "sha256": "aa", "precision": "off by up to 1.2e-4 nats"},
        "candidate": {"path": name, "sha256": "bb"},
        "settings": {"context": 16},
        "corpus": {"name": name, "sha256": "cc"},
        "metrics": {"tokens": 30, "tau_b": {"median": -0.5, "min": None}},
        "weights": {
            "tensors": 68,
            "differing": [{"name": name, "kind": "ternary", "trits": 0.5, "error": None, "note": name}],
        },
        "documents": [
            {"name": name, "tokens": 10, "nll_reference": 20.0, "nll_candidate": 25.0},
            {"name": "b", "tokens": 20, "nll_reference": 40.0, "nll_candidate": None},
        ],
        "judgement": {
            "profile": name,
            "verdict": verdict,
            "gates": [
                {"gate": "tokenizer", "status": "PASS", "value": 1.0, "limit": 0.95, "detail": "fine"},
                {"gate": "belief", "status": "FAIL", "value": None, "limit": 0.6, "detail": name},
                {"gate": "probability", "status": "INCONCLUSIVE", "value": 0.1, "limit": 0.02, "detail": "50 % known"},
            ],
        },
    }


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".md", ".html"])
def test_every_format_is_the_same_bytes_twice_and_has_no_raw_control(tmp_path, suffix):
    """Red when a date or an order gets in, or an escape sequence of a file name gets out."""
    pytest.importorskip("jinja2")
    path = tmp_path / f"a{suffix}"
    export(report(EVIL), path)
    assert path.read_bytes() == render(report(EVIL), suffix)
    assert b"\x1b" not in path.read_bytes()
    assert path.stat().st_size > 500


def test_an_unknown_suffix_is_refused():
    """Red when a typing slip writes JSON into a file of another name."""
    with pytest.raises(SettingError, match=r"'\.pdf' is no format of a report; \.json, "):
        render(report(), ".pdf")


def test_everything_is_in_the_table():
    """Red when a metric that is added to the report is missing from its exports."""
    found = {(section, name): value for section, name, value in rows(report())}
    assert found["metrics", "tau_b.median"] == -0.5
    assert found["gate", "belief.status"] == "FAIL"
    assert found["document", "austen.txt.nll_candidate"] == 25.0
    assert found["weights", "austen.txt.trits"] == 0.5
    assert found["stamp", "isa"] == '["avx2"]'


def test_no_cell_is_a_formula():
    """Red when opening the CSV in a spreadsheet runs what a file name says; a negative number stays a number."""
    table = list(csv.reader(io.StringIO(render(report(EVIL), ".csv").decode())))
    assert {len(row) for row in table} == {3}
    assert ["metrics", "tau_b.median", "-0.5"] in table
    strings = [cell for row in table for cell in row if not re.fullmatch(r"-?[\d.]+", cell)]
    assert not [cell for cell in strings if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert any(cell.startswith("'=cmd") for cell in strings)


def test_no_tag_of_a_name_is_a_tag_of_the_page():
    """Red when a document's name runs as a script in the reader's browser."""
    pytest.importorskip("jinja2")
    page = render(report(EVIL), ".html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<rect") == 2


def test_html_without_its_extra_is_one_line(monkeypatch):
    """Red when a missing extra is an ImportError."""
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(BitnetError, match=r"pip install 'bitnet-tui\[report\]'"):
        render(report(), ".html")


def test_a_name_without_markup_is_written_as_it_is():
    """`model-i2_s.gguf` was `model\\-i2\\_s\\.gguf`: nobody could read it, or find it by a search."""
    for name in ("/a/model-i2_s.gguf", "nll_delta", "hf:org/name (q4)", "1.58 bits"):
        assert markdown_text(name) == name
    assert markdown_text("_a_ __b c_") == r"\_a\_ \_\_b c\_"
    assert markdown_text("12. x") == r"12\. x"
    assert markdown_text("- x") == r"\- x"
    assert markdown_text("https://a.b www.c &lt;") == r"https\://a.b www\.c \&lt;"


def test_no_name_breaks_out_of_a_markdown_cell():
    """Red when a pipe adds a column, or a name is a link or a tag in GitHub's summary."""
    text = render(report(EVIL), ".md").decode()
    gates = [line for line in text.splitlines() if line.startswith("| belief")]
    assert len(gates) == 1
    assert len(re.findall(r"(?<!\\)\|", gates[0])) == 6
    assert not re.findall(r"(?<!\\)[<\]`*]|(?<![\\a-z])_|_(?![a-z])", text)
    assert text.startswith("# Parity: FAIL\n")


def test_junit_says_each_gate_once():
    """Red when a failed gate passes in CI, an inconclusive one counts as passed, or the XML is broken by a name."""
    suite = ElementTree.fromstring(junit(report(EVIL)))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    kinds = [[child.tag for child in case] for case in suite.iter("testcase")]
    assert kinds == [[], ["failure"], ["error"]]
    assert junit(report()) == junit(report())


def test_annotations_hold_one_command_a_line():
    """Red when a name out of a file starts a workflow command of its own."""
    lines = annotations(report(EVIL))
    assert [line.split("::")[1].split()[0] for line in lines] == ["error", "warning"]
    assert all(line.count("\n") == 0 for line in lines)
    assert lines[1].endswith("INCONCLUSIVE: 50 %25 known (value 0.1, limit 0.02)")


def test_github_is_told_only_where_it_asks(tmp_path):
    """Red when a run outside of GitHub prints workflow commands, or a summary overwrites the step's earlier one."""
    assert tell_github(report(), {}) == []
    (tmp_path / "summary").write_text("before\n")
    asked = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_ACTIONS": "true"}
    assert len(tell_github(report(), asked)) == 2
    assert (tmp_path / "summary").read_text().startswith("before\n# Parity: FAIL")
    with pytest.raises(StorageError, match="the step summary cannot be written"):
        tell_github(report(), {"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "such")})


def test_jsonl_is_a_document_a_line():
    """Red when a line-based reader has to hold the whole report."""
    lines = [orjson.loads(line) for line in render(report(), ".jsonl").splitlines()]
    assert lines[0]["judgement"]["verdict"] == "FAIL"
    assert [line["name"] for line in lines[1:]] == ["austen.txt", "b"]
