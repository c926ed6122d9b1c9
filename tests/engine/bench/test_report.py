"""From answers to figures: units, limits, noise, breakdowns, turns."""

import math

import pytest

from bitnet_engine.bench.assembling import assemble
from bitnet_engine.bench.cases import Case, Settings
from tests.engine.bench.answers import answer, run


def report(*runs, allow_noise=False):
    return assemble(list(runs), path="m.gguf", sha256="0" * 64, command="x", settings=Settings(allow_noise=allow_noise))


def of(found, case, threads=2):
    return next(one for one in found.measures if (one.case, one.threads) == (case, threads))


def decoded(*seconds, **conditions):
    return tuple(answer(each, i, tokens=1, bytes=1e8, **conditions) for i, each in enumerate(seconds))


def test_a_figure_stands_beside_its_limit():
    """Red when a share is upside down: 100 MB at 10 GB/s are 10 ms, and a token took 20."""
    found = of(report(run(decode=decoded(0.02, 0.021, 0.019))), "decode@64")
    assert (found.unit, found.better) == ("tok/s", "higher")
    assert found.value == pytest.approx(50)
    assert found.limit.value == pytest.approx(100)
    assert found.share == pytest.approx(0.5)
    assert found.limit.what == "reading 100.0 MB at 10.0 GB/s"


def test_the_peak_is_that_of_the_unit_that_the_kernel_uses():
    """Red when a kernel of AVX2 is measured by what another unit could do, or memory limits what products do."""
    body = [answer(0.02, bytes=1e6, operations=1e9)]
    found = of(report(run(more={Case("body", rows=512): body})), "body[512]")
    assert found.unit == "GOPS"
    assert found.limit.what == "products of bytes at 100 GOPS (avx2)"
    assert found.share == pytest.approx(0.5)


def test_times_and_sizes_are_better_when_lower():
    """Red when loading at twice the least time, or memory of twice the file, is a share of 2."""
    found = report(run())
    assert of(found, "load").share == pytest.approx(0.5)
    assert of(found, "memory").share == pytest.approx(0.5)
    assert (of(found, "memory").value, of(found, "peak-memory").value) == (4.0, 8.0)
    assert of(found, "compile").limit is None


@pytest.mark.parametrize("conditions", [{"steal": 0.04}, {"foreign": 0.2}, {"clock": 2000.0}])
def test_a_disturbed_sample_does_not_count(conditions):
    """Red when steal, another process or a lower clock goes into a median."""
    disturbed = answer(1.0, 3, tokens=1, bytes=1e8, **conditions)
    found = of(report(run(decode=(*decoded(0.02, 0.02, 0.02), disturbed))), "decode@64")
    assert found.value == pytest.approx(50)
    assert [bool(sample.disturbed) for sample in found.samples] == [False, False, False, True]
    assert not found.noisy


def test_a_case_that_always_lowers_the_clock_is_not_disturbed():
    """Red when full memory or wide instructions, which lower the clock each time, pass for noise of the machine."""
    slow = [answer(0.5, bytes=1e9, clock=2000.0)] * 3
    found = of(report(run(decode=decoded(0.02, 0.02, 0.02), more={Case("read"): slow})), "read")
    assert (found.value, found.noisy) == (pytest.approx(2.0), False)


def test_noise_leaves_no_value_unless_it_is_allowed():
    """Red when a benchmark averages over a noisy machine and says nothing."""
    noisy = run(decode=(*decoded(0.02), *decoded(0.04, foreign=0.5)))
    found = report(noisy)
    assert math.isnan(of(found, "decode@64").value)
    assert found.noisy == ("decode@64 of bitnet-tui on 2",)
    allowed = report(noisy, allow_noise=True)
    assert of(allowed, "decode@64").value == pytest.approx(37.5)
    assert allowed.noisy == found.noisy


def test_a_noisy_limit_is_no_limit():
    """Red when a share is of a bandwidth that another process was using."""
    slow = [answer(0.5, bytes=1e9, foreign=0.9)] * 3
    assert of(report(run(decode=decoded(0.02, 0.02), more={Case("read"): slow})), "decode@64").limit is None


def test_unknown_conditions_disturb_nothing():
    """Red when a system without /proc/stat has no values at all."""
    unknown = {"steal": None, "foreign": None, "clock": None}
    found = report(run(decode=decoded(0.02, 0.02, **unknown)))
    assert of(found, "decode@64").value == pytest.approx(50)


def test_the_rest_is_what_the_parts_do_not_explain():
    """Red when a part is counted twice or left out."""
    parts = {"body": 0.010, "head": 0.004, "norms": 0.001}
    more = {Case(kind): [answer(seconds, bytes=1e6)] for kind, seconds in parts.items()}
    more[Case("attention", position=64)] = [answer(0.002, bytes=1e6)]
    (found,) = report(run(decode=decoded(0.02), more=more)).breakdown
    assert (found.total_ms, found.body_ms, found.attention_ms) == pytest.approx((20, 10, 2))
    assert found.rest_ms == pytest.approx(3)


def test_turns_are_paired_by_round():
    """Red when a disturbed round of one side is compared with a quiet one of the other."""
    one = run()
    case = Case("decode", position=64)
    one.turns[case] = list(decoded(0.01, 0.01, 0.01))
    one.peer_turns[case] = [*decoded(0.02, 0.02), answer(9.0, 2, tokens=1, foreign=0.9)]
    one.peer = {"name": "llama.cpp", "version": "1", "system": "x"}
    (found,) = report(one).versus
    assert found.ratio == pytest.approx(2)
    assert found.rounds == 2
    assert (found.ours.engine, found.theirs.engine) == ("bitnet-tui", "llama.cpp")


def test_the_stamp_is_of_the_most_threads_and_names_the_model():
    """Red when a baseline cannot tell which model it was measured on."""
    found = report(run(1), run(2))
    assert found.stamp["model_sha256"] == "0" * 64
    assert {measure.threads for measure in found.measures} == {1, 2}
