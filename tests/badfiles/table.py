"""The table of bad files in docs/reliability.md, written from what the commands answer.

    python -m tests.badfiles.table           # writes it anew; a test checks that it is current

The folder of a file is shown as DIR. Where a library's own words end a line, `…` stands for them: they change with its
version.
"""

import tempfile
from functools import cache
from pathlib import Path

from tests.badfiles.answers import Answer, answer
from tests.badfiles.case import Case
from tests.badfiles.graph_cases import GRAPHS
from tests.badfiles.model_cases import MODELS
from tests.badfiles.other_cases import CORPORA, ODDITIES, REPORTS, RUNS, THEMES
from tests.badfiles.tokenizer_cases import TOKENIZERS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by python -m tests.badfiles.table -->", "<!-- end of the table -->"

GROUPS: dict[str, list[Case]] = {
    "Model files: `info`, `tokenize`, `eval`, `parity`, `convert` and the app's Inspect all say this": MODELS,
    "Settings: `info` opens the file; `eval`, `parity`, `convert` and the app's Parity say this": GRAPHS,
    "Tokenizers: `info` opens the file; `tokenize`, `eval` and `parity` say this": TOKENIZERS,
    "Texts: `eval` and `parity` with `--corpus`": CORPORA,
    "Reports: `Report.load`": REPORTS,
    "Recorded runs: what the app's Parity screen says (0: it opens, in this state)": RUNS,
    "Themes: what the app notifies of; it starts without the theme": THEMES,
    "Odd models, which are read: the findings of `info`": ODDITIES,
}
CASES = [case for cases in GROUPS.values() for case in cases]


@cache
def answers(case: Case) -> dict[str, Answer]:
    """Return what each command of a case answers, the folder of its file as DIR."""
    found = {}
    for command in case.commands:
        with tempfile.TemporaryDirectory() as folder:
            code, line = answer(command, case.build(Path(folder)))
            found[command] = Answer(code, line.replace(folder, "DIR"))
    return found


def render() -> str:
    """Return the tables, a group each."""
    return "\n".join(_group(title, cases) for title, cases in GROUPS.items())


def page(text: str) -> str:
    """Return the page `text` with its tables written anew."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{render()}\n{END}{rest.split(END)[1]}"


def _group(title: str, cases: list[Case]) -> str:
    rows = [f"### {title} ({len(cases)})", "", "| file | exit | answer |", "|---|---|---|"]
    return "\n".join([*rows, *map(_row, cases), ""])


def _row(case: Case) -> str:
    code, line = next(iter(answers(case).values()))
    line = line.removeprefix("bitnet-tui: ")
    if case.then:
        line = line.split(case.then)[0] + case.then + "…"
    return f"| {case.name} | {code} | ``{line.replace('|', chr(92) + '|')}`` |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
