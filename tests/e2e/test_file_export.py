"""`--export FILE`: a screen or its data as a file, without a terminal."""

import pytest

from tests.e2e.program import run


def test_a_picture_is_the_same_bytes_twice(i2_s, tmp_path):
    """Red when a picture is taken before the statistics have arrived, or holds a number drawn at random."""
    keys = ("--press", "down,down,enter", "--size", "100x30", "--theme", "phosphor")
    for name in ("a.svg", "b.svg"):
        done = run(i2_s, "--export", tmp_path / name, *keys)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert b"68/68" in first


def test_a_recorded_run_becomes_a_report_and_a_picture(packed, i2_s, short_corpus, tmp_path):
    """Red when the report of a run in the store is another than the one that --report writes."""
    out = tmp_path / "out"
    settings = ("--corpus", short_corpus, "--max-tokens", "40", "--export", out, "--report", tmp_path / "direct.md")
    assert run("parity", packed, i2_s, *settings).returncode in (0, 5)
    for name in ("again.md", "screen.svg"):
        done = run(out, "--export", tmp_path / name)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "again.md").read_bytes() == (tmp_path / "direct.md").read_bytes()
    assert "40 tokens" in (tmp_path / "screen.svg").read_text().replace("&#160;", " ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--export", "x.md"], "needs a model, a recorded run or a benchmark"),
        (["{model}", "--export", "x.md", "--size", "90x30"], "are of a picture"),
        (["{model}", "--size", "90x30"], "--size and --press are of a picture"),
        (["{model}", "--export", "x.svg", "--size", "90"], "'90' is no size"),
        (["{model}", "--export", "x.svg", "--press", "n,hyper+n"], "is 'hyper+n'"),
        (["{model}", "--export", "x.svg", "--press", "q"], "a key left the app"),
        (["{model}", "{model}", "--export", "x.svg"], "a comparison is run first"),
    ],
)
def test_what_is_refused(i2_s, tmp_path, arguments, said):
    """Red when an option without meaning is taken silently, or a refusal leaves a file behind."""
    done = run(*(argument.format(model=i2_s) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not list(tmp_path.iterdir())
