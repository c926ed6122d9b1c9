"""`bitnet-tui preserve FOLDER --into DIR`: artifacts kept with their checksums; `--verify ARCHIVE` proves them."""

from pathlib import Path

import click

from bitnet_tui.cli.options import json_option, nonempty, show
from bitnet_tui.core import preserving, session
from bitnet_tui.core.text import human_bytes, safe


@click.command("preserve")
@click.argument("folder", required=False, callback=nonempty)
@click.option("--into", metavar="DIR", callback=nonempty, help="Where archives are kept; made where it is missing.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Delete the oldest archives in DIR over N.")
@click.option("--verify", "archive", metavar="ARCHIVE", callback=nonempty, help="Prove an archive; write nothing.")
@json_option
def command(folder: str | None, into: str | None, keep: int | None, archive: str | None, as_json: bool) -> int:
    """Keep all files of FOLDER (what --export wrote) as one archive in DIR, with a manifest of their checksums.

    The archive is read back before an older one is deleted. With --verify: exits 1 where a byte is not what was kept.
    """
    if archive is not None:
        if folder is not None or into is not None or keep is not None:
            raise click.UsageError("--verify reads one archive; leave FOLDER, --into and --keep out.")
        return _verify(Path(archive), as_json=as_json)
    if folder is None or into is None:
        raise click.UsageError("Name the folder of artifacts and, with --into, where to keep them.")
    kept = preserving.preserve(Path(folder), Path(into), session.stamp(), keep=keep)
    size = human_bytes(sum(file.bytes for file in kept.files))
    count = f"{len(kept.files)} file{'s' * (len(kept.files) != 1)}"
    lines = [f"{safe(kept.path, 400)}", f"  {count}, {size}; archive {human_bytes(kept.bytes)}, sha256 {kept.sha256}"]
    lines += [f"  deleted: {safe(name)}" for name in kept.deleted]
    show(kept.to_json(), lines, as_json=as_json)
    return 0


def _verify(archive: Path, *, as_json: bool) -> int:
    found = preserving.verify(archive)
    verdict = f"{len(found.problems)} of its files are not what was kept" if found.problems else "every byte is there"
    lines = [f"{safe(found.path, 400)}: {found.files} files of {safe(found.created)}: {verdict}"]
    lines += [f"  ✘ {safe(problem, 400)}" for problem in found.problems]
    show(found.to_json(), lines, as_json=as_json)
    return 1 if found.problems else 0
