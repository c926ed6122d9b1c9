"""`bitnet-tui runs list|prune`: the runs that the app recorded, without the app."""

import time
from pathlib import Path

import click

from bitnet_tui.cli.options import json_option, path
from bitnet_tui.cli.streams import emit, emit_json
from bitnet_tui.core import session, settings
from bitnet_tui.core.events import dumps
from bitnet_tui.core.exporting import export_table, runs_table
from bitnet_tui.core.run_filter import HELP, RunFilter
from bitnet_tui.core.store import RunInfo, Store
from bitnet_tui.core.text import GIB, ago, human_bytes, number, safe


@click.group("runs")
def command() -> None:
    """List the recorded runs, or delete the oldest of them."""


@command.command("list")
@click.argument("terms", metavar="[FILTER]...", nargs=-1)
@click.option(
    "--export", metavar="FILE", callback=path, help="Write them as .json, .jsonl, .csv, .md or .html, by suffix."
)
@json_option
def list_runs(terms: tuple[str, ...], as_json: bool, export: Path | None) -> None:
    """List the runs, newest first; with FILTER only those for which every term holds.

    See docs/runs.md for the terms. One that begins with - comes after --.
    """
    wanted, now, store = RunFilter.parse(" ".join(terms)), time.time(), _store()
    known = store.list()
    runs = [run for run in known if wanted.matches(run, now)]
    if export is not None:
        export_table(runs_table(runs), export)
    if as_json:
        emit_json(dumps(runs_table(runs).data, indent=True))
    else:
        emit("".join(f"{_line(run, now)}\n" for run in runs))
    if not runs:
        where = safe(str(store.root), 400)
        said = f"none of the {len(known)} runs in {where} matches" if known else f"there are no runs in {where}"
        click.echo(f"bitnet-tui: {said}", err=True)


list_runs.epilog = f"For example: {HELP}"


@command.command("prune")
@click.option(
    "--limit-gib",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Size that all runs may take together. Default: the setting runs_limit_gib.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
def prune(limit_gib: float | None, dry_run: bool, as_json: bool) -> None:
    """Delete the oldest runs until the rest fits the limit; the newest one always stays."""
    config = settings.load_config().settings
    limit = config.runs_limit_gib if limit_gib is None else limit_gib
    if limit == 0:
        raise session.SettingError("runs_limit_gib is 0, which keeps every run; name a size with --limit-gib.")
    now = time.time()
    runs = Store(config.runs_dir).prune(int(limit * GIB), now, dry_run=dry_run)
    nbytes = sum(run.nbytes for run in runs)
    if as_json:
        facts = {"dry_run": dry_run, "limit_bytes": int(limit * GIB), "nbytes": nbytes}
        emit_json(dumps({**runs_table(runs).data, **facts}, indent=True))
        return
    emit("".join(f"{_line(run, now)}\n" for run in runs))
    done = "would be deleted" if dry_run else "deleted"
    size = human_bytes(nbytes)
    emit(f"{len(runs)} run{'s' * (len(runs) != 1)} {done}, {size}; the limit is {limit:g} GiB\n")


def _store() -> Store:
    return Store(settings.load_config().settings.runs_dir)


def _line(run: RunInfo, now: float) -> str:
    sides = " → ".join(safe(side, 60) for side in (run.reference, run.candidate) if side)
    verdict = run.verdict or run.problem or run.status
    facts = f"{safe(run.id, 20):<12}{ago(now - run.when):>9}  {human_bytes(run.nbytes):>8}  {safe(verdict, 40):<13}"
    return f"{facts} τ-b {number(run.tau_median):<5} {run.tokens:>7} tokens  {sides}".rstrip()
