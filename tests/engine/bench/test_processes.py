"""Measuring processes: what they refuse, how they end, and a peer beside ours."""

import importlib.util
import sys

import pytest

from bitnet_engine.bench import BenchReport, Settings, bench_steps
from bitnet_engine.bench.cases import Case
from bitnet_engine.bench.llama import Llama
from bitnet_engine.bench.process import Measurer
from bitnet_engine.errors import BitnetError, FormatError, SettingError
from bitnet_engine.formats import QuantType
from bitnet_engine.synthetic import Shape, write_synthetic
from tests.engine.test_synthetic import SMALL

QUICK = Settings(iterations=2, warmup=1, threads=(1,), allow_noise=True).quick()


def request(path, engine="bitnet-tui"):
    reading = {"i2s_layout": None, "kernel_config": None}
    fields = {"path": str(path), "engine": engine, "threads": 1, "numerics": "exact-int8", "cache": "float32"}
    return {**fields, "reading": reading, "settings": {"warmup": 0, "seconds": 0.01}}


def test_a_bad_model_is_the_error_that_it_always_is(tmp_path):
    """Red when a bad file under measurement is a defect of ours, or a process is left behind."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(FormatError, match=r"m\.gguf"):
        Measurer.start(request(tmp_path / "m.gguf"))


def test_a_process_that_dies_says_its_last_words(packed):
    """Red when a death in the middle is a hang, or a traceback about JSON."""
    with Measurer.start(request(packed)) as measurer:
        assert measurer.ready["facts"]["ternary_weights"] > 0
        measurer._process.kill()
        with pytest.raises(BitnetError, match=r"the measuring process ended by signal 9"):
            measurer.sample(Case("head"), 0)


def test_more_threads_than_there_are_is_refused(packed):
    """Red when a count that no process can have is measured as another."""
    steps = bench_steps(str(packed), Settings(threads=(4096,)), command="x")
    with pytest.raises(SettingError, match="--threads 4096: 1 to"):
        list(steps)


def test_a_missing_peer_is_one_line(monkeypatch):
    """Red when --peers without the extra is a traceback."""
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(BitnetError, match=r"pip install 'bitnet-tui\[llama\]'"):
        Llama.load("m.gguf", QUICK, 1)


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="the [llama] extra is not installed")
def test_two_engines_take_turns(tmp_path):
    """Red when rounds are not pairs, or a file that llama.cpp does not know is not said to be one."""
    shape = Shape(**{**vars(SMALL), "positions": 256})
    write_synthetic(tmp_path / "peer.gguf", QuantType.TQ2_0, shape=shape, architecture="bitnet")
    *_, report = bench_steps(str(tmp_path / "peer.gguf"), QUICK, command="x", peers=True)
    assert isinstance(report, BenchReport)
    assert [pair.case for pair in report.versus] == ["decode@64", "prefill[32]"]
    assert all(pair.ratio > 0 and pair.rounds == 2 for pair in report.versus)
    assert report.peer is not None
    assert report.peer.version.startswith("llama-cpp-python")
    with pytest.raises(BitnetError, match=r"llama\.cpp cannot load it"):
        Llama.load(str(tmp_path / "absent.gguf"), QUICK, 1)
