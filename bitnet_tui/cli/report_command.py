"""`bitnet-tui report perf|signoff`: pages made of artifacts, or whether a page is still theirs."""

from pathlib import Path

import click

from bitnet_tui.cli.options import nonempty
from bitnet_tui.cli.streams import emit
from bitnet_tui.core import acceptance, measurements, session
from bitnet_tui.core.text import safe
from bitnet_tui.display.acceptance import signoff_page
from bitnet_tui.display.performance import performance_page


@click.group("report")
def command() -> None:
    """Render a page from artifacts, or check that it is theirs."""


@command.command("perf")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the page is not what the measurements say.")
@click.option(
    "--measurements",
    "folder",
    metavar="DIR",
    default="docs/measurements",
    show_default=True,
    callback=nonempty,
    help="Artifacts of `bench`.",
)
@click.option(
    "--page", metavar="FILE", default="docs/performance.md", show_default=True, callback=nonempty, help="The page."
)
def perf(check: bool, folder: str, page: str) -> int:
    """Render the measurements of bench as one page, the same bytes each time."""
    rendered = performance_page(measurements.load(Path(folder)))
    if not check:
        session.write_atomic(Path(page), rendered.encode())
        emit(f"{safe(page, 400)}: written\n")
        return 0
    try:
        written = Path(page).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise session.StorageError(f"{page}: cannot be read: {error}; render it without --check") from error
    difference = measurements.first_difference(written, rendered)
    emit(f"{safe(page, 400)}: {difference or 'is what the measurements say'}\n")
    return int(difference is not None)


@command.command("signoff")
@click.argument("summary", callback=nonempty)
@click.option("--page", metavar="FILE", callback=nonempty, help="Where the sheet goes. Default: standard output.")
def signoff(summary: str, page: str | None) -> None:
    """Render SUMMARY, an acceptance_summary.json, as a sheet to sign."""
    value = acceptance.load_summary(Path(summary))
    try:
        rendered = signoff_page(value)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"{summary}: is a damaged {acceptance.SCHEMA}: {error!r}; make it again with `accept`."
        raise session.FormatError(message) from error
    if page is None:
        emit(rendered)
    else:
        session.write_atomic(Path(page), rendered.encode())
        emit(f"{safe(page, 400)}: written\n")
