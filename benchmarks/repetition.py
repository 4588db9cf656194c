"""What is done again and again beside a measurement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(work: Callable[[], object], seconds: float) -> Iterator[None]:
    """Do `work` in a thread until the block ends, with pauses of `seconds`."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            work()
            ended.wait(seconds)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
