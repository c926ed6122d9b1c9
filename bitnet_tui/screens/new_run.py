"""The form of a new parity run: both sides, what they compute as, how much of which text, judged by what.

    app.push_screen(new_run_form(settings, reference="a.gguf"), lambda answers: ...)
    request_of(answers)        # what `core.session.run` takes

Shows the equal command as one types. Knows no app.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitnet_tui.core.command_line import parity_command
from bitnet_tui.core.session import NUMERICS
from bitnet_tui.core.settings import PROFILES, Settings
from bitnet_tui.core.text import safe
from bitnet_tui.screens.form import Field, FormScreen, existing_or_empty, one_of


def new_run_form(settings: Settings, reference: str, candidate: str = "", found: Sequence[str] = ()) -> FormScreen:
    """Return the form, filled with the user's settings and likely sides; `found` are the models around here."""
    names = ", ".join(NUMERICS)
    fields = [
        Field("reference", "reference model", reference, found=found),
        Field("candidate", "candidate model", candidate, found=found),
        Field("corpus", "corpus", placeholder="empty: the built-in texts", check=existing_or_empty),
        Field("profile", f"profile ({', '.join(PROFILES)})", settings.profile, check=one_of(PROFILES)),
        Field("numerics", f"numerics ({names})", settings.numerics, check=one_of(NUMERICS)),
        Field(
            "candidate_numerics",
            "numerics of the candidate",
            placeholder="empty: the same",
            check=one_of(("", *NUMERICS)),
        ),
        Field("max_tokens", "tokens to score", placeholder="empty: the whole corpus", check=_count_or_empty),
    ]
    return FormScreen("new parity run", fields, preview=lambda answers: parity_command(request_of(answers)))


def request_of(answers: dict[str, str]) -> dict[str, Any]:
    """Return the request that the answers of the form ask for; an empty answer is left to the engine."""
    paths = {name: str(Path(answers[name]).expanduser()) if answers[name] else None for name in _PATHS}
    tokens = answers["max_tokens"]
    return {
        "kind": "parity",
        **paths,
        "profile": answers["profile"],
        "numerics": answers["numerics"],
        "candidate_numerics": answers["candidate_numerics"] or None,
        "max_tokens": int(tokens) if _count_or_empty(tokens) is None and tokens else None,
    }


_PATHS = ("reference", "candidate", "corpus")


def _count_or_empty(text: str) -> str | None:
    """Return what is wrong with a number of tokens that may be left out, or None."""
    if not text or (text.isascii() and text.isdigit() and 1 <= int(text[:12]) < 2**31):
        return None
    return f"{safe(text, 20)!r}: a whole number from 1 is allowed"
