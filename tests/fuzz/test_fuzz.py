"""Structure-aware fuzzing in small doses: every reader answers or refuses, whatever the structure says.

The long run is `python -m tests.fuzz.run NAME SECONDS`; what it finds becomes a case of tests/badfiles.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import STRATEGIES
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_answer_or_an_error_of_ours(name: str, data: st.DataObject):
    """An exception of Python, numpy or a library out of a file that is wrong in its structure."""
    TARGETS[name](data.draw(STRATEGIES[name]()))


def test_every_target_has_a_strategy():
    """A reader that only the long run would reach."""
    assert STRATEGIES.keys() == TARGETS.keys()
