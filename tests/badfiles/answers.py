"""What a command answers to a file: its exit code and its one line, without starting a process for each.

    answer("info", path)        # Answer(3, "bitnet-tui: x.gguf: is empty (0 bytes); ...")

The commands' own code runs up to and including the way they end; only an exception that is no answer passes through,
and fails a test. That a process gives the same is tested on a sample.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import bitnet_parity as parity
from bitnet_engine.errors import BitnetError
from bitnet_tui.cli.ending import Outcome, end_with
from bitnet_tui.core import session
from bitnet_tui.core.feed import Feed
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.core.store import Store
from bitnet_tui.core.text import safe
from bitnet_tui.core.themes import load_themes


class Answer(NamedTuple):
    """How a command ends."""

    exit_code: int
    line: str


def answer(command: str, path: Path) -> Answer:
    """Return what `command` says of the file or folder at `path`."""
    try:
        return _COMMANDS[command](path)
    except (BitnetError, OSError) as error:
        return _ending(error)


def _ending(error: Exception) -> Answer:
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as end:
        end_with(error, Outcome(debug=False, as_json=False))
    return Answer(int(str(end.value.code)), said.getvalue().removesuffix("\n"))


def _info(path: Path) -> Answer:
    session.inspect(str(path))
    return Answer(0, "")


def _tokenize(path: Path) -> Answer:
    session.tokenize(str(path), "a b", bos=True)
    return Answer(0, "")


def _run(**request: Any) -> Answer:
    for _ in session.run(request):
        pass
    return Answer(0, "")


def _eval(path: Path) -> Answer:
    return _run(kind="eval", path=str(path), max_tokens=4)


def _parity(path: Path) -> Answer:
    return _run(kind="parity", reference=str(path), candidate=str(path), profile="lossless", max_tokens=4)


def _convert(path: Path) -> Answer:
    # Not beside the source: a folder with another model in it would be another source.
    target = Path("/nonexistent") / "out.gguf"
    return _run(kind="convert", path=str(path), target=str(target), type="I2_S", allow_lossy=False)


def _corpus(path: Path) -> Answer:
    return _run(kind="eval", path="/nonexistent", corpus=str(path))


def _report(path: Path) -> Answer:
    parity.Report.load(path).to_json()
    return Answer(0, "")


def _replay(path: Path) -> Answer:
    """What the Parity screen says of a recorded run: the error, or the state in which it stays."""
    feed, view = Feed(Store(path.parent / "none").open(path)), ParityView()
    feed.start()
    feed.join(30)
    for event in feed.drain(1000):
        view.feed(event)
    view.finish()
    view.funnel(), view.why(), view.counts(), view.worst(), view.summary()
    for index in range(len(view.tokens)):
        view.rank_rows(index), view.near_tie(index), view.status(index)
    if view.errors:
        code, message = view.errors[-1]
        return Answer(code, safe(message, 1200))
    empty = "" if len(view.tokens) else "no run in it: "
    return Answer(0, f"{empty}{view.state.value}, {len(view.tokens)} tokens")


def _theme(path: Path) -> Answer:
    """What the app's notification says; it starts without the theme."""
    _, problems = load_themes([path if path.is_dir() else path.parent])
    return Answer(0, safe(problems[0], 1200) if problems else "")


def _findings(path: Path) -> Answer:
    found = session.inspect(str(path))["findings"]
    return Answer(0, "; ".join(f"{finding['code']}: {finding['message']}" for finding in found) or "no finding")


_COMMANDS: dict[str, Callable[[Path], Answer]] = {
    "info": _info,
    "tokenize": _tokenize,
    "eval": _eval,
    "parity": _parity,
    "convert": _convert,
    "corpus": _corpus,
    "report": _report,
    "replay": _replay,
    "theme": _theme,
    "findings": _findings,
}
