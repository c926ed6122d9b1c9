"""Verdicts on an older measurement: surely slower, surely not, or too noisy to say."""

import copy
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_engine.bench import compare, load_report
from bitnet_engine.bench.assembling import assemble
from bitnet_engine.bench.cases import Settings
from bitnet_engine.errors import FormatError, SettingError, StorageError
from tests.engine.bench.answers import answer, run

STEADY = (0.0200, 0.0201, 0.0199, 0.0202, 0.0198)


def artifact(*seconds, **conditions):
    decode = tuple(answer(each, i, tokens=1, bytes=1e8, **conditions) for i, each in enumerate(seconds))
    report = assemble([run(decode=decode)], path="m", sha256="0" * 64, command="x", settings=Settings())
    return orjson.loads(orjson.dumps(report.to_json()))


def gate(comparison, name="decode@64, 2 threads"):
    return next(gate for gate in comparison.gates if gate.gate == name)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "PASS"), (0.5, "PASS"), (1.05, "PASS"), (1.2, "FAIL"), (1.11, "INCONCLUSIVE")]
)
def test_ten_percent_is_the_limit(factor, verdict):
    """Red when 20 % slower passes, 5 % fails, or a verdict is given within the noise of the limit."""
    found = compare(artifact(*STEADY), artifact(*(factor * each for each in STEADY)))
    assert gate(found).status == verdict
    assert gate(found).value == pytest.approx(1 / factor)
    assert found.verdict == verdict


@given(st.floats(0.3, 3.0), st.floats(0.001, 0.3))
def test_a_fail_is_surely_slower_and_a_pass_surely_not(factor, noise):
    """Red when a verdict contradicts its own interval."""
    then = artifact(*(0.02 * (1 + noise * side) for side in (-1, -0.5, 0, 0.5, 1)))
    now = artifact(*(0.02 * factor * (1 + noise * side) for side in (1, -0.5, 0, 0.5, -1)))
    found = gate(compare(then, now))
    low, high = found.interval
    assert (found.status == "FAIL") == (high < found.limit)
    assert (found.status == "PASS") == (low >= found.limit)


def test_more_memory_is_worse():
    """Red when a ratio of something that is better when lower is not turned round."""
    then, now = artifact(*STEADY), artifact(*STEADY)
    for measure in now["measures"]:
        if measure["case"] == "peak-memory":
            for taken in measure["samples"]:
                taken["value"] *= 2
    found = compare(then, now)
    assert gate(found, "peak-memory, 2 threads").value == pytest.approx(0.5)
    assert found.verdict == "FAIL"


def test_noise_and_single_samples_are_inconclusive():
    """Red when a noisy run, or one sample, passes a gate."""
    noisy = gate(compare(artifact(*STEADY), artifact(*STEADY, foreign=0.5)))
    assert (noisy.status, math.isnan(noisy.value)) == ("INCONCLUSIVE", True)
    assert "too much noise to tell" in noisy.detail
    single = gate(compare(artifact(*STEADY), artifact(0.02)))
    assert (single.status, "one sample" in single.detail) == ("INCONCLUSIVE", True)


@pytest.mark.parametrize("field", ["cpu", "threads", "numerics", "cache", "model_sha256"])
def test_another_stamp_is_refused(field):
    """Red when two machines or two models are compared as if they were one."""
    other = copy.deepcopy(artifact(*STEADY))
    other["stamp"][field] = "another"
    with pytest.raises(SettingError, match=f"another stamp: {field} was 'another'"):
        compare(other, artifact(*STEADY))


def test_another_version_of_the_code_is_what_is_judged():
    """Red when a baseline of the last commit is refused."""
    other = artifact(*STEADY)
    other["stamp"] |= {"git_commit": "0" * 40, "versions": {"jax": "0.0"}}
    assert compare(other, artifact(*STEADY)).verdict == "PASS"


def test_nothing_in_common_is_refused():
    """Red when no gate at all is a pass."""
    other = artifact(*STEADY)
    other["measures"] = []
    with pytest.raises(SettingError, match="no measure in common"):
        compare(other, artifact(*STEADY))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"{", FormatError, "is no JSON"),
        (b'{"schema": "bitnet-tui/report", "schema_version": 1}', FormatError, "is no bitnet-tui/bench of version 1"),
        (None, StorageError, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_benchmark_is_one_line(tmp_path, content, error, message):
    """Red when any JSON is taken for a baseline."""
    path = tmp_path / "b.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        load_report(path)
