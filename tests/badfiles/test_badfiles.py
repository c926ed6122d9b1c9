"""Every bad file gives its one line and its exit code, from every command that meets it, and no memory is reserved."""

import tracemalloc
from pathlib import Path

import pytest

from bitnet_engine.errors import BitnetError
from bitnet_engine.formats import open_checkpoint
from tests.badfiles.answers import answer
from tests.badfiles.case import Case
from tests.badfiles.graph_cases import GRAPHS
from tests.badfiles.model_cases import MODELS
from tests.badfiles.table import CASES, PAGE, answers, page
from tests.badfiles.tokenizer_cases import TOKENIZERS
from tests.e2e.program import run

MEMORY = 96 << 20
"""Bytes. The largest case is a header of 5 MB; what was declared and is not there costs nothing."""


def named(name: str) -> Case:
    """Return a case by its name."""
    return next(case for case in CASES if case.name == name)


def test_names_are_unique():
    """Two cases of one name, of which a test report shows only one."""
    assert len({case.name for case in CASES}) == len(CASES) >= 300


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_a_bad_model_costs_nothing(case: Case, tmp_path: Path):
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
    assert message.startswith(str(path))
    # The path is the user's own; what comes out of the file must not break the line or drive a terminal.
    assert message.replace(str(path), "").isprintable()
    assert peak < MEMORY


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_command_gives_the_one_answer(case: Case):
    """A command with a reader of its own, an exception that is no answer, another code, a second line."""
    for command, (code, line) in answers(case).items():
        assert (code, case.says in line) == (case.exit_code, True), (command, code, line)
        assert line.isprintable()
        assert case.then in line


@pytest.mark.parametrize("case", [*GRAPHS, *TOKENIZERS], ids=lambda case: case.name)
def test_info_opens_what_cannot_be_run(case: Case, tmp_path: Path):
    """`info` is where a person looks for the reason; it must not need a sound graph or tokenizer."""
    assert answer("info", case.build(tmp_path)) == (0, "")


def test_the_table_is_current():
    """An answer that changed while docs/reliability.md says what it was: run python -m tests.badfiles.table."""
    text = PAGE.read_text()
    assert page(text) == text


PROCESSES = [
    ("gguf-array-strings", ("info", "{}")),
    ("safetensors-deep", ("info", "{}", "--scan")),
    ("fifo", ("parity", "{}", "{}")),
    ("sparse", ("convert", "{}", "/nonexistent/x.gguf", "--type", "I2_S")),
    ("config-layers-large", ("convert", "{}", "/nonexistent/x.gguf", "--type", "I2_S")),
    ("tokenizer-charsmap-panics", ("tokenize", "{}", "a b")),
    ("tokenizer-charsmap-panics", ("parity", "{}", "{}")),
    ("sentencepiece-empty", ("tokenize", "{}", "a b")),
]


@pytest.mark.parametrize(("name", "command"), PROCESSES)
def test_a_process_says_the_same(name: str, command: tuple[str, ...], tmp_path: Path):
    """What answers here and not there: a worker that dies without a word, a library that prints beside our line."""
    case = named(name)
    path = case.build(tmp_path)
    done = run(*(part.format(path) for part in command))
    lines = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert (done.returncode, len(lines)) == (case.exit_code, 1), done.stderr
    assert lines[0].startswith("bitnet-tui: ")
    assert case.says in lines[0]
