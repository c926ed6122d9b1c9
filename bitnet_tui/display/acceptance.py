"""Conditions and their verdict as lines, and as a sheet to sign.

print("\\n".join(acceptance_lines(summary)))
"""

from typing import Any

from bitnet_tui.core.text import safe

MARKS = {"GO": "✔", "NO-GO": "✘", "NO VERDICT": "?"}


def condition_line(condition: dict[str, Any]) -> str:
    """Return one condition, its status first."""
    seconds = f"{condition['seconds']:.1f} s"
    return f"{MARKS[condition['status']]} {condition['name']:<18}{seconds:>8}  {safe(condition['reason'], 400)}"


def acceptance_lines(summary: dict[str, Any]) -> list[str]:
    """Return every condition and the verdict."""
    red = [condition["name"] for condition in summary["conditions"] if condition["status"] != "GO"]
    count = len(summary["conditions"])
    held = f", all {count} conditions hold" if count > 1 else ", its one condition holds"
    why = f": {', '.join(red)}" if red else held
    return [*map(condition_line, summary["conditions"]), "", f"{summary['verdict']}{why}"]


def signoff_page(summary: dict[str, Any]) -> str:
    """Return the sheet that people sign, as Markdown: what was tried, what was found, and lines for names."""
    stamp = summary["stamp"]
    rows = [
        f"| {_cell(condition['name'])} | {_cell(condition['status'])} | {_cell(condition['reason'])} | |"
        for condition in summary["conditions"]
    ]
    return "\n".join(
        [
            f"# {_cell(summary['verdict'])}: {_cell(summary['candidate'])} for {_cell(summary['reference'])}",
            "",
            f"Profile {_cell(summary['profile'])}; {_cell(stamp['cpu'])}, {_cell(stamp['platform'])}; "
            f"bitnet-tui {_cell(stamp['versions']['bitnet-tui'])}, commit {_cell(str(stamp['git_commit'])[:12])}.",
            "",
            "| condition | status | found | signed |",
            "|---|---|---|---|",
            *rows,
            "",
            "| role | name | date |",
            "|---|---|---|",
            *(f"| {role} | | |" for role in ("engineering", "evaluation", "release")),
            "",
        ]
    )


def _cell(text: str) -> str:
    return safe(text, 400).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
