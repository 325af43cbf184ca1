"""Processes that ``bench`` starts: peers that it speaks with, and its own that run once.

None of them hears Ctrl-C, which a terminal sends to a whole group; they are ended by whoever
started them.
"""

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from bench_config import Peer

ShouldStop = Callable[[], object]

_PATIENCE = 900.0  # seconds: a worker that is silent for longer is taken to be stuck
_POLL = 0.02
_STDERR_END = 600  # characters of what a process said last


class Stopped(Exception):  # noqa: N818 (no error)
    """Somebody has asked to stop."""


class PeerError(ValueError):
    """A peer cannot be started, or has died; told in a sentence."""


class ProcessError(RuntimeError):
    """A process of our own has failed; told in a sentence."""


class Worker(NamedTuple):
    """A peer that has compiled and waits.

    Attributes:
        ready: what it has said of itself.
        run: trains once; returns its ``seconds`` and ``steps``.
    """

    ready: dict[str, Any]
    run: Callable[[], dict[str, Any]]


@contextlib.contextmanager
def start_worker(
    peer: Peer, settings: Mapping[str, Any], should_stop: ShouldStop
) -> Iterator[Worker]:
    """Starts a peer, waits until it has compiled, and ends it afterwards.

    Args:
        peer: the program.
        settings: what its script takes; see ``yardsticks/worker.py``.
        should_stop: asked while waiting.

    Raises:
        PeerError: if it cannot be started, dies, or is silent for too long.
        Stopped: if ``should_stop`` answers true.
    """
    whole = dict(settings) | ({} if peer.source is None else {"source": peer.source})
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        command = [peer.python, str(peer.script), json.dumps(whole)]
        try:
            process = _start(command, peer_environment(), errors)
        except OSError as error:
            raise PeerError(
                f"peer {peer.name} is run by {peer.python!r}, which cannot be started "
                f"({error.strerror}); give the path of a Python interpreter."
            ) from error
        stack.callback(_end, process)
        answers = _read_in_background(process)

        def answer() -> dict[str, Any]:
            return _next_answer(peer, answers, process, errors, should_stop)

        def run() -> dict[str, Any]:
            with contextlib.suppress(BrokenPipeError):  # it has died: its answer tells why
                process.stdin.write("\n")
                process.stdin.flush()
            return answer()

        yield Worker(answer(), run)


def _next_answer(
    peer: Peer, answers: queue.Queue[str], process: Any, errors: IO[bytes], should_stop: ShouldStop
) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if should_stop():
            raise Stopped
        with contextlib.suppress(queue.Empty):
            line = answers.get(timeout=_POLL)
            if line:
                content: dict[str, Any] = json.loads(line)
                return content
            raise PeerError(
                f"peer {peer.name}, run by {peer.python!r}, has died with exit code "
                f"{process.wait()}; make its environment as {peer.script.name} says, or leave it "
                f"out: {_end_of(errors)}"
            )
    raise PeerError(
        f"peer {peer.name}, run by {peer.python!r}, has said nothing for {_PATIENCE:.0f} s; leave "
        f"it out, or give a smaller size: {_end_of(errors)}"
    )


def run_process(command: Sequence[str], environment: dict[str, str], stop: ShouldStop) -> str:
    """Runs a process to its end and returns what it has printed.

    Raises:
        Stopped: if ``stop`` answers true; the process is then ended.
        ProcessError: if it fails.
    """
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        process = _start(command, environment, errors)
        stack.callback(_end, process)
        answers = _read_in_background(process)
        lines: list[str] = []
        while not lines or lines[-1]:
            if stop():
                raise Stopped
            with contextlib.suppress(queue.Empty):
                lines.append(answers.get(timeout=_POLL))
        if code := process.wait():
            raise ProcessError(
                f"{' '.join(command[1:])} has ended with exit code {code}: {_end_of(errors)}"
            )
        return "".join(lines)


def peer_environment() -> dict[str, str]:
    """The environment without our flags: a peer runs with the defaults of its own."""
    kept = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("JAX_", "XLA_FLAGS", "LIBTPU_INIT_ARGS"))
    }


def _start(command: Sequence[str], environment: dict[str, str], errors: IO[bytes]) -> Any:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _end(process: Any) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _read_in_background(process: Any) -> queue.Queue[str]:
    """Lines as they come, and an empty one at the end: a pipe cannot be waited for with a limit."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with contextlib.suppress(ValueError):  # closed while reading
            for line in process.stdout:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return lines


def _end_of(errors: IO[bytes]) -> str:
    errors.seek(0)
    text = errors.read().decode(errors="replace").strip()
    return f"…{text[-_STDERR_END:]}" if len(text) > _STDERR_END else text or "it said nothing."
