"""`bitnet-tui preserve FOLDER --into DIR`: artifacts kept with their checksums; `--verify ARCHIVE` proves them."""

from pathlib import Path

import click

from bitnet_tui.cli.options import json_option, nonempty, show
from bitnet_tui.core import preserving, session
from bitnet_tui.core.text import counted, human_bytes, safe


@click.command("preserve")
@click.argument("paths", nargs=-1, metavar="[FOLDER]")
@click.option("--into", metavar="DIR", callback=nonempty, help="Where archives are kept; made where it is missing.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Delete the oldest archives in DIR over N.")
@click.option(
    "--verify",
    "archive",
    metavar="ARCHIVE",
    callback=nonempty,
    help="Prove an archive, and each that follows; write nothing.",
)
@json_option
def command(paths: tuple[str, ...], into: str | None, keep: int | None, archive: str | None, as_json: bool) -> int:
    """Keep all files of FOLDER (what --export wrote) as one archive in DIR, with a manifest of their checksums.

    The archive is read back before an older one is deleted. With --verify: exits 1 where a byte is not what was kept.
    """
    if "" in paths:
        raise click.UsageError("A path is empty.")
    if archive is not None:
        if into is not None or keep is not None:
            raise click.UsageError("--verify only reads archives; leave --into and --keep out.")
        return _verify([Path(archive), *map(Path, paths)], as_json=as_json)
    if len(paths) != 1 or into is None:
        raise click.UsageError("Name one folder of artifacts and, with --into, where to keep them.")
    (folder,) = paths
    kept = preserving.preserve(Path(folder), Path(into), session.stamp(), keep=keep)
    size = human_bytes(sum(file.bytes for file in kept.files))
    count = counted(len(kept.files), "file")
    lines = [f"{safe(kept.path, 400)}", f"  {count}, {size}; archive {human_bytes(kept.bytes)}, sha256 {kept.sha256}"]
    lines += [f"  deleted: {safe(name)}" for name in kept.deleted]
    show(kept.to_json(), lines, as_json=as_json)
    return 0


def _verify(archives: list[Path], *, as_json: bool) -> int:
    if len(archives) == 1:
        found = preserving.verify(archives[0])
        show(found.to_json(), _proof(found), as_json=as_json)
        return 1 if found.problems else 0
    proofs = list(map(_proved, archives))
    lines = [line for proof in proofs for line in _proof(proof)]
    show(preserving.verifications_json(proofs), lines, as_json=as_json)
    return 1 if any(proof.problems for proof in proofs) else 0


def _proved(archive: Path) -> preserving.Verification:
    """Prove one of several archives: one that cannot be read does not keep the others from being read."""
    try:
        return preserving.verify(archive)
    except session.BitnetError as error:
        return preserving.Verification(str(archive), "", 0, (str(error),))


def _proof(found: preserving.Verification) -> list[str]:
    """Return the line of an archive, and one for each thing that is wrong with it."""
    if found.problems and not found.created:  # it could not be read
        return [f"✘ {safe(problem, 400)}" for problem in found.problems]
    bad = len(found.problems)
    verdict = f"{bad} of its files {'is' if bad == 1 else 'are'} not what was kept" if bad else "every byte is there"
    line = f"{safe(found.path, 400)}: {counted(found.files, 'file')} of {safe(found.created)}: {verdict}"
    return [line, *(f"  ✘ {safe(problem, 400)}" for problem in found.problems)]
