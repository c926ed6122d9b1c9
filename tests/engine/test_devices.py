"""Models on some of the devices there are."""

import jax
import numpy as np
import pytest

from bitnet_engine.devices import on_host, spread
from bitnet_engine.errors import SettingError


def test_one_device_is_the_model_itself(sample):
    """Red when a run that asks for nothing copies its weights."""
    assert spread(sample) == [sample]


def test_more_devices_than_there_are_are_refused(sample):
    """Red when a group of devices comes short, or the hint for CPUs is lost."""
    with pytest.raises(
        SettingError, match=r"99 devices are asked for, 1 for a model and 99 models: jax sees 1 here .*CPU"
    ):
        spread(sample, data=99)


def test_a_model_moved_to_a_device_answers_as_before(sample):
    """Red when a part of it is left behind."""
    with on_host():
        assert np.array_equal(sample.on(jax.devices()[0]).logits([1, 2]), sample.logits([1, 2]))
