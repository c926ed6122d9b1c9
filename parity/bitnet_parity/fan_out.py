"""Several workers on one list of items, with the results in the order of the items.

    for logits in in_order(windows, [model.logits, same_model_on_another_device.logits]): ...

A thread a worker, each of which takes the next item when it is done with one. As many items are under way as there
are workers, so that results wait for a slow one before them without piling up. What is yielded does not depend on
how many workers there are, as long as any of them gives the same result. Knows no model.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import numpy as np

from bitnet_parity.sources import LogitSource


class OneAtATime:
    """A source that answers several threads, one after the other: a recording, or a peer with a state of its own."""

    def __init__(self, source: LogitSource) -> None:
        self._source, self._lock = source, Lock()

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the source's answer. Raises what it raises."""
        with self._lock:
            return self._source.logits(tokens)


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(items: Iterable[Item], workers: Sequence[Callable[[Item], Result]]) -> Iterator[Result]:
    """Yield the result of each item; raises what a worker raised, in the place of that item's result.

    `items` are drawn by the caller's thread, one for each result that is asked for after the first few. A single
    worker is called by that thread as well.
    """
    if len(workers) == 1:
        yield from map(workers[0], items)
        return
    free: SimpleQueue[Callable[[Item], Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(item: Item) -> Result:
        worker = free.get()
        try:
            return worker(item)
        finally:
            free.put(worker)

    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) == len(workers):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            # Whoever stops asking, or fails, waits for what is running and for nothing that has not begun.
            for future in under_way:
                future.cancel()
