"""A report as one HTML file that needs nothing else: no script, no font, no address (the [report] extra: jinja2).

    html(report.to_json())                              # bytes

The chart is SVG inside the page: a bar a document, its difference of mean nll. Knows no model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitnet_engine.errors import BitnetError
from bitnet_parity.exporting import rows, shown

TEMPLATES = Path(__file__).parent / "templates"

_WIDTH, _HEIGHT = 720.0, 160.0


def html(report: Mapping[str, Any]) -> bytes:
    """Return the page.

    Raises:
        BitnetError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise BitnetError("HTML needs jinja2, which is not installed; pip install 'bitnet-tui[report]'") from error
    # StrictUndefined: a field that is missing from the report is an error, not an empty cell.
    loader, undefined = jinja2.FileSystemLoader(TEMPLATES), jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, undefined=undefined, loader=loader, trim_blocks=True)
    environment.filters["shown"] = shown
    page = environment.get_template("report.html.jinja").render(
        judgement=report["judgement"],
        sides=[(side, report[side]) for side in ("reference", "candidate")],
        corpus=report["corpus"],
        metrics=[(name, value) for section, name, value in rows(report) if section == "metrics"],
        stamp=[(name, value) for section, name, value in rows(report) if section == "stamp"],
        bars=bars(report["documents"]),
        width=_WIDTH,
        height=_HEIGHT,
    )
    return page.encode("utf-8", "backslashreplace")


def bars(documents: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a bar for each document: x, y, width, height in the chart, its name and its Δ mean nll in nats/token."""
    found = [(document["name"], _delta(document)) for document in documents]
    largest = max((abs(delta) for _, delta in found if delta is not None), default=0.0) or 1.0
    step, middle = _WIDTH / max(len(found), 1), _HEIGHT / 2
    return [
        {
            "name": name,
            "delta": delta,
            "x": f"{i * step:.2f}",
            "y": f"{middle - max(delta or 0.0, 0.0) / largest * middle:.2f}",
            "width": f"{step * 0.8:.2f}",
            # A line where nothing differs: a chart with no mark looks like one that failed.
            "height": f"{max(abs(delta or 0.0) / largest * middle, 1.0):.2f}",
        }
        for i, (name, delta) in enumerate(found)
    ]


def _delta(document: Mapping[str, Any]) -> float | None:
    sums = document["nll_reference"], document["nll_candidate"]
    if None in sums or not document["tokens"]:
        return None
    return (sums[1] - sums[0]) / document["tokens"]
