"""Defers SIGINT and SIGTERM until the current chunk has finished."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 128  # a shell adds a signal's number to it: 130 after SIGINT, 143 after SIGTERM


class Interrupted(KeyboardInterrupt):
    """Training was interrupted before there was anything to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number or signal.SIGINT


_NOTICE = b"\nFinishing this chunk, then stopping; a second signal stops at once.\n"


@contextlib.contextmanager
def deferred_interrupt(own_process: bool = False) -> Iterator[Callable[[], int]]:
    """Defers the first SIGINT or SIGTERM until the caller asks for it.

    A second signal is handled as usual. With ``own_process`` it ends the process at once, even
    while a compiled program runs, during which Python handles no signals. Outside the main
    thread, where Python never handles signals, nothing is changed.

    Args:
        own_process: whether a second signal may end the process.

    Yields:
        A function that returns the number of the first signal, or 0 if there was none.
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
        if not own_process:
            # Not print: a handler can interrupt a print, and must not wait for its lock.
            os.write(2, _NOTICE)
            for each, before in previous.items():
                signal.signal(each, before)

    with contextlib.ExitStack() as stack:
        if own_process:
            stack.enter_context(_watched())
        for number, before in previous.items():
            signal.signal(number, handler)
            stack.callback(signal.signal, number, before)
        yield lambda: seen[0] if seen else 0


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Starts a thread that receives signals while the main thread runs a compiled program."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(receiver,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        sender.close()
        thread.join()
        receiver.close()


def _watch(receiver: socket.socket) -> None:
    number_of_signals = 0
    while data := receiver.recv(1):
        if data[0] not in SIGNALS:
            continue
        number_of_signals += 1
        if number_of_signals == 1:
            os.write(2, _NOTICE)
        else:
            os._exit(EXIT + data[0])  # safe during a save, which is complete or absent
