"""Settings of a run as frozen dataclasses."""

import dataclasses
from collections.abc import Callable, Sequence

import optax

from a2c_jax import checks
from a2c_jax.agents import AnyNetwork
from a2c_jax.algorithms.article import CORRECTED, Defects
from a2c_jax.architectures import Architecture
from a2c_jax.methods import A2C, Method
from a2c_jax.types import Algorithm, Environment, Network

OptimizerMaker = Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings of one training run.

    Fields of type float may also be traced scalars; see :func:`a2c_jax.presets.build`.

    Attributes:
        total_steps: environment steps of each seed.
        num_envs: environments that a seed steps in parallel.
        num_steps: steps of each environment between two updates.
        discount: discount factor of future rewards, from 0 to 1.
        normalize_advantages: shift and scale the advantages of each rollout.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy at the first update.
        learning_rate: learning rate at the first update.
        final_learning_rate: learning rate just after the last update.
        rate_power: shape of the decay: the fraction ``(1 - progress) ** rate_power`` of the
            difference between the two rates is left. 1 is linear; more falls faster at first.
        max_grad_norm: limit of the global norm of gradients; infinity disables clipping.
        hidden_sizes: units of each hidden layer, in both networks.
        network: makes the network, ``network(env, hidden_sizes)``.
        q_network: makes the network for Q actor-critic, whose critic values each action.
        optimizer: makes the optimizer, ``optimizer(rate)``.
        observation_scale: factors of an observation's features; one number applies to all
            features, and an empty list disables scaling.
        value_scale: unit of values: the critic's layers output values divided by it. Divide
            ``value_coef`` by its square.
        method: the method, with its own settings.
        architecture: the kind of network, with its own settings.
        num_resets: starting states drawn for a rollout, from which its new episodes start; by
            default one for every step. Fewer are faster where a reset is expensive.
        final_entropy_coef: weight of the entropy just after the last update, to which it changes
            linearly; None keeps it constant.
        normalize_observations: shift and scale observations to a mean of 0 and a variance of 1,
            in place of observation_scale.
        normalize_rewards: learn from rewards divided by the deviation of the discounted return, in
            place of value_scale; value_coef is then multiplied by its square.
    """

    total_steps: int
    num_envs: int
    num_steps: int
    discount: float
    normalize_advantages: bool
    value_coef: float
    entropy_coef: float
    learning_rate: float
    final_learning_rate: float
    max_grad_norm: float
    hidden_sizes: tuple[int, ...]
    network: Callable[[Environment, Sequence[int]], Network]
    q_network: Callable[[Environment, Sequence[int]], Network]
    optimizer: OptimizerMaker
    rate_power: float = 1.0
    observation_scale: tuple[float, ...] = ()
    value_scale: float = 1.0
    method: Method = dataclasses.field(default_factory=A2C)
    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    num_resets: int | None = None
    final_entropy_coef: float | None = None
    normalize_observations: bool = False
    normalize_rewards: bool = False


@dataclasses.dataclass(frozen=True)
class ArticlePreset:
    """Settings of the article's own loop; see :func:`a2c_jax.article`.

    Attributes:
        num_episodes: episodes of each seed, with one update after each.
        discount: discount factor of future rewards, from 0 to 1.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        learning_rate: learning rate of Adam.
        hidden_sizes: units of each hidden layer, in both networks.
        defects: defects of the printed code to reproduce.
    """

    num_episodes: int = 3_000
    discount: float = 0.99
    value_coef: float = 0.5
    entropy_coef: float = 0.001
    learning_rate: float = 3e-4
    hidden_sizes: tuple[int, ...] = (256,)
    defects: Defects = CORRECTED


@dataclasses.dataclass(frozen=True)
class OwnAlgorithm:
    """An algorithm of one's own in place of a preset.

    Attributes:
        total_steps: environment steps of each seed, or its upper bound where updates are episodes.
        algorithm: the algorithm; its states have the fields ``agent`` and ``params``, as those of
            :class:`a2c_jax.LearnerState`, and its metrics are :class:`a2c_jax.Metrics`.
        network: the network or agent that it trains.
    """

    total_steps: int
    algorithm: Algorithm
    network: AnyNetwork


Settings = Preset | ArticlePreset | OwnAlgorithm


def num_updates(preset: Settings) -> int:
    """The number of whole updates in ``total_steps``; a remainder of steps is not run.

    An update of A3C is a round, in which each worker takes one optimizer step. An update of the
    article's loop is an episode.

    Raises:
        ValueError: if no update fits, or a number is below 1.
    """
    if isinstance(preset, ArticlePreset):
        return checks.positive_int("num_episodes", preset.num_episodes)
    total_steps = checks.positive_int("total_steps", preset.total_steps)
    steps = _steps_per_update(preset)
    if total_steps < steps:
        raise ValueError(
            f"total_steps is {total_steps}, less than the {steps} of a single update; give at "
            "least that many."
        )
    return total_steps // steps


def _steps_per_update(preset: Preset | OwnAlgorithm) -> int:
    if isinstance(preset, OwnAlgorithm):
        return preset.algorithm.steps_per_update
    num_envs = checks.positive_int("num_envs", preset.num_envs)
    num_steps = checks.positive_int("num_steps", preset.num_steps)
    return preset.method.num_rollouts() * num_envs * num_steps
