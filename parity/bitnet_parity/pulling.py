"""Turn a function that hands values to a callback into an iterator that is read one value at a time.

    for part in pulled(lambda hand: model.run(hooks=hand)): ...

The function runs in a thread, and waits inside its callback until the next value is asked for: it is never ahead of its
reader, and only one of both computes. A reader that leaves ends it at its next value. Knows nothing of what is handed.
"""

from collections.abc import Callable, Generator
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class _Left(BaseException):
    """The reader wants no more. No Exception: nothing on the way is to take it for a failure."""


def pulled(run: Callable[[Callable[[T], None]], object]) -> Generator[T, None, None]:
    """Yield what `run` hands to its argument.

    Raises:
        Exception: what `run` raised, in its place among the values.
    """
    given: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    asked: SimpleQueue[bool] = SimpleQueue()

    def hand(value: T) -> None:
        given.put((value,))
        if not asked.get():
            raise _Left

    def work() -> None:
        try:
            run(hand)
            given.put(None)
        except BaseException as error:
            given.put(error)

    thread = Thread(target=work, name="pulled", daemon=True)
    thread.start()
    try:
        while (item := given.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
            del item  # or the reader's value would live until the next is there
            asked.put(True)
    finally:
        asked.put(False)
        thread.join()
