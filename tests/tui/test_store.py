"""Runs on disk, and the thread that reads events for a screen."""

import os
import threading

import pytest

from bitnet_tui.core.events import encode
from bitnet_tui.core.feed import QUEUE_EVENTS, Feed, Live, Recorder
from bitnet_tui.core.store import Store, is_run, new_id


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_a_run_comes_back_as_it_was_written(store, made):
    """Replay must show what was live, to the last event."""
    with store.create("7f3a") as writer:
        writer.write(made.run()[:10])
        writer.write(made.run()[10:])
    assert list(store.open("7f3a")) == made.run()
    assert list(store.open(store.root / "7f3a")) == made.run()
    assert list(store.open(store.root / "7f3a" / "events.jsonl")) == made.run()


def test_the_list_tells_a_run_without_reading_all_of_it(store, made):
    """Home listed runs by parsing every token of every run, and took seconds."""
    many = [made.token(i, top_reference=[], top_candidate=[], text="x" * 200) for i in range(2000)]
    with store.create("long") as writer:
        writer.write([*made.preparation(), *many, *made.ending("PASS")])
    (run,) = store.list()
    assert writer.path.stat().st_size > 500_000
    assert (run.id, run.kind, run.status, run.verdict) == ("long", "parity", "done", "PASS")
    assert (run.tokens, run.tau_median, run.reference) == (2000, 0.912, "/models/nano-bf16/model.safetensors")


def test_newest_first(store, made):
    """The run that has just ended was at the bottom of the list."""
    for when, id in ((300, "b"), (500, "a"), (400, "c")):
        with store.create(id) as writer:
            writer.write([made.start(id=id)])
        os.utime(writer.path, (when, when))
    assert [run.id for run in store.list()] == ["a", "c", "b"]


def test_torn_foreign_and_empty_runs_are_marked(store, made):
    """One unreadable folder took the whole list away."""
    with store.create("torn") as writer:
        writer.write(made.run()[:20])
    with writer.path.open("ab") as stream:
        stream.write(encode(made.token(20))[:40])
    for name, data in (("empty", b""), ("foreign", b"\x00\xff" * 400), ("listed", b"[1]\n{}\n")):
        with store.create(name) as writer:
            pass
        writer.path.write_bytes(data)
    (store.root / "bare").mkdir()
    (store.root / "a-file").write_text("x")
    runs = {run.id: run for run in store.list()}
    assert runs["torn"].status == "interrupted"
    assert runs["torn"].tokens == 13
    assert {name: run.status for name, run in runs.items() if run.problem} == dict.fromkeys(
        ("empty", "foreign", "listed", "bare"), "unreadable"
    )
    assert len(list(store.open("torn"))) == 20


def test_no_folder_is_no_run(tmp_path):
    """The first start of all has no state folder yet."""
    assert Store(tmp_path / "absent").list() == []


@pytest.mark.parametrize("id", ["../up", "", ".hidden", "a/b", "x" * 65, "nul\0"])
def test_a_run_id_cannot_leave_the_folder(store, id):
    """The id of a recorded run comes from its events, which may be somebody else's file."""
    with pytest.raises(ValueError, match="is no run id"):
        store.create(id)


def test_ids_sort_by_time(monkeypatch):
    """A listing by name has to be a listing by age."""
    ids = []
    for seconds in (1_700_000_000, 1_700_000_001, 1_900_000_000):
        monkeypatch.setattr("bitnet_tui.core.store.time.time", lambda seconds=seconds: seconds)
        ids.append(new_id())
    assert ids == sorted(ids)
    assert all(len(id) == 8 for id in ids)


def test_is_run(tmp_path):
    """A model folder opened as a run showed an empty parity screen."""
    assert not is_run(tmp_path)
    (tmp_path / "events.jsonl").touch()
    assert is_run(tmp_path)
    assert is_run(tmp_path / "events.jsonl")
    assert not is_run(tmp_path / "model.gguf")


# ---- the feed ---------------------------------------------------------------------------------------


def test_a_feed_gives_every_event_in_order(made):
    """Events dropped between thread and screen shift every later token."""
    feed = Feed(iter(made.run()))
    feed.start()
    feed.join(5)
    assert not feed.ended
    assert feed.drain(3) == made.run()[:3]
    assert feed.drain(1000) == made.run()[3:]
    assert feed.ended


def test_a_source_that_raises_becomes_an_error_event():
    """An exception in the thread left the screen waiting for ever."""

    def source():
        yield {"event": "plan"}
        raise PermissionError(13, "Permission denied", "x.jsonl")

    feed = Feed(source())
    feed.start()
    feed.join(5)
    _, error = feed.drain(9)
    assert (error["event"], error["exit_code"]) == ("error", 4)
    assert "Permission denied" in error["message"]


def test_the_queue_is_bounded_and_a_stop_ends_the_wait():
    """A replay read faster than it is shown filled the memory; a stopped one kept its thread."""
    produced = []

    def source():
        for index in range(10 * QUEUE_EVENTS):
            produced.append(index)
            yield {"event": "log", "index": index}

    feed = Feed(source())
    feed.start()
    while len(produced) <= QUEUE_EVENTS:
        threading.Event().wait(0.001)
    feed.stop()
    feed.join(5)
    assert len(feed.drain(10 * QUEUE_EVENTS)) == QUEUE_EVENTS
    assert feed.ended


def test_a_live_run_is_recorded_to_its_end(store, made):
    """A cancelled run lost its last events, and was listed as interrupted."""
    job = made.Job(made.run()[:10], hold=True)
    live = Live.of(job, Recorder(store))
    live.close(5)
    assert job.cancelled == 1
    (run,) = store.list()
    assert (run.id, run.status) == ("t5k2zx7f", "cancelled")
    assert list(store.open(run.id)) == live.feed.drain(100)


def test_a_taken_id_is_not_appended_to(store, made):
    """Two runs in one file replay as one nonsense run."""
    for _ in range(2):
        recorder = Recorder(store)
        for event in made.run():
            recorder(event)
    assert len(store.list()) == 2
    assert all(len(list(store.open(run.id))) == len(made.run()) for run in store.list())


def test_a_full_disk_ends_the_recording_not_the_run(tmp_path, made):
    """A run of an hour must not die of the folder that records it."""
    (tmp_path / "file").touch()
    live = Live.of(made.Job(made.run()), Recorder(Store(tmp_path / "file")))
    live.feed.join(5)
    assert live.feed.drain(1000) == made.run()
    assert "the run is not recorded" in live.recorder.problem
