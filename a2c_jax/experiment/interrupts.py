"""Ctrl-C that lets the current chunk finish."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first SIGINT into an answer; a second one interrupts at once, as always.

    Yields:
        A function that says whether there has been one.
    """
    seen = False
    previous = signal.getsignal(signal.SIGINT)

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen = True
        # Not print: a handler can interrupt a print, and must not wait for its lock.
        os.write(2, b"\nFinishing this chunk, then stopping; Ctrl-C again stops at once.\n")
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: seen
    finally:
        signal.signal(signal.SIGINT, previous)
