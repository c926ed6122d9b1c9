"""Recorded logits: the same bits without the model, and nothing else than what was recorded."""

import orjson
import pytest

from bitnet_engine.errors import BitnetError, FormatError, StorageError
from bitnet_parity import Gates, compare
from bitnet_parity.corpus import windows
from bitnet_parity.recorded import INDEX, Recorder, Recording

from .fakes import BOS, Bigram, Bytes, noise, write_corpus

CONTEXT = 16


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four documents."""
    return write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=4, words=6)


def record(folder, model, corpus, tokenizer):
    with Recorder(folder, tokenizer, {"model": {"sha256": "aa"}}) as recorder:
        for document in corpus.documents():
            ids = tokenizer.encode(document.text, bos=False)
            recorder.encoded(document.text, ids)
            for path in windows(ids, bos=tokenizer.bos, context=CONTEXT):
                recorder.add(document.name, path, model.logits(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus):
    """A recording of a model."""
    target = tmp_path_factory.mktemp("recorded") / "a"
    record(target, Bigram(), corpus, Bytes())
    return target


def inputs(corpus, reference, candidate, tokenizers):
    return {
        "reference": reference,
        "candidate": candidate,
        "reference_tokenizer": tokenizers[0],
        "candidate_tokenizer": tokenizers[1],
        "corpus": corpus,
        "gates": Gates.profile("fp32"),
        "context": CONTEXT,
    }


def test_a_recording_compares_as_its_model(corpus, folder):
    """Red when a bit of a logit, an id or a piece is lost between a model and its recording."""
    live = compare(**inputs(corpus, Bigram(), Bigram(noise(0.1)), (Bytes(), Bytes())))
    recording = Recording.open(folder)
    again = compare(**inputs(corpus, recording, Bigram(noise(0.1)), (recording.tokenizer, Bytes())))
    assert again.to_json() == live.to_json()
    assert recording.index["model"] == {"sha256": "aa"}


def test_two_recordings_need_no_model(corpus, folder, tmp_path):
    """Red when comparing two recordings asks for something that only a model has."""
    record(tmp_path / "b", Bigram(noise(0.1)), corpus, Bytes(spell=str.upper))
    a, b = Recording.open(folder), Recording.open(tmp_path / "b")
    report = compare(**inputs(corpus, a, a, (a.tokenizer, b.tokenizer)))
    assert report.tokenizer.equal < report.tokenizer.strings
    assert report.tokenizer.first_difference is not None
    assert a.sha256() != b.sha256()


def test_a_beginning_of_a_window_is_answered(folder, corpus):
    """Red when a shorter run over the same text, or a replay, needs another recording."""
    ids = [BOS, *next(corpus.documents()).text.encode()][:9]
    assert (Recording.open(folder).logits(ids) == Bigram().logits(ids)).all()


def test_what_was_not_recorded_is_one_line(folder):
    """Red when a missing window is answered with another's logits."""
    recording = Recording.open(folder)
    with pytest.raises(BitnetError, match="holds no logits for these 3 tokens"):
        recording.logits([BOS, 1, 2])
    with pytest.raises(BitnetError, match="holds no ids of the text beginning 'Something else'"):
        recording.tokenizer.encode("Something else")


def test_a_changed_byte_is_found(folder, tmp_path):
    """Red when a damaged recording is compared as if a model had said so."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / "000000.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "000000.safetensors").write_bytes(data)
    recording = Recording.open(tmp_path)
    first = orjson.loads((tmp_path / INDEX).read_bytes())["windows"][0]
    with pytest.raises(FormatError, match=r"000000\.safetensors: its logits are not those"):
        recording.logits(first["tokens"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index | {"schema": "x"}, "schema is 'x'"),
        (lambda index: index | {"schema_version": 9}, "version 9"),
        (lambda index: {k: v for k, v in index.items() if k != "windows"}, "a damaged recording"),
        (lambda index: index | {"vocab": True}, "a damaged recording"),
        (
            lambda index: index | {"windows": [index["windows"][0] | {"file": "../../etc/passwd"}]},
            "a damaged recording",
        ),
        (lambda index: index | {"tokenizer": index["tokenizer"] | {"pieces": [1]}}, "a damaged recording"),
    ],
)
def test_a_bad_index_is_one_line(folder, tmp_path, change, message):
    """Red when an index from a stranger is a traceback, or leads out of its folder."""
    index = orjson.loads((folder / INDEX).read_bytes())
    (tmp_path / INDEX).write_bytes(orjson.dumps(change(index)))
    with pytest.raises(FormatError, match=message):
        Recording.open(tmp_path)


def test_a_folder_that_is_no_recording(tmp_path):
    """Red when a model's folder is a traceback."""
    with pytest.raises(FormatError, match=r"index\.json: no such file"):
        Recording.open(tmp_path)


def test_an_interrupted_recording_leaves_nothing(tmp_path, corpus):
    """Red when half a recording can be taken for a whole one."""

    class Stops(Bigram):
        def logits(self, tokens):
            if len(self.seen) == 3:
                raise KeyboardInterrupt
            return super().logits(tokens)

    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "a", Stops(), corpus, Bytes())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_overwritten(folder, corpus):
    """Red when a recording replaces files that somebody else put there."""
    before = (folder / INDEX).read_bytes()
    with pytest.raises(StorageError, match="not an empty folder"):
        record(folder, Bigram(noise(1.0)), corpus, Bytes())
    assert (folder / INDEX).read_bytes() == before


def test_what_a_killed_recording_left_is_removed(corpus, tmp_path):
    """Red when every kill leaves gigabytes, or two recordings of one name go on side by side."""
    (tmp_path / ".r.killed.part").mkdir()
    (tmp_path / ".r.killed.part" / "000000.safetensors").write_bytes(b"x")
    (tmp_path / ".other.part").mkdir()
    with Recorder(tmp_path / "r", Bytes(), {}):
        with pytest.raises(StorageError, match="r: is being written by another process"):
            record(tmp_path / "r", Bigram(), corpus, Bytes())
        record(tmp_path / "r.2", Bigram(), corpus, Bytes())
        left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".r.")]
        assert sorted(left) == [".other.part", "r.2"]
        assert not (tmp_path / ".r.killed.part").exists()
