"""Profiles: the named ones in order of strictness, and files that users write."""

import math

import pytest

from bitnet_engine.errors import SettingError, StorageError
from bitnet_parity import Gates
from bitnet_parity.profiles import PROFILES

WHOLE = """
tokenizer_rate = 1
tokenizer_rate_excluded = false
median_tau_b = 0.97
delta_mean_nll = 5e-3
exact = false
floor_factor = 3
weights = true
trit_rate = 0.9999
scale_error = 0.004
norm_error = 0
table_error = 0.02
"""


def written(folder, text):
    (folder / "house.toml").write_text(text)
    return str(folder / "house.toml")


def test_profiles_run_from_strict_to_lenient():
    """Red when nightly, say, lets pass what fp32 does not."""
    assert list(PROFILES) == ["lossless", "nightly", "fp32", "quantized"]
    gates = [Gates.profile(name) for name in PROFILES]
    assert sorted((g.median_tau_b for g in gates), reverse=True) == [g.median_tau_b for g in gates]
    assert sorted(g.delta_mean_nll for g in gates) == [g.delta_mean_nll for g in gates]
    assert sorted((g.tokenizer_rate for g in gates), reverse=True) == [g.tokenizer_rate for g in gates]
    for limit in ("scale_error", "norm_error", "table_error"):
        assert sorted(getattr(g, limit) for g in gates) == [getattr(g, limit) for g in gates]


def test_a_file_with_every_limit(tmp_path):
    """Red when a limit is read into another field, or whole numbers are refused."""
    assert Gates.named(written(tmp_path, WHOLE)) == Gates(
        name="house",
        tokenizer_rate=1.0,
        tokenizer_rate_excluded=False,
        median_tau_b=0.97,
        delta_mean_nll=5e-3,
        exact=False,
        floor_factor=3.0,
        weights=True,
        trit_rate=0.9999,
        scale_error=0.004,
        norm_error=0.0,
        table_error=0.02,
    )


def test_a_file_that_builds_on_a_profile(tmp_path):
    """Red when a limit the file sets loses to the one it builds on, or the name is not the file's."""
    found = Gates.named(written(tmp_path, 'name = "strict"\nbase = "fp32"\nmedian_tau_b = 0.97'))
    assert (found.name, found.median_tau_b) == ("strict", 0.97)
    assert found.delta_mean_nll == Gates.profile("fp32").delta_mean_nll


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE + "median_tau = 0.9", "'median_tau' is no key of a profile; did you mean 'median_tau_b'?"),
        (WHOLE + "zzz = 1", "'zzz' is no key of a profile; known are name, base, tokenizer_rate,"),
        (
            "median_tau_b = 0.9",
            "tokenizer_rate, tokenizer_rate_excluded, delta_mean_nll, exact, floor_factor, weights, trit_rate, ",
        ),
        ('base = "fp16"', "base 'fp16' is no profile; choose one of lossless, nightly, fp32, quantized"),
        ('base = "fp32"\nmedian_tau_b = 1.1', "median_tau_b is 1.1; a number is needed, -1 to 1"),
        ('base = "fp32"\ndelta_mean_nll = -1', "delta_mean_nll is -1; a number is needed, 0 or more"),
        ('base = "fp32"\ndelta_mean_nll = inf', "delta_mean_nll is inf; a number is needed, 0 or more"),
        ('base = "fp32"\ndelta_mean_nll = nan', "delta_mean_nll is nan; a number is needed, 0 or more"),
        ('base = "fp32"\nmedian_tau_b = true', "median_tau_b is True; a number is needed"),
        ('base = "fp32"\nmedian_tau_b = "0.9"', "median_tau_b is '0.9'; a number is needed"),
        ('base = "fp32"\nexact = 1', "exact is 1; true or false is needed"),
        ('base = "fp32"\nname = ""', "name is ''; a text is needed"),
        ("base = ", "not TOML: Invalid value"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, message):
    """Red when a typo is ignored, and the limit that was meant is not the one that judges."""
    with pytest.raises(SettingError) as raised:
        Gates.named(written(tmp_path, text))
    assert message in str(raised.value)
    assert "house.toml: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text(tmp_path):
    """Red when a file that is not UTF-8 is a traceback."""
    (tmp_path / "house.toml").write_bytes(b"\xff")
    with pytest.raises(SettingError, match="not TOML"):
        Gates.named(str(tmp_path / "house.toml"))


def test_an_absent_file(tmp_path):
    """Red when a missing file is taken for a profile's name."""
    with pytest.raises(StorageError, match=r"none\.toml: cannot read the profile: No such file"):
        Gates.named(str(tmp_path / "none.toml"))


def test_limits_give_way_to_the_floor_and_never_tighten():
    """Red when a margin finer than the noise stays, or a quiet reference makes a gate stricter than asked."""
    fp32 = Gates.profile("fp32")
    noisy = fp32.over_floor(0.9, 0.02)
    assert (noisy.median_tau_b, noisy.delta_mean_nll) == (pytest.approx(0.8), pytest.approx(0.04))
    assert fp32.over_floor(0.9999, 1e-6) == fp32
    assert Gates.profile("lossless").over_floor(0.9, 0.02) == Gates.profile("lossless")


@pytest.mark.parametrize("missing", [math.nan, -math.inf])
def test_a_floor_without_a_value_excuses_nothing(missing):
    """Red when a reference that is all NaN has an infinite floor, under which everything passes."""
    fp32 = Gates.profile("fp32")
    assert fp32.over_floor(missing, math.nan) == fp32
    assert fp32.over_floor(missing, math.inf) == fp32
