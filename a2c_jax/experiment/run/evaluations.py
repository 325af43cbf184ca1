"""Evaluation of every seed's policy in one program: during training, and of a run on disk."""

from collections.abc import Callable
from typing import NamedTuple

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
    program = over_seeds(
        lambda pair: evaluate(env, agent, pair[0], pair[1], num_episodes, greedy), job.layout
    )

    def play(states: list[Group], number: int) -> EpisodeStats:
        fold_in = jax.vmap(lambda key: jax.random.fold_in(stream(key, Stream.EVALUATION), number))
        keys = split_groups(fold_in(job.keys), job.layout)
        both = zip(states, keys, strict=True)
        pairs = [Group(state.number, (state.tree, key.tree)) for state, key in both]
        return jax.tree.map(np.asarray, join_groups(run_groups(program, pairs), job.layout))

    return play
