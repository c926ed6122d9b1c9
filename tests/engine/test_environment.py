"""The variables that every run honours, and the stamp that says so."""

import os
import subprocess
import sys

import pytest

from bitnet_engine.environment import DETERMINISTIC_FLAGS, Environment, environment
from bitnet_engine.errors import SettingError
from bitnet_engine.provenance import is_wsl2, stamp

WSL2 = "Linux version 6.6.87.2-microsoft-standard-WSL2 (root@439a258ad544) (gcc (GCC) 11.2.0) #1 SMP"
WSL1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0 (GCC) ) #1237-Microsoft"
AZURE = "Linux version 6.8.0-1021-azure (buildd@lcy02-amd64-029) (x86_64-linux-gnu-gcc-13) #25-Ubuntu SMP"


@pytest.mark.parametrize(
    ("text", "expected"), [(WSL2, True), ("Linux version 6.1.21 my-own-WSL2+", True), (WSL1, False), (AZURE, False)]
)
def test_wsl2_is_read_from_the_kernel(tmp_path, text, expected):
    """Red when WSL 1 or a cloud machine of Microsoft counts as WSL2, or WSL2 does not."""
    (tmp_path / "version").write_text(text)
    assert is_wsl2(tmp_path / "version") is expected


def test_a_system_without_proc_is_not_wsl2(tmp_path):
    """Red when macOS has no stamp."""
    assert not is_wsl2(tmp_path / "absent")


def test_nothing_set_asks_for_nothing():
    """Red when a default is mistaken for a choice."""
    assert environment({}) == Environment(deterministic=False, seed=None, threads=None)
    assert environment({"BITNET_DETERMINISTIC": "0", "BITNET_SEED": ""}) == environment({})


def test_what_is_set_is_read():
    """Red when a variable is ignored."""
    found = environment({"BITNET_DETERMINISTIC": "1", "BITNET_SEED": "7", "BITNET_THREADS": "2"})
    assert found.to_json() == {"deterministic": True, "seed": 7, "threads": 2}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("BITNET_DETERMINISTIC", "yes", "0 or 1"),
        ("BITNET_SEED", "-1", "from 0 to"),
        ("BITNET_SEED", "٣", "from 0 to"),
        ("BITNET_SEED", "9" * 5000, "from 0 to"),
        ("BITNET_THREADS", "0", "from 1 to"),
        ("BITNET_THREADS", "two", "from 1 to"),
    ],
)
def test_a_value_that_means_nothing_is_refused(name, value, allowed):
    """Red when a typing slip silently means the default."""
    with pytest.raises(SettingError, match=f"{name}=.*{allowed}"):
        environment({name: value})


def test_a_process_computes_and_stamps_as_asked():
    """Red when the stamp repeats a wish that nothing carried out."""
    code = (
        "from bitnet_engine.environment import environment; environment().apply(); import os; "
        "from bitnet_engine.provenance import stamp; s = stamp(); "
        "print(len(os.sched_getaffinity(0)), s['threads'], s['determinism'], s['xla_flags'])"
    )
    variables = {"BITNET_THREADS": "1", "BITNET_DETERMINISTIC": "1", "BITNET_SEED": "5", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    asked = {"deterministic": True, "seed": 5, "threads": 1}
    assert done.stdout.strip() == f"1 1 {asked} {' '.join(DETERMINISTIC_FLAGS)}"


def test_more_threads_than_processors_is_one_line():
    """Red when a run is stamped with threads it never had."""
    with pytest.raises(SettingError, match=r"BITNET_THREADS=4000: this process may use \d+; 1 to \d+ is allowed"):
        Environment(deterministic=False, seed=None, threads=4000).apply()


def test_the_stamp_says_what_the_environment_asked_for():
    """Red when two runs of different settings look alike in their artifacts."""
    assert stamp()["determinism"].keys() == {"deterministic", "seed", "threads"}
