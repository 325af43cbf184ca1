"""Training in compiled chunks, so that the host can look, report and stop in between."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from a2c_jax.parallel import (
    SeedLayout,
    join_groups,
    over_seeds,
    seed_layout,
    split_groups,
)
from a2c_jax.train import run
from a2c_jax.types import Algorithm, Key, Metrics

# A first guess at the environment steps that a device takes in a second, for networks no
# larger than the default's; larger ones are slower in proportion to a seed's state.
_STEPS_A_SECOND = {"cpu": 600_000}
_STEPS_A_SECOND_ELSEWHERE = 50_000_000
_STATE_BYTES = 80_000

_LONG, _GOOD = 3.0, 1.5  # seconds: a chunk that is too long, and one that is not


class Outcome(NamedTuple):
    """What training in chunks has come to so far.

    Attributes:
        state: of every seed, in groups as they were trained; see :func:`join_groups`.
        metrics: in NumPy arrays, ``[S, updates done]``.
        compile_seconds: tracing and compiling.
        train_seconds: running what was compiled.
    """

    state: list[Any]
    metrics: Metrics
    compile_seconds: float
    train_seconds: float

    @property
    def num_updates(self) -> int:
        """Updates done by every seed."""
        return self.metrics.episode_count.shape[-1]


def train_in_chunks(
    algorithm: Algorithm,
    keys: Key,
    num_updates: int,
    *,
    batch_size: int | None = None,
    chunk_updates: int | None = None,
    on_chunk: Callable[[Outcome], None] = lambda outcome: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains a seed for each key, in chunks whose results are those of one program, bit for bit.

    Args:
        algorithm: what to train.
        keys: one for each seed, ``[S]``.
        num_updates: of each seed.
        batch_size: see :func:`a2c_jax.train_seeds`.
        chunk_updates: updates of a chunk; by default a second or two's worth, shortened
            when a chunk has taken longer.
        on_chunk: called after compiling (with no updates done) and after every chunk.
        should_stop: asked before every chunk; training ends when it answers true.
    """
    layout = seed_layout(keys, batch_size)
    start = time.perf_counter()
    init = over_seeds(algorithm.init, layout)
    groups = jax.block_until_ready([init(group) for group in split_groups(keys, layout)])
    adapt = chunk_updates is None
    length = chunk_updates or chunk_length(num_updates, algorithm, layout, _bytes(groups[0]))
    programs = {}
    outcome = Outcome(groups, _no_metrics(len(keys)), time.perf_counter() - start, 0.0)

    while outcome.num_updates < num_updates and not should_stop():
        now = _next_length(length, num_updates - outcome.num_updates)
        if now not in programs:
            start = time.perf_counter()
            programs[now] = _compile(algorithm, now, layout, outcome.state[0])
            spent = outcome.compile_seconds + time.perf_counter() - start
            outcome = outcome._replace(compile_seconds=spent)
            if outcome.num_updates == 0:
                on_chunk(outcome)
            if should_stop():
                break
        before = outcome.train_seconds
        outcome = _advance(programs[now], outcome, layout)
        on_chunk(outcome)
        seconds = outcome.train_seconds - before
        if adapt and seconds > _LONG:
            length = max(2, int(now * _GOOD / seconds))
    return outcome


def chunk_length(
    num_updates: int, algorithm: Algorithm, layout: SeedLayout, state_bytes: int
) -> int:
    """A guess at the updates that take about a second, preferably dividing ``num_updates``.

    A last chunk of another length would have to be compiled for itself.
    """
    rate = _STEPS_A_SECOND.get(layout.devices[0].platform, _STEPS_A_SECOND_ELSEWHERE)
    rate = int(rate * len(layout.devices) * min(1.0, _STATE_BYTES / state_bytes))
    longest = min(num_updates, max(2, rate // (algorithm.steps_per_update * layout.num_seeds)))
    for length in range(longest, longest // 2, -1):
        if num_updates % length == 0 and length > 1:
            return length
    return longest


def _next_length(length: int, remaining: int) -> int:
    # Never leaves a single update for the last chunk: `run` may round that differently.
    return remaining if remaining <= length + 1 else length


def _bytes(group: Any) -> int:
    leaves = jax.tree.leaves(group)
    return sum(leaf.nbytes for leaf in leaves) // leaves[0].shape[0]


def _compile(algorithm: Algorithm, num_updates: int, layout: SeedLayout, group: Any) -> Any:
    program = over_seeds(lambda state: run(algorithm, state, num_updates), layout)
    return program.lower(group).compile()


def _advance(chunk: Any, outcome: Outcome, layout: SeedLayout) -> Outcome:
    start = time.perf_counter()
    results = [chunk(group) for group in outcome.state]
    fresh = join_groups([result.metrics for result in results], layout)
    # A copy, since the arrays of a CPU device are otherwise views of JAX's own memory.
    metrics = jax.tree.map(
        lambda old, new: np.concatenate([old, np.asarray(new)], axis=1), outcome.metrics, fresh
    )
    state = jax.block_until_ready([result.state for result in results])
    return Outcome(
        state,
        metrics,
        outcome.compile_seconds,
        outcome.train_seconds + time.perf_counter() - start,
    )


def _no_metrics(num_seeds: int) -> Metrics:
    nothing: Any = np.zeros((num_seeds, 0), np.float32)
    return Metrics(*[nothing] * len(Metrics._fields))
