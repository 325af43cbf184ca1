"""The processes of one run: how they meet, agree, and tell each other of a stop.

They meet at the coordination service of :mod:`jax.distributed`, which knows Slurm, Open MPI,
Kubernetes and their like. Only its notice board is used. JAX itself is not told of the other
processes: no program spans two of them, and each sees its own devices alone, so that a seed's
numbers, checkpoints and errors are those of a process by itself. If one dies, the service ends
the others within ``DEAD_AFTER`` seconds; whatever they were saving is whole or not there.
"""

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

DEAD_AFTER = 60  # seconds without a sign of life
_ASK_EVERY = 0.1  # seconds, while waiting for others
_LEFT = "left"  # the subject of a process's last words
_ENDING = 300  # seconds that the last may leave later than the first


class Processes:
    """The processes of a run as one of them sees them, and their notes to each other.

    Attributes:
        number: of this one, from 0.
        count: how many there are.
    """

    def __init__(self, number: int, count: int, client: Any = None) -> None:
        """Makes them from the service's client; one process alone needs none."""
        self.number, self.count, self._client = number, count, client
        self._own: dict[str, str] = {}

    def tell(self, subject: str, text: str = "") -> None:
        """Leaves a note for all; a later one on the same subject takes its place."""
        self._own[subject] = text
        if self._client is not None:
            self._client.key_value_set(f"a2c_jax/{subject}/{self.number}", text, True)

    def heard(self, subject: str) -> dict[int, str]:
        """The notes on a subject so far, by the numbers of the processes."""
        if self._client is None:
            return {0: self._own[subject]} if subject in self._own else {}
        notes = self._client.key_value_dir_get(f"a2c_jax/{subject}/")
        return {int(name.rsplit("/", 1)[1]): text for name, text in notes}

    def wait_for(
        self,
        subject: str,
        numbers: Collection[int] | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> dict[int, str]:
        """Waits for the notes of these processes, by default of all.

        Args:
            subject: of the notes.
            numbers: of the processes.
            meanwhile: what to do again and again while waiting.

        Raises:
            ValueError: if one of them has left without a note.
        """
        awaited = set(range(self.count) if numbers is None else numbers)
        while missing := awaited - (notes := self.heard(subject)).keys():
            gone = self.heard(_LEFT)
            for number in sorted(missing & gone.keys()):
                raise ValueError(f"Process {number} of {self.count} has left: {gone[number]}")
            meanwhile()
            time.sleep(_ASK_EVERY)
        return notes

    @contextlib.contextmanager
    def together(self, stage: str) -> Iterator[None]:
        """A stage that every process comes through, or none.

        Raises:
            ValueError: which other process could not, and why.
        """
        try:
            yield
        except BaseException as error:
            self.tell(stage, str(error) or type(error).__name__)
            raise
        self.tell(stage)
        for number, wrong in sorted(self.wait_for(stage).items()):
            if wrong:
                raise ValueError(f"Process {number} of {self.count} does not begin: {wrong}")


@contextlib.contextmanager
def connected(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Iterator[Processes]:
    """Meets the other processes; waits five minutes for them.

    Args:
        coordinator: HOST:PORT of process 0. What is None is found out from the cluster.
        num_processes: how many there are; 1 needs nobody.
        process_id: which this is.

    Raises:
        ValueError: if these are wrong, or one is None outside of any cluster.
    """
    _check(coordinator, num_processes, process_id)
    if num_processes == 1:
        yield Processes(0, 1)
        return
    # A state of our own, and not jax.distributed.initialize(), which would tell JAX: see above.
    from jax._src import distributed

    state = distributed.State()
    try:
        with _ended_by_ctrl_c():
            state.initialize(
                coordinator,
                num_processes,
                process_id,
                heartbeat_timeout_seconds=DEAD_AFTER,
                shutdown_timeout_seconds=_ENDING,
            )
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(
            f"distributed is True, but the processes do not find each other ({reason}); give every "
            "process --coordinator HOST:PORT, --num-processes and its own --process-id."
        ) from error
    assert state.num_processes is not None
    processes = Processes(state.process_id, state.num_processes, state.client)
    try:
        yield processes
    except BaseException as error:
        processes.tell(_LEFT, str(error) or type(error).__name__)
        raise
    finally:
        with contextlib.suppress(RuntimeError):  # another has gone before
            state.shutdown()


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the process at once, while Python, waiting in C++, would not notice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    if coordinator is not None and not re.fullmatch(r".+:\d+", coordinator):
        raise ValueError(f"coordinator is {coordinator!r}; give HOST:PORT, such as localhost:8476.")
    if num_processes is not None and num_processes < 1:
        raise ValueError(f"num_processes is {num_processes}; give a whole number of at least 1.")
    if process_id is not None and not 0 <= process_id < (num_processes or process_id + 1):
        raise ValueError(
            f"process_id is {process_id}; give a whole number from 0 to one less than "
            f"num_processes ({num_processes})."
        )
