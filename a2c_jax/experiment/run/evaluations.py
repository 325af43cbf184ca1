"""Evaluation of every seed's policy in one program: during training, and of a run on disk."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from a2c_jax.evaluate import evaluate
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.job import Job
from a2c_jax.keys import Stream, stream
from a2c_jax.parallel import Group, join_groups, over_seeds, run_groups, split_groups
from a2c_jax.types import EpisodeStats


class Evaluations(NamedTuple):
    """Mean returns and lengths ``[S, E]`` of E evaluations, and the updates ``[E]`` before each."""

    updates: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray


def no_evaluations(num_seeds: int) -> Evaluations:
    """The result before the first evaluation."""
    nothing = np.zeros((num_seeds, 0), np.float32)
    return Evaluations(np.zeros(0, np.int64), nothing, nothing)


class Evaluator:
    """Evaluates policies at regular intervals and stores the results; compiles once."""

    def __init__(
        self, job: Job, every: int | None, num_episodes: int, earlier: Evaluations
    ) -> None:
        self._num_updates, self._every, self.results = job.num_updates, every, earlier
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


def evaluation_program(
    job: Job, num_episodes: int, greedy: bool
) -> Callable[[list[Group], int], EpisodeStats]:
    """Makes a function that plays episodes of all seeds' policies in one compiled program.

    It takes the states of the agents, in groups, and a number, and returns ``[S, num_episodes]``.
    The episodes depend only on the seed and the number.
    """

    def play(pair: tuple[Any, Any]) -> EpisodeStats:
        return evaluate(job.env, job.agent, pair[0], pair[1], num_episodes, greedy)

    program = over_seeds(play, job.layout)

    def run(states: list[Group], number: int) -> EpisodeStats:
        fold_in = jax.vmap(lambda key: jax.random.fold_in(stream(key, Stream.EVALUATION), number))
        keys = split_groups(fold_in(job.keys), job.layout)
        both = zip(states, keys, strict=True)
        pairs = [Group(number, (state, key)) for (number, state), (_, key) in both]
        return jax.tree.map(np.asarray, join_groups(run_groups(program, pairs), job.layout))

    return run
