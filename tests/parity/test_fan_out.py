"""Several workers, one order."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_parity.fan_out import in_order


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(items, workers):
    """Red when a result overtakes another, or the last ones are lost."""
    assert list(in_order(iter(items), [lambda item: item * 2] * workers)) == [item * 2 for item in items]


def test_workers_work_at_once_and_a_slow_first_item_stays_first():
    """Red when workers take turns: the first would then wait for the second without end."""
    second_begun = threading.Event()

    def work(item):
        if item == 0:
            assert second_begun.wait(30)
        if item == 1:
            second_begun.set()
        return item

    assert list(in_order(range(6), [work, work])) == list(range(6))


def test_no_worker_is_called_by_two_threads():
    """Red when a device is given two windows at once, and so the memory of two."""
    busy = [threading.Lock() for _ in range(3)]

    def worker(lock):
        def work(item):
            assert lock.acquire(blocking=False)
            try:
                return item
            finally:
                lock.release()

        return work

    assert list(in_order(range(50), [worker(lock) for lock in busy])) == list(range(50))


def test_items_are_drawn_only_as_results_are_asked_for():
    """Red when a long corpus is read ahead, or its results pile up."""
    drawn = []
    results = in_order((drawn.append(i) or i for i in range(100)), [lambda item: item] * 3)
    next(results)
    assert len(drawn) == 3
    next(results)
    assert len(drawn) == 4
    results.close()
    assert len(drawn) == 4


def test_an_error_stands_where_its_result_would():
    """Red when an error is lost, or comes before results that are sound."""

    def work(item):
        if item == 2:
            raise ValueError("the third")
        return item

    results = in_order(range(5), [work] * 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
