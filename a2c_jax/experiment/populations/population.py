"""Population-based training: members whose settings evolve while they train."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from a2c_jax import presets
from a2c_jax.algorithms.learner import LearnerState
from a2c_jax.experiment.config.config import TrainConfig
from a2c_jax.experiment.config.configure import configure
from a2c_jax.experiment.config.settings import replace, typed
from a2c_jax.experiment.errors import refusals
from a2c_jax.experiment.populations.evolution import Ranges
from a2c_jax.experiment.populations.program import train_population
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.sweeps import points
from a2c_jax.presets import Preset
from a2c_jax.types import AgentState, Metrics


class Population(NamedTuple):
    """The result of population-based training: G generations, P members, U updates.

    Attributes:
        config: the configuration that all members share; ``total_steps`` is what each ran.
        job: job of that configuration, with a seed for each member.
        settings: the values that each member trained with, ``[G, P]``, by name.
        scores: mean return of the training episodes that finished in the second half of a
            generation, ``[G, P]``. If none finished, it is the score before, of the member or of
            the parent that it was copied from; -inf if there is none, or it has diverged.
        parents: the member whose state each member had at the start of a generation, ``[G, P]``;
            its own index if it was not copied.
        state: the last learner states, ``[P, ...]``.
        metrics: of every update, ``[P, U]``, with those that a member did before it was replaced.
    """

    config: TrainConfig
    job: Job
    settings: dict[str, np.ndarray]
    scores: np.ndarray
    parents: np.ndarray
    state: LearnerState
    metrics: Metrics

    @property
    def best(self) -> int:
        """The member with the highest score in the last generation."""
        return int(np.argmax(self.scores[-1]))

    @property
    def best_agent(self) -> AgentState:
        """The last parameters of the best member, and moments if there are any."""
        return jax.tree.map(lambda leaf: leaf[self.best], self.state.agent)

    def config_at(self, generation: int, member: int) -> TrainConfig:
        """The configuration with the settings of a member in a generation."""
        values = {name: float(each[generation, member]) for name, each in self.settings.items()}
        return self.config.with_settings(points.settings_at(self.config.settings, values))


def population(
    config: TrainConfig | None = None,
    *,
    over: Sequence[str],
    size: int = 20,
    generations: int = 10,
    **settings: Any,
) -> Population:
    """Trains a population whose settings evolve (Jaderberg et al. 2017, arXiv:1711.09846).

    Members start from random draws of the settings, as in a sweep with draws. Before every
    generation but the first, the worst fifth are replaced by perturbed copies of the best fifth;
    see :func:`~a2c_jax.experiment.populations.evolution.evolve`. A copy has its parent's parameters
    and optimizer state, whose step count continues a schedule of the learning rate. It keeps its
    own key, environments and unfinished episodes, so that it diverges from its parent.

    ``generations=1`` is random search with the same environment steps: nothing is ever copied. Its
    score covers half of the run, so to compare it with a population, choose the best member of both
    by ``final_returns(result.metrics)``. Evaluate that member on held-out episodes, as in the
    example: the highest of many scores is biased upwards.

    Example:
        >>> import jax, a2c_jax as a2c
        >>> from a2c_jax import experiment
        >>> result = experiment.population(
        ...     over=["learning_rate=1e-4:1e-2:log", "discount=0.9:1"], size=5, generations=2,
        ...     env="CartPole-v1", hidden_sizes=(4,), total_steps=160,
        ... )
        >>> result.scores.shape, result.settings["discount"].shape
        ((2, 5), (2, 5))
        >>> env, agent = result.job.env, result.job.agent
        >>> returns = a2c.evaluate(env, agent, result.best_agent, jax.random.key(9), 3).returns

    Args:
        config: see :func:`a2c_jax.experiment.configure`; by default, ``settings`` make one. The
            members have the seeds ``seed``, ``seed + 1``, …; ``num_seeds`` is ignored.
        over: the settings that evolve, as ``NAME=LOW:HIGH`` or ``NAME=LOW:HIGH:log``.
        size: number of members.
        generations: number of generations, of equally many updates; the remaining steps of
            ``total_steps`` are not run.
        **settings: arguments of :func:`a2c_jax.experiment.configure`, in place of ``config``.

    Raises:
        BadInput: one sentence, if a setting, a range or a number is bad.
    """
    with refusals():
        if config is not None and settings:
            raise ValueError(f"config is given, and so is {next(iter(settings))}; give one.")
        if "num_seeds" in settings:
            raise ValueError("num_seeds is given, but a member is one seed; give size instead.")
        size, generations = _number("size", size, 2), _number("generations", generations, 1)
        config = _shared_config(config or configure(**settings), size, generations)
        ranges, job = _ranges(over), make_job(config)
        # Values are clipped to their range, so it suffices to check both ends.
        ends = {name: np.array([axis.low, axis.high]) for name, axis in ranges.items()}
        points.check_points(config, points.Points(ends, None))
    drawn = points.random_draws(ranges, size, config.seed).values
    first: Any = {name: value.astype(np.float32) for name, value in drawn.items()}
    trained = train_population(config.settings, job.env, ranges, generations, job.keys, first)
    state, (values, scores, parents, metrics) = trained[0], jax.tree.map(np.asarray, trained[1])
    return Population(
        config=config,
        job=job,
        settings={name: values[name] for name in ranges},
        scores=scores,
        parents=parents,
        state=state,
        metrics=jax.tree.map(lambda each: each.swapaxes(0, 1).reshape(size, -1), metrics),
    )


def _number(name: str, value: Any, least: int) -> int:
    if (number := typed(name, value, int)) < least:
        raise ValueError(f"{name} is {number}; give a whole number of at least {least}.")
    return number


def _shared_config(config: TrainConfig, size: int, generations: int) -> TrainConfig:
    """The configuration with a seed for each member and only the steps that are run."""
    settings = config.settings
    if not isinstance(settings, Preset):
        raise ValueError(
            f"preset is {config.preset!r}, an algorithm of its own, which a population cannot "
            "train; give a preset of rollouts, such as general or article_rollouts."
        )
    for name in ("seeds", "init_from"):
        if getattr(config, name) is not None:
            raise ValueError(
                f"{name} is {getattr(config, name)!r}, but the members of a population draw their "
                "parameters, with seeds that count up from seed; leave it out."
            )
    num_updates = presets.num_updates(settings)
    per_update = settings.method.num_rollouts() * settings.num_envs * settings.num_steps
    least = 2 * generations * per_update
    if settings.total_steps < least:
        raise ValueError(
            f"total_steps is {settings.total_steps}, less than two updates of {per_update} steps "
            f"in each of {generations} generations; give at least {least}, or fewer generations."
        )
    whole = num_updates // generations * generations * per_update
    config = config.with_settings(replace(settings, total_steps=whole))
    return dataclasses.replace(config, num_seeds=size)


def _ranges(over: Sequence[str]) -> Ranges:
    ranges = points.parse_axes([over] if isinstance(over, str) else over, draw=True)
    if not ranges:
        raise ValueError("over is empty; name at least one setting that evolves.")
    for name, axis in ranges.items():
        if not isinstance(axis, points.Range):
            raise ValueError(
                f"over gives {name} the values {axis}; give a range to perturb it in, as "
                f"{name}=LOW:HIGH or {name}=LOW:HIGH:log."
            )
    return ranges
