"""Corpora: what is read, what is refused, and that every token is scored once."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_engine.errors import BitnetError, CorpusError, StorageError
from bitnet_parity import load_corpus, windows


def test_a_folder_is_its_txt_files_in_name_order(tmp_path):
    """Red when the order is the file system's, or a README, a subfolder or a hidden file is scored."""
    names = [f"{letter}.txt" for letter in "hcfbagedji"]
    for name in [*names, "c.md", ".hidden.txt"]:
        (tmp_path / name).write_text(name)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.txt").write_text("d")
    corpus = load_corpus(tmp_path)
    assert corpus.names == tuple(sorted(names))
    assert [(d.name, d.text) for d in corpus.documents()] == [(name, name) for name in sorted(names)]
    assert corpus.name == tmp_path.name


def test_sha256_is_what_sha256sum_prints(tmp_path):
    """Red when the hash can't be checked from outside, or two corpora with renamed files share one."""
    (tmp_path / "a.txt").write_bytes(b"one\r\n")
    (tmp_path / "b.txt").write_bytes(b"two")
    one, two = (hashlib.sha256(data).hexdigest() for data in (b"one\r\n", b"two"))
    assert load_corpus(tmp_path / "a.txt").sha256 == one
    assert load_corpus(tmp_path).sha256 == hashlib.sha256(f"{one}  a.txt\n{two}  b.txt\n".encode()).hexdigest()


def test_text_is_the_bytes_of_the_file(tmp_path):
    """Red when line ends are translated on the way."""
    (tmp_path / "a.txt").write_bytes("é\r\n\ufeff\n".encode())
    assert next(load_corpus(tmp_path / "a.txt").documents()).text == "é\r\n\ufeff\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("absent.txt", None, "absent.txt: no such file; pass a text file, or a folder of .txt files"),
        ("empty.txt", b"", "empty.txt: is empty \\(0 bytes\\); a document needs text"),
        (
            "latin.txt",
            b"caf\xe9 au lait",
            "latin.txt: not UTF-8 at byte 3 \\(0xe9: invalid continuation byte\\)",
        ),
        ("cut.txt", b"abc\xe2\x82", "cut.txt: not UTF-8 at byte 3 \\(0xe2: unexpected end of data\\)"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_3(tmp_path, name, data, message):
    """Red when the line names no file, no byte or no next act."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message) as raised:
        load_corpus(tmp_path / name)
    assert raised.value.exit_code == 3
    assert "\n" not in str(raised.value)


def test_a_folder_without_text(tmp_path):
    """Red when an empty folder is a corpus of 0 documents that passes."""
    with pytest.raises(CorpusError, match=r"no \.txt file in it"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("inside", [False, True])
def test_a_pipe_is_refused_not_waited_for(tmp_path, inside):
    """Red when opening a pipe hangs for ever."""
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(CorpusError, match=r"pipe\.txt: not a regular file"):
        load_corpus(tmp_path if inside else tmp_path / "pipe.txt")


def test_a_device_is_refused():
    """Red when /dev/zero is read to the end of memory."""
    with pytest.raises(CorpusError, match="/dev/zero: not a regular file"):
        load_corpus(Path("/dev/zero"))


def test_a_symlink_loop_is_storage(tmp_path):
    """Red when a loop of links is a traceback."""
    (tmp_path / "a.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(StorageError, match="cannot read"):
        load_corpus(tmp_path / "a.txt")


def test_a_file_that_changes_is_noticed(tmp_path):
    """Red when half of a run is scored on one text and half on another."""
    (tmp_path / "a.txt").write_text("before")
    corpus = load_corpus(tmp_path)
    (tmp_path / "a.txt").write_text("after!")
    with pytest.raises(StorageError, match=r"a\.txt: changed while it was being scored"):
        list(corpus.documents())


def test_a_name_that_is_not_unicode_can_be_reported(tmp_path):
    """Red when a file name ends the run in the JSON writer."""
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    assert load_corpus(tmp_path).names == ("caf\\udce9.txt",)


@given(st.integers(0, 60), st.integers(2, 9), st.sampled_from([None, 1000]))
def test_every_token_is_scored_exactly_once(length, context, bos):
    """Red when a window's edge is scored twice, never, or a window is longer than the context."""
    ids = list(range(length))
    found = list(windows(ids, bos=bos, context=context))
    assert all(2 <= len(window) <= context for window in found)
    scored = [token for window in found for token in window[1:]]
    assert scored == (ids if bos is not None else ids[1:])
    assert all(window[0] == bos for window in found if bos is not None)


def test_a_context_without_room_is_refused():
    """Red when a context of 1 loops for ever or scores nothing and passes."""
    with pytest.raises(BitnetError, match="context 1 leaves no token to score; pass 2 or more"):
        list(windows([1, 2], bos=0, context=1))
