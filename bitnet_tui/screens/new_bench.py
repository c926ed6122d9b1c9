"""The form of a new benchmark: what is measured, how often, on how many threads, against what.

    app.push_screen(new_bench_form(settings, model="a.gguf"), lambda answers: ...)
    bench_request(answers)     # what `core.session.run` takes

Shows the equal command as one types. Knows no app.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitnet_tui.core.command_line import bench_command
from bitnet_tui.core.session import NUMERICS
from bitnet_tui.core.settings import Settings
from bitnet_tui.core.text import safe
from bitnet_tui.screens.form import Field, FormScreen, existing, existing_or_empty, one_of

WARMUP = 2
"""Untimed operations before the samples of a case, as of the command line."""
_YES_NO = ("yes", "no")


def new_bench_form(settings: Settings, model: str, found: Sequence[str] = ()) -> FormScreen:
    """Return the form, filled with the user's settings and a likely model; `found` are the models around here."""
    fields = [
        Field("path", "model", model, found=found, check=existing),
        Field("quick", "quick: a few cases, for a first look (yes, no)", "yes", check=one_of(_YES_NO)),
        Field("iterations", "samples of each case", "10", check=_samples),
        Field("threads", "threads (1,2,4)", placeholder="empty: all processors", check=_threads),
        Field("peers", "in turns with llama.cpp, of a GGUF (yes, no)", "no", check=one_of(_YES_NO)),
        Field("numerics", f"numerics ({', '.join(NUMERICS)})", settings.numerics, check=one_of(NUMERICS)),
        Field("baseline", "baseline: a bench.json to be judged by", placeholder="empty: none", check=existing_or_empty),
    ]
    return FormScreen("new benchmark", fields, preview=lambda answers: bench_command(bench_request(answers)))


def bench_request(answers: dict[str, str]) -> dict[str, Any]:
    """Return the request that the answers of the form ask for; a bad answer is left at its default."""
    count, threads = answers["iterations"], answers["threads"]
    request: dict[str, Any] = {
        "kind": "bench",
        "path": str(Path(answers["path"]).expanduser()) if answers["path"] else None,
        "iterations": int(count) if _samples(count) is None else 10,
        "warmup": WARMUP,
        "threads": [int(one) for one in threads.split(",")] if threads and _threads(threads) is None else [],
        "quick": answers["quick"] == "yes",
        "peers": answers["peers"] == "yes",
        "allow_noise": False,
        "baseline": str(Path(answers["baseline"]).expanduser()) if answers["baseline"] else None,
        "numerics": answers["numerics"],
    }
    named = {**request, "path": Path(answers["path"]).name, "baseline": None}
    return {**request, "command": bench_command(named)}


def _samples(text: str) -> str | None:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 1000:
        return None
    return f"{safe(text, 20)!r}: a whole number from 1 to 1000 is allowed"


def _threads(text: str) -> str | None:
    """Return what is wrong with a list of counts of threads that may be left out, or None."""
    if not text or all(one.isascii() and one.isdigit() and 0 < len(one) < 5 and int(one) for one in text.split(",")):
        return None
    return f"{safe(text, 20)!r}: counts such as 1 or 1,2,4 are allowed"
