"""Training in compiled chunks, between which the host can report, save and stop."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.run.memory import check_program, tree_bytes
from a2c_jax.parallel import (
    Group,
    SeedLayout,
    abstract_group,
    gather_groups,
    over_seeds,
    run_groups,
    split_groups,
)
from a2c_jax.train import run
from a2c_jax.types import Algorithm, Metrics

# A first estimate of a device's environment steps per second, for networks no larger than the
# default's. Larger networks are slower in proportion to the size of a seed's state.
_STEPS_A_SECOND = {"cpu": 600_000}
_STEPS_A_SECOND_ELSEWHERE = 50_000_000
_STATE_BYTES = 80_000

_LONG, _GOOD = 3.0, 1.5  # seconds: chunks that take longer than the first are cut to the second
_COMPILES = 1.0  # chunks that take less than this times the time of compiling are not cut
_SHORTEST_CALL = 0.01  # seconds; for shorter calls, the call takes longer than the work


class Outcome(NamedTuple):
    """The result of training so far.

    Attributes:
        state: state of every seed, in the groups in which they are trained; see
            :func:`a2c_jax.parallel.join_groups`.
        metrics: NumPy arrays ``[S, updates done]``.
        compile_seconds: time of tracing and compiling.
        train_seconds: time of running compiled programs.
    """

    state: list[Group]
    metrics: Metrics
    compile_seconds: float
    train_seconds: float

    @property
    def num_updates(self) -> int:
        """Updates done by every seed."""
        return self.metrics.episode_count.shape[-1]


def train_in_chunks(
    job: Job,
    *,
    earlier: Outcome | None = None,
    pause_every: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    on_chunk: Callable[[Outcome], None] = lambda outcome: None,
    should_stop: Callable[[], object] = lambda: False,
) -> Outcome:
    """Trains every seed in chunks; the results are those of a single program, bit for bit.

    Args:
        job: what to train.
        earlier: the result to continue from, whose state can then not be used again; by default
            training starts anew.
        pause_every: end chunks at the multiples of this number of updates, at least 2.
        meanwhile: called in another thread while the first chunk compiles.
        on_chunk: called after compiling (with no updates done) and after every chunk; the next
            chunk deletes the state of its argument.
        should_stop: called before every chunk; training ends when it returns true.

    Raises:
        BadInput: if the compiled program does not fit into memory.
    """
    layout, num_updates = job.layout, job.num_updates
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    group, state_bytes = abstract_group(seed, layout), tree_bytes(seed)
    length, fewest = chunk_length(job, state_bytes), _fewest_updates(job, state_bytes)
    programs: dict[int, Any] = {}
    outcome, compiling = earlier, 0.0
    if outcome is None:
        first = _next_chunk(0, num_updates, length, pause_every)
        outcome, programs[first] = _begin_compiling(job, first, group, meanwhile)
        compiling = outcome.compile_seconds
        check_program(programs[first], layout)
        on_chunk(outcome)
    room = _room(outcome.metrics, num_updates)

    while outcome.num_updates < num_updates and not should_stop():
        now = _next_chunk(outcome.num_updates, num_updates, length, pause_every)
        if now not in programs:
            start = time.perf_counter()
            programs[now] = compile_chunk(job.algorithm, now, layout, group)
            compiling = time.perf_counter() - start
            outcome = outcome._replace(compile_seconds=outcome.compile_seconds + compiling)
            if len(programs) == 1:  # later, training itself takes part of the memory
                check_program(programs[now], layout)
                on_chunk(outcome)
            if should_stop():
                break
        before = outcome.train_seconds
        outcome = _advance(programs[now], outcome, room, layout)
        on_chunk(outcome)
        seconds = outcome.train_seconds - before
        if seconds > max(_LONG, _COMPILES * compiling):
            length = max(fewest, int(now * _GOOD / seconds))
    return outcome


def _begin_compiling(
    job: Job, num_updates: int, group: Any, meanwhile: Callable[[], None]
) -> tuple[Outcome, Any]:
    """Computes the initial states, and compiles the first chunk.

    The two programs compile in parallel, which saves a second and a half.
    """
    start, layout = time.perf_counter(), job.layout
    groups = split_groups(job.keys, layout)
    with ThreadPoolExecutor(max_workers=1) as other:
        # Traced in this thread: settings of JAX may hold in one thread only.
        lowered = over_seeds(job.algorithm.init, layout).lower(groups[0])
        compiled = other.submit(lowered.compile)
        other.submit(meanwhile)
        program = compile_chunk(job.algorithm, num_updates, layout, group)
        init = compiled.result()
    states = jax.block_until_ready(run_groups(init, groups))
    nothing: Any = np.zeros((layout.num_seeds, 0), np.float32)
    metrics = Metrics(*[nothing] * len(Metrics._fields))
    return Outcome(states, metrics, time.perf_counter() - start, 0.0), program


def chunk_length(job: Job, state_bytes: int) -> int:
    """Estimates how many updates take about a second; preferably a divisor of their number.

    A last chunk of another length would need a program of its own.
    """
    num_updates, layout = job.num_updates, job.layout
    rate = _steps_a_second(layout, state_bytes) * len(layout.devices)
    longest = max(
        int(rate // (job.algorithm.steps_per_update * layout.num_seeds)),
        _fewest_updates(job, state_bytes),
    )
    longest = min(num_updates, longest)
    for length in range(longest, longest // 2, -1):
        if num_updates % length == 0 and length > 1:
            return length
    return longest


def _fewest_updates(job: Job, state_bytes: int) -> int:
    steps = job.algorithm.steps_per_update * min(job.layout.batch_size, job.layout.num_seeds)
    return max(2, int(_SHORTEST_CALL * _steps_a_second(job.layout, state_bytes) / steps))


def _steps_a_second(layout: SeedLayout, state_bytes: int) -> float:
    rate = _STEPS_A_SECOND.get(layout.devices[0].platform, _STEPS_A_SECOND_ELSEWHERE)
    return rate * min(1.0, _STATE_BYTES / state_bytes)


def _next_chunk(done: int, num_updates: int, length: int, pause_every: int | None) -> int:
    """The updates of the next chunk, which ends at the next pause at the latest.

    Neither it nor what remains is a single update, which `run` may round differently.
    """
    end = num_updates
    if pause_every is not None:
        pause = -(-(done + 2) // pause_every) * pause_every
        end = pause if pause < num_updates - 1 else num_updates
    remaining = end - done
    return remaining if remaining <= length + 1 else length


def compile_chunk(algorithm: Algorithm, num_updates: int, layout: SeedLayout, group: Any) -> Any:
    """Compiles a chunk of updates of a group of seeds; running it deletes the states it is given.

    Args:
        algorithm: the algorithm to train.
        num_updates: number of updates of the chunk.
        layout: of the seeds.
        group: the states of the group, as arrays or as shapes.
    """
    chunk = over_seeds(lambda state: run(algorithm, state, num_updates), layout, donate=True)
    return chunk.lower(group).compile()


def _room(metrics: Metrics, num_updates: int) -> Metrics:
    """Allocates arrays for the metrics of the whole run, and copies the metrics so far."""

    def enlarge(field: Any) -> Any:
        whole = np.empty((field.shape[0], max(num_updates, field.shape[1])), np.float32)
        whole[:, : field.shape[1]] = field
        return whole

    return jax.tree.map(enlarge, metrics)


def _advance(program: Any, outcome: Outcome, room: Metrics, layout: SeedLayout) -> Outcome:
    start = time.perf_counter()
    results = run_groups(program, outcome.state)
    states = [Group(result.number, result.tree.state) for result in results]
    fresh = gather_groups([Group(result.number, result.tree.metrics) for result in results], layout)
    done = outcome.num_updates
    end = done + fresh.episode_count.shape[1]
    for whole, new in zip(room, fresh, strict=True):
        np.asarray(whole)[:, done:end] = np.asarray(new)
    jax.block_until_ready(states)
    return outcome._replace(
        state=states,
        metrics=jax.tree.map(lambda whole: whole[:, :end], room),
        train_seconds=outcome.train_seconds + time.perf_counter() - start,
    )
