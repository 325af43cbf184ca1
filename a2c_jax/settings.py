"""Settings of a run as frozen records of numbers, and the algorithms they make."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import optax

from a2c_jax import checks
from a2c_jax.article import CORRECTED, Defects, article
from a2c_jax.methods import METHODS, Method
from a2c_jax.networks import article_network, scaled
from a2c_jax.types import Algorithm, Environment, Network, QNetwork

OptimizerMaker = Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings of one training run.

    The numbers of type float may be traced scalars too; see :func:`build`.

    Attributes:
        total_steps: environment steps of each seed.
        num_envs: environments that a seed steps in parallel.
        num_steps: steps of each environment between two updates.
        discount: of future rewards, from 0 to 1.
        normalize_advantages: shift and scale advantages over each rollout.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        learning_rate: at the first update.
        final_learning_rate: just after the last update.
        rate_power: how the rate goes from one to the other: ``(1 - progress) ** rate_power`` of
            the way is left, so 1 is a straight line and more falls early and ends gently.
        max_grad_norm: gradients are scaled down to this global norm; infinity leaves them.
        hidden_sizes: units of each hidden layer, in both networks.
        network: makes the network, ``network(env, hidden_sizes)``.
        q_network: and the one with a critic of actions, for Q actor-critic.
        optimizer: makes the optimizer, ``optimizer(rate)``.
        observation_scale: what the networks multiply each feature of an observation by; one
            number is for all features, none leaves them.
        value_scale: what a value is in units of; with it ``value_coef`` is of its square.
        method: the parts that make the algorithm.
        gae_lambda: of gae, from 0 (TD) to 1 (n-step).
        expected: of q-actor-critic, bootstrap from the expectation over actions.
        num_workers: of a3c, each with its own ``num_envs``.
        random_order: of a3c, the gradients arrive in an order drawn anew each round.
        shared_statistics: of a3c, one state of the optimizer for all workers.
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
    q_network: Callable[[Environment, Sequence[int]], QNetwork]
    optimizer: OptimizerMaker
    rate_power: float = 1.0
    observation_scale: tuple[float, ...] = ()
    value_scale: float = 1.0
    method: Method = METHODS["a2c"]
    gae_lambda: float = 0.95
    expected: bool = False
    num_workers: int = 4
    random_order: bool = False
    shared_statistics: bool = True


@dataclasses.dataclass(frozen=True)
class ArticlePreset:
    """Settings of the article's own loop; see :func:`a2c_jax.article`.

    Attributes:
        num_episodes: episodes of each seed, with one update after each.
        discount: of future rewards, from 0 to 1.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        learning_rate: of Adam.
        hidden_sizes: units of each hidden layer, in both networks.
        defects: what to leave uncorrected.
    """

    num_episodes: int = 3_000
    discount: float = 0.99
    value_coef: float = 0.5
    entropy_coef: float = 0.001
    learning_rate: float = 3e-4
    hidden_sizes: tuple[int, ...] = (256,)
    defects: Defects = CORRECTED


def num_updates(preset: Preset | ArticlePreset) -> int:
    """Whole updates that fit into ``total_steps``; what is left over is not run.

    An update of a3c is a round, in which each of its workers takes a step of the optimizer; one
    of the article's loop is an episode.

    Raises:
        ValueError: if not even one fits, or a number is below 1.
    """
    if isinstance(preset, ArticlePreset):
        return checks.positive_int("num_episodes", preset.num_episodes)
    total_steps = checks.positive_int("total_steps", preset.total_steps)
    factors = [checks.positive_int(name, getattr(preset, name)) for name in _batch_settings(preset)]
    if total_steps < math.prod(factors):
        raise ValueError(
            f"total_steps is {total_steps}, less than the {math.prod(factors)} "
            f"({' * '.join(_batch_settings(preset))}) of a single update; give at least that many."
        )
    return total_steps // math.prod(factors)


def build(preset: Preset | ArticlePreset, env: Environment) -> Algorithm:
    """Makes the algorithm of a preset for an environment.

    Numbers that are traced (a rate, the discount, a coefficient) stay traced, so this can
    be called inside ``vmap`` to sweep over them.

    Args:
        preset: the settings.
        env: the environment.

    Returns:
        The preset's method, gradients clipped by global norm, the rate a power of what is left of
        the steps that the optimizer takes in :func:`num_updates` updates; or the article's loop.

    Raises:
        ValueError: if a setting lies outside its range.
    """
    if isinstance(preset, ArticlePreset):
        return _build_article(preset, env)
    checks.positive("learning_rate", preset.learning_rate)
    checks.not_negative("final_learning_rate", preset.final_learning_rate)
    if "gae_lambda" in preset.method.uses:
        checks.unit_interval("gae_lambda", preset.gae_lambda)
    checks.positive("rate_power", preset.rate_power)
    rate = optax.polynomial_schedule(
        preset.learning_rate,
        preset.final_learning_rate,
        preset.rate_power,
        _optimizer_steps(preset),
    )
    method = preset.method
    parts: dict[str, Any] = {
        name: getattr(preset, name) for name in method.uses if name != "gae_lambda"
    }
    if method.estimator:
        parts["estimator"] = method.estimator(preset.gae_lambda)
    return method.algorithm(
        env,
        make_network(preset, env),
        optax.chain(_clip(preset.max_grad_norm), preset.optimizer(rate)),
        num_envs=preset.num_envs,
        num_steps=preset.num_steps,
        discount=preset.discount,
        value_coef=preset.value_coef,
        entropy_coef=preset.entropy_coef,
        normalize_advantages=preset.normalize_advantages,
        **parts,
    )


def make_network(preset: Preset | ArticlePreset, env: Environment) -> Network | QNetwork:
    """Makes the network that :func:`build` trains; a QNetwork where the critic is of actions."""
    if isinstance(preset, ArticlePreset):
        return article_network(env, preset.hidden_sizes)
    make: Any = preset.network if preset.method.estimator else preset.q_network
    return scaled(
        make(env, preset.hidden_sizes),
        env,
        observation_scale=preset.observation_scale,
        value_scale=preset.value_scale,
    )


def _build_article(preset: ArticlePreset, env: Environment) -> Algorithm:
    checks.positive("learning_rate", preset.learning_rate)
    return article(
        env,
        article_network(env, preset.hidden_sizes),
        optax.adam(preset.learning_rate),
        discount=preset.discount,
        value_coef=preset.value_coef,
        entropy_coef=preset.entropy_coef,
        defects=preset.defects,
    )


def _batch_settings(preset: Preset) -> list[str]:
    """The settings whose product is the environment steps of an update."""
    workers = ["num_workers"] if "num_workers" in preset.method.uses else []
    return [*workers, "num_envs", "num_steps"]


def _optimizer_steps(preset: Preset) -> int:
    each_round = preset.num_workers if preset.shared_statistics else 1
    return num_updates(preset) * (each_round if "num_workers" in preset.method.uses else 1)


def _clip(max_grad_norm: float) -> optax.GradientTransformation:
    if checks.is_known(max_grad_norm) and max_grad_norm == float("inf"):
        return optax.identity()
    if checks.is_known(max_grad_norm) and not max_grad_norm > 0:
        raise ValueError(
            f"max_grad_norm is {max_grad_norm}; give a number above 0, or inf not to clip."
        )
    return optax.clip_by_global_norm(max_grad_norm)
