"""Archives of artifacts: whole, the same twice, and found out where a byte changed."""

import contextlib
import gzip
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitnet_tui.cli.preserve_command import command
from bitnet_tui.core.preserving import preserve, verify
from bitnet_tui.core.session import FormatError, StorageError

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def artifacts(tmp_path):
    folder = tmp_path / "artifacts"
    (folder / "deep").mkdir(parents=True)
    (folder / "report.json").write_bytes(b"{}\n")
    (folder / "deep" / "ü.jsonl").write_bytes(bytes(range(256)) * 40)
    return folder


def test_what_is_kept_is_whole_and_the_same_twice(artifacts, tmp_path):
    """Red when a file is left out, or an archive holds the time or the owner of the machine."""
    kept = preserve(artifacts, tmp_path / "one", {"platform": "x"}, now=THEN)
    again = preserve(artifacts, tmp_path / "two", {"platform": "x"}, now=THEN)
    assert kept.sha256 == again.sha256
    assert [file.name for file in kept.files] == ["deep/ü.jsonl", "report.json"]
    assert verify(Path(kept.path)).problems == ()
    with tarfile.open(kept.path) as tar:
        assert tar.getnames() == ["manifest.json", "deep/ü.jsonl", "report.json"]
        assert tar.extractfile("deep/ü.jsonl").read() == (artifacts / "deep" / "ü.jsonl").read_bytes()


def test_every_flipped_byte_is_found(artifacts, tmp_path):
    """Red when damage of an archive is called whole: its manifest, its files, or the end of its stream."""
    kept = preserve(artifacts, tmp_path / "kept", {}, now=THEN)
    damaged = Path(kept.path)
    whole = damaged.read_bytes()
    for at in range(len(whole)):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with contextlib.suppress(FormatError):
            assert verify(damaged).problems, at
    for length in range(0, len(whole) - 1, 37):
        damaged.write_bytes(whole[:length])
        with contextlib.suppress(FormatError):
            assert verify(damaged).problems, length


def test_a_changed_file_is_named(artifacts, tmp_path):
    """Red when an archive that was packed anew around another file passes, or does not say which file it is."""
    kept = preserve(artifacts, tmp_path / "kept", {}, now=THEN)
    plain = gzip.decompress(Path(kept.path).read_bytes())
    forged = tmp_path / "forged.tar.gz"
    forged.write_bytes(gzip.compress(plain.replace(b"{}\n" + bytes(100), b"[]\n" + bytes(100))))
    (problem,) = verify(forged).problems
    assert problem.startswith("report.json: 3 bytes")


def test_only_the_newest_are_kept(artifacts, tmp_path):
    """Red when retention takes the newest, or a file that is no archive of ours."""
    into = tmp_path / "kept"
    into.mkdir()
    (into / "notes.txt").write_text("mine")
    days = [preserve(artifacts, into, {}, keep=2, now=THEN.replace(day=day)) for day in (1, 2, 3)]
    assert [len(kept.deleted) for kept in days] == [0, 0, 1]
    assert sorted(path.name[:18] for path in into.iterdir()) == [
        "notes.txt",
        "preserved-20260302",
        "preserved-20260303",
    ]


@pytest.mark.parametrize("what", ["link", "nothing", "missing", "manifest", "inside"])
def test_what_cannot_be_kept_is_refused(artifacts, tmp_path, what):
    """Red when a link is followed out of the folder, or an archive of nothing passes for a kept run."""
    into, folder = tmp_path / "kept", artifacts
    if what == "link":
        (folder / "link").symlink_to("/etc/hostname")
    elif what == "manifest":
        (folder / "manifest.json").write_text("{}")
    elif what == "inside":
        into = folder / "kept"
    else:
        folder = tmp_path / what
        if what == "nothing":
            folder.mkdir()
    with pytest.raises((FormatError, StorageError)):
        preserve(folder, into, {}, now=THEN)
    assert not list(into.glob("*.gz"))


def test_any_file_may_be_asked_about(tmp_path):
    """Red when a file that is no archive ends in a traceback."""
    for data in (b"", b"x", gzip.compress(b""), gzip.compress(b"x" * 2000)):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(FormatError):
            verify(tmp_path / "x")
    with pytest.raises(StorageError):
        verify(tmp_path / "none")


def test_each_archive_that_is_named_is_proved(artifacts, tmp_path):
    """A second archive behind --verify was taken for a folder, and the message blamed other options."""
    kept = preserve(artifacts, tmp_path / "kept", {}, now=THEN).path
    (tmp_path / "none.tar.gz").write_bytes(b"x")

    def proved(*archives):
        return CliRunner().invoke(command, ["--verify", *map(str, archives)], standalone_mode=False)

    both = proved(kept, kept)
    assert (both.return_value, both.stdout.count("every byte is there")) == (0, 2)
    bad = proved(tmp_path / "none.tar.gz", kept, tmp_path / "gone")
    assert bad.return_value == 1
    first, second, third = bad.stdout.splitlines()
    assert first.startswith(f"✘ {tmp_path / 'none.tar.gz'}: ")
    assert second.endswith("2 files of 20260301T120000Z: every byte is there")
    assert third.startswith(f"✘ {tmp_path / 'gone'}: cannot be read")
    told = json.loads(proved(kept, tmp_path / "gone", "--json").stdout)
    assert [len(archive["problems"]) for archive in told["archives"]] == [0, 1]
