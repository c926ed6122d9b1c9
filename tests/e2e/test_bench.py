"""`benchmark` and `report perf` as processes: the words of other tools, exit codes, files."""

import json

import pytest

from tests.e2e.program import run

LITTLE = ("--iterations", 1, "--warmup", 0, "--quick", "--threads", 1)


def test_the_words_of_other_tools(packed, tmp_path):
    """Red when `benchmark --model P --iterations N --warmup N --json` is refused, or a missing baseline passes."""
    asked = ("--json", "--export", tmp_path / "out", "--baseline", tmp_path / "absent.json")
    done = run("benchmark", "--model", packed, *LITTLE, *asked)
    assert done.returncode == 5, done.stderr
    report = json.loads(done.stdout)
    assert report["judgement"]["verdict"] == "INCONCLUSIVE"
    assert json.loads((tmp_path / "out" / "bench.json").read_bytes()) == report
    assert str(packed.parent) not in report["command"]
    assert "load, 1 thread" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threads", "x"), "'x' is no list of counts"),
        (("--threads", "0"), "'0' is no list of counts"),
        (("--threads", "4095"), "are allowed for this process"),
        (("--iterations", "0"), "--iterations"),
    ],
)
def test_usage_is_exit_2(packed, arguments, message):
    """Red when a slip of the keyboard is measured."""
    done = run("bench", packed, *arguments)
    assert (done.returncode, message in done.stderr) == (2, True)


def test_a_baseline_that_is_none_is_refused_at_once(packed, tmp_path):
    """Red when a run of minutes ends with a file that could have been refused before it."""
    (tmp_path / "b.json").write_text("{}")
    done = run("bench", packed, "--baseline", tmp_path / "b.json")
    assert done.returncode == 3
    assert "is no bitnet-tui/bench of version 1" in done.stderr


def test_a_page_that_was_edited_is_exit_1(root, tmp_path):
    """Red when one digit of the page can be edited, or the committed page is not what its measurements say."""
    arguments = ("report", "perf", "--check", "--measurements", root / "docs" / "measurements", "--page")
    committed = root / "docs" / "performance.md"
    assert run(*arguments, committed).returncode == 0
    text = committed.read_text()
    digit = next(i for i in range(len(text) // 2, len(text)) if text[i].isdigit())
    edited = text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :]
    (tmp_path / "page.md").write_text(edited)
    done = run(*arguments, tmp_path / "page.md")
    assert done.returncode == 1
    assert "and the measurements say" in done.stdout
    missing = run(*arguments, tmp_path / "absent.md")
    assert (missing.returncode, "render it without --check" in missing.stderr) == (4, True)
