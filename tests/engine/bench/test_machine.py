"""Cases and settings, conditions of a sample, and the probes of the machine."""

import jax.numpy as jnp
import numpy as np
import pytest

from bitnet_engine import kernels
from bitnet_engine.bench import machine, parts, probes
from bitnet_engine.bench.cases import ROOM, Case, Settings, prompt
from bitnet_engine.bench.machine import Conditions, Watch, resident_bytes
from bitnet_engine.bench.timing import Operation, Sampler
from bitnet_engine.packing import PackedTernary, pack


def test_cases_fit_the_model():
    """Red when a position or a prompt is asked of a model that has no room for it."""
    keys = [case.key for case in Settings().cases(max_positions=256, units=("u",))]
    assert keys[:3] == ["read", "peak u", "decode@64"]
    assert "prefill[128]" in keys
    assert not {"decode@512", "prefill[512]"} & set(keys)
    assert len(set(keys)) == len(keys)
    tiny = [case for case in Settings().cases(max_positions=16, units=()) if case.kind in ("decode", "prefill")]
    assert {case.rows for case in tiny} == {1, 16}
    assert all(case.position < 16 for case in tiny)


def test_every_prompt_is_the_same_ids():
    """Red when two engines are given different work."""
    assert prompt(1000, 8) == prompt(1000, 8)
    assert all(0 <= token < 1000 for token in prompt(1000, 100))


def test_steal_and_other_processes_are_what_the_counters_say(tmp_path, monkeypatch):
    """Red when a field of /proc/stat is taken for its neighbour."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(machine, "_STAT", stat)
    monkeypatch.setattr(machine.os, "sysconf", lambda _: 100)
    now = {"clock": 0.0, "own": 0.0}
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now["clock"])
    monkeypatch.setattr(machine.time, "process_time", lambda: now["own"])
    stat.write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
    watch = Watch(used=2)
    now |= {"clock": 1.0, "own": 1.5}
    stat.write_text("cpu  100 20 30 9999 9999 5 5 40 7777 7777\ncpu0 1 1 1 1\n")
    found = watch.conditions(3000.0)
    assert found.steal == pytest.approx(0.4 / 2)
    assert found.foreign == pytest.approx((1.6 - 1.5) / 2)
    assert found.disturbances(4000.0) == ["steal 20.0%", "other processes 5.0%", "clock 3000 MHz"]
    now["clock"] = 0.05
    assert watch.conditions(None).foreign is None  # too short to tell


def test_a_system_that_does_not_tell_disturbs_nothing(tmp_path, monkeypatch):
    """Red when a machine without /proc cannot be measured."""
    monkeypatch.setattr(machine, "_STAT", tmp_path / "absent")
    assert Watch(used=1).conditions(None).steal is None
    assert Conditions(None, None, None, None).disturbances(None) == []


def test_memory_is_this_process(monkeypatch):
    """Red when a peak is that of the process that started this one: allocating shows in both numbers."""
    before = resident_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    held = np.ones(50_000_000, np.uint8)
    now, peak = resident_bytes() or (0, 0)
    assert now >= before[0] + held.nbytes // 2
    assert peak >= now - 1_000_000


def test_a_sample_prepares_and_repeats(monkeypatch):
    """Red when what is prepared is timed as often as it is done, or an operation is done more often than it can be."""
    done = {"prepared": 0, "run": 0}

    def count(name):
        done[name] += 1

    operation = Operation(lambda: count("run"), prepare=lambda: count("prepared"), most=3)
    sampler = Sampler(operation, warmup=2, seconds=0.01, used=1, clock=lambda: None)
    assert done == {"prepared": 3, "run": 3}
    sample, each = sampler.sample(round=4)
    assert (sample.round, sample.count, len(each)) == (4, 3, 3)
    assert done == {"prepared": 4, "run": 6}


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_probes_measure_here(native, threads, monkeypatch):
    """Red when a machine, or an install without a compiler, has no limits to show."""
    if native and not kernels.isas():
        pytest.skip("the kernel is not built")
    if not native:
        monkeypatch.setattr(probes, "_library", lambda: None)
        assert probes.units() == (probes.STAND_IN,)
        assert probes.clock_mhz() is None
    reader = probes.plain_reader(1_000_000, threads)
    reader.run()
    assert reader.bytes >= 999_000
    for unit in probes.units():
        products = probes.peak(unit, threads)
        products.run()
        assert products.operations > 1e6


def test_every_unit_of_the_kernel_has_a_peak():
    """Red when a kernel is built whose limit nobody measures."""
    known = {isa for isa in kernels.isas() if isa != "portable"}
    assert not known or known <= set(probes.units())


def test_a_case_is_named_by_what_it_is():
    """Red when two cases share a name in artifacts."""
    assert Case("decode", position=64, batch=4).key == "decode@64x4"
    assert Case("attention", position=ROOM).key == "attention@64"
    assert Case("ttft", rows=32).key == "ttft[32]"


def test_the_fallback_and_the_dot_beside_it_are_one_product():
    """Red when the ratio of the two compares different work."""
    random = np.random.default_rng(0)
    trits = random.integers(-1, 2, (33, 64), np.int8)
    q = random.integers(-127, 128, (1, 64), np.int8)
    packed = PackedTernary(jnp.asarray(pack(trits)), jnp.float32(1), 64)
    expected = q.astype(np.int32) @ trits.T.astype(np.int32)
    assert np.array_equal(parts.fallback(jnp.asarray(q), packed), expected)
    assert np.array_equal(parts.int8_dot(jnp.asarray(q), jnp.asarray(trits)), expected)
