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
    """Results of the E evaluations during a training run.

    Attributes:
        updates: number of updates done before each evaluation, int ``[E]``.
        returns: mean return of each seed's episodes, ``[S, E]``.
        lengths: mean length of each seed's episodes in steps, ``[S, E]``.
    """

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
        self._job, self._every = job, every
        self._program = evaluation_program(job, num_episodes, greedy=True) if every else None
        self.results = earlier

    def after_chunk(self, outcome: Outcome) -> None:
        """Evaluates after every multiple of the interval and at the end, once each."""
        done = outcome.num_updates
        if self._program is None or done == 0 or done in self.results.updates:
            return
        if done % (self._every or 1) and done < self._job.num_updates:
            return
        stats = self._program(
            [Group(group.number, group.tree.agent) for group in outcome.state], done
        )
        self.results = Evaluations(
            np.append(self.results.updates, done),
            np.column_stack([self.results.returns, stats.returns.mean(axis=1)]),
            np.column_stack([self.results.lengths, stats.lengths.mean(axis=1)]),
        )


def evaluation_program(
    job: Job, num_episodes: int, greedy: bool
) -> Callable[[list[Group], int], EpisodeStats]:
    """Makes a function that plays episodes of all seeds' policies in one compiled program.

    Args:
        job: gives environment, agent, seeds and their layout.
        num_episodes: number of episodes of each seed.
        greedy: take the most probable action if true, else one sampled from the policy.

    Returns:
        ``evaluate(agent states in groups, number) -> EpisodeStats``, ``[S, num_episodes]``.
        The episodes depend only on the seed and the number.
    """

    def play(pair: tuple[Any, Any]) -> EpisodeStats:
        state, key = pair
        return evaluate(job.env, job.agent, state, key, num_episodes, greedy)

    program = over_seeds(play, job.layout)

    def run(states: list[Group], number: int) -> EpisodeStats:
        keys = jax.vmap(lambda key: jax.random.fold_in(stream(key, Stream.EVALUATION), number))(
            job.keys
        )
        groups = zip(states, split_groups(keys, job.layout), strict=True)
        pairs = [Group(one.number, (one.tree, two.tree)) for one, two in groups]
        results = run_groups(program, pairs)
        return jax.tree.map(np.asarray, join_groups(results, job.layout))

    return run
