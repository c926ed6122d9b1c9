"""A callback read as an iterator: one value ahead of nobody."""

import threading

import pytest

from bitnet_parity.pulling import pulled


def test_nothing_is_made_before_it_is_asked_for():
    """Red when all layers of a model are computed into memory while the first is still being written."""
    made = []

    def run(hand):
        for value in range(3):
            made.append(value)
            hand(value)

    for value in pulled(run):
        assert made == list(range(value + 1))
    assert made == [0, 1, 2]


def test_an_error_comes_after_the_values_before_it():
    """Red when a model that fails in its third layer ends as a capture of two, or as a traceback on stderr."""

    def run(hand):
        hand(1)
        raise ValueError("no memory")

    values = pulled(run)
    assert next(values) == 1
    with pytest.raises(ValueError, match="no memory"):
        next(values)


def test_no_thread_outlives_its_reader():
    """Red when a reader that leaves has the run wait for ever, or takes it for an Exception that can be handled."""
    handled = []

    def run(hand):
        while True:
            try:
                hand(1)
            except Exception as error:
                handled.append(error)

    values = pulled(run)
    next(values)
    values.close()
    assert "pulled" not in {thread.name for thread in threading.enumerate()}
    assert handled == []
