"""Training in compiled chunks, between which the host can report, evaluate, save and stop."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from a2c_jax.evaluate import evaluate
from a2c_jax.experiment.run.job import Job, check_program
from a2c_jax.keys import Stream, stream
from a2c_jax.parallel import (
    Group,
    abstract_group,
    join_groups,
    over_seeds,
    run_groups,
    split_groups,
)
from a2c_jax.seeds import chunk_program, run_chunk
from a2c_jax.types import EpisodeStats, Metrics

_GOOD = 1.5  # seconds of a chunk
_GROWTH = 8  # a chunk is at most so many times as long as the one before it
_SHORTEST_CALL = 0.01  # seconds; for shorter calls, the call takes longer than the work
_ROOM = 2**26  # bytes of a chunk's metrics


class Outcome(NamedTuple):
    """The result of training so far; its metrics are NumPy arrays ``[S, updates done]``.

    The states of seeds are groups on the devices that train them, see :mod:`a2c_jax.parallel`, or
    ``[S, ...]`` on the host if they were loaded.
    """

    state: Any
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
    """Trains every seed in chunks of about a second; their ends do not change any number.

    Args:
        job: what to train.
        earlier: the loaded result to continue from; by default training starts anew.
        pause_every: end chunks at the multiples of this number of updates.
        meanwhile: called in another thread while the program compiles.
        on_chunk: called after compiling and after every chunk; the next chunk deletes the state
            of its argument.
        should_stop: called before every chunk; training ends when it returns true.

    """
    total, most = job.num_updates, _most_updates(job)
    if earlier is not None and earlier.num_updates >= total:
        return earlier._replace(state=split_groups(earlier.state, job.layout))
    with ThreadPoolExecutor(max_workers=2) as pool:
        program, outcome = _compile(job, most, earlier, pool, meanwhile)
        check_program(program, job.layout)
        on_chunk(outcome)
        room = _room(outcome.metrics, total)
        length = 1
        while (done := outcome.num_updates) < total and not should_stop():
            ends = [done + length, done + most, total]
            ends += [done - done % pause_every + pause_every] if pause_every else []
            # This thread can handle signals meanwhile.
            running = pool.submit(_advance, program, outcome, min(ends) - done, room, job)
            before, outcome = outcome.train_seconds, running.result()
            on_chunk(outcome)
            good = max(_GOOD, _SHORTEST_CALL * len(outcome.state))
            speed = (outcome.num_updates - done) / max(outcome.train_seconds - before, 1e-9)
            length = max(1, min(_GROWTH * length, int(good * speed)))
    return outcome


def _most_updates(job: Job) -> int:
    """The largest number of updates of a chunk, a power of two."""
    fitting = max(1, _ROOM // (4 * len(Metrics._fields) * job.layout.num_seeds))
    return 1 << (min(fitting, job.num_updates) - 1).bit_length()


def _compile(
    job: Job, most: int, earlier: Outcome | None, pool: Executor, meanwhile: Callable[[], None]
) -> tuple[Any, Outcome]:
    """Compiles a chunk and, in parallel, the initial states of seeds that start anew."""
    start, layout = time.perf_counter(), job.layout
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    groups = split_groups(job.keys if earlier is None else earlier.state, layout)
    # Traced in this thread: settings of JAX may hold in one thread only.
    if earlier is None:
        init = pool.submit(over_seeds(job.algorithm.init, layout).lower(groups[0]).compile)
    program = chunk_program(job.algorithm, most, layout, donate=True)
    lowered = program.lower(abstract_group(seed, layout), np.int32(0))
    compiled = pool.submit(lowered.compile)
    pool.submit(meanwhile)
    if earlier is None:
        groups = jax.block_until_ready(run_groups(init.result(), groups))
        nothing: Any = np.zeros((layout.num_seeds, 0), np.float32)
        earlier = Outcome(groups, Metrics(*[nothing] * len(Metrics._fields)), 0.0, 0.0)
    program = compiled.result()
    seconds = earlier.compile_seconds + time.perf_counter() - start
    return program, earlier._replace(state=groups, compile_seconds=seconds)


def _room(metrics: Metrics, num_updates: int) -> Metrics:
    """Allocates arrays for the metrics of the whole run, and copies the metrics so far."""

    def enlarge(field: Any) -> Any:
        whole = np.empty((field.shape[0], max(num_updates, field.shape[1])), np.float32)
        whole[:, : field.shape[1]] = field
        return whole

    return jax.tree.map(enlarge, metrics)


def _advance(program: Any, outcome: Outcome, number: int, room: Metrics, job: Job) -> Outcome:
    start, done = time.perf_counter(), outcome.num_updates
    states, fresh = run_chunk(program, outcome.state, number, job.layout)
    for whole, new in zip(room, fresh, strict=True):
        np.asarray(whole)[:, done : done + number] = np.asarray(new)
    jax.block_until_ready(states)
    return outcome._replace(
        state=states,
        metrics=jax.tree.map(lambda whole: whole[:, : done + number], room),
        train_seconds=outcome.train_seconds + time.perf_counter() - start,
    )


def aside(function: Callable[[], Any]) -> Any:
    """Calls a function in another thread, so that this one can handle signals meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


class Evaluations(NamedTuple):
    """Mean returns and lengths ``[S, E]`` of E evaluations, and the updates ``[E]`` before each."""

    updates: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray


def no_evaluations(num_seeds: int) -> Evaluations:
    """The result before the first evaluation."""
    return Evaluations(np.zeros(0, np.int64), *np.zeros((2, num_seeds, 0), np.float32))


class Evaluator:
    """Evaluates policies at regular intervals and stores the results; compiles once."""

    def __init__(self, job: Job, every: int | None, num_episodes: int, before: Evaluations) -> None:
        self._num_updates, self._every, self.results = job.num_updates, every, before
        self._play = evaluation_program(job, num_episodes, greedy=True)

    def after_chunk(self, outcome: Outcome) -> None:
        """Evaluates after every multiple of the interval and at the end, once each."""
        done, earlier = outcome.num_updates, self.results
        is_due = self._every and (done % self._every == 0 or done >= self._num_updates)
        if is_due and done not in earlier.updates:
            stats = self._play([Group(n, state.agent) for n, state in outcome.state], done)
            self.results = Evaluations(
                np.append(earlier.updates, done),
                np.column_stack([earlier.returns, stats.returns.mean(axis=1)]),
                np.column_stack([earlier.lengths, stats.lengths.mean(axis=1)]),
            )


Play = Callable[[list[Group], int], EpisodeStats]


def evaluation_program(job: Job, num_episodes: int, greedy: bool) -> Play:
    """A function that plays episodes ``[S, num_episodes]`` of all policies in one program.

    It takes agents' states, in groups, and a number that decides the episodes of each seed.
    """
    env, agent = job.env, job.agent
    compiled: list[Any] = []
    program = over_seeds(
        lambda pair: evaluate(env, agent, pair[0], pair[1], num_episodes, greedy), job.layout
    )

    def play(states: list[Group], number: int) -> EpisodeStats:
        fold_in = jax.vmap(lambda key: jax.random.fold_in(stream(key, Stream.EVALUATION), number))
        keys = split_groups(fold_in(job.keys), job.layout)
        both = zip(states, keys, strict=True)
        pairs = [Group(state.number, (state.tree, key.tree)) for state, key in both]
        if not compiled:
            compiled.append(program.lower(pairs[0]).compile())
        results = aside(lambda: jax.block_until_ready(run_groups(compiled[0], pairs)))
        return jax.tree.map(np.asarray, join_groups(results, job.layout))

    return play
