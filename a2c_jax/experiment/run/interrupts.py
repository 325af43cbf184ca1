"""Defers SIGINT and SIGTERM until the current chunk has finished."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 128  # a shell adds a signal's number to it: 130 after SIGINT, 143 after SIGTERM
_NOTICE = b"\nFinishing this chunk, then stopping; a second signal stops at once.\n"


class Interrupted(KeyboardInterrupt):
    """Training was interrupted before there was anything to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number or signal.SIGINT


@contextlib.contextmanager
def deferred_interrupt(own_process: bool = False) -> Iterator[Callable[[], int]]:
    """Defers the first SIGINT or SIGTERM; yields a function that returns its number, or 0.

    A second signal is handled as usual; with ``own_process``, it ends the process. Outside the
    main thread, where Python never handles signals, nothing is changed.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # What was ignored on entry, as SIGINT is in a shell's background job, stays ignored.
    previous = {n: before for n, before in handlers.items() if before is not signal.SIG_IGN}

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        # Not print: a handler can interrupt a print, and must not wait for its lock.
        with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be none
            os.write(sys.__stderr__.fileno(), _NOTICE)  # type: ignore[union-attr]
        for each, before in previous.items():
            signal.signal(each, signal.SIG_DFL if own_process else before)

    with contextlib.ExitStack() as stack:
        for number, before in previous.items():
            signal.signal(number, handler)
            stack.callback(signal.signal, number, before)
        yield lambda: seen[0] if seen else 0
