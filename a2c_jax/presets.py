"""Named settings, and where they come from.

A preset is a frozen record of numbers, with the two functions that make its network and its
optimizer. Change any of it with ``dataclasses.replace``; turn it into an algorithm with
:func:`build`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import optax

from a2c_jax import checks
from a2c_jax.actor_critic import actor_critic
from a2c_jax.advantages import gae
from a2c_jax.networks import article_network, mlp_actor_critic
from a2c_jax.types import Algorithm, Environment, Network

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
        gae_lambda: of the lambda-returns, from 0 (TD) to 1 (n-step).
        normalize_advantages: shift and scale advantages over each rollout.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        learning_rate: at the first update.
        final_learning_rate: just after the last update; the rate changes linearly.
        max_grad_norm: gradients are scaled down to this global norm; infinity leaves them.
        hidden_sizes: units of each hidden layer, in both networks.
        network: makes the network, ``network(env, hidden_sizes)``.
        optimizer: makes the optimizer, ``optimizer(rate)``.
    """

    total_steps: int
    num_envs: int
    num_steps: int
    discount: float
    gae_lambda: float
    normalize_advantages: bool
    value_coef: float
    entropy_coef: float
    learning_rate: float
    final_learning_rate: float
    max_grad_norm: float
    hidden_sizes: tuple[int, ...]
    network: Callable[[Environment, Sequence[int]], Network]
    optimizer: OptimizerMaker


_rmsprop = functools.partial(optax.rmsprop, decay=0.99, eps=1e-5, eps_in_sqrt=False)

default = Preset(
    total_steps=300_000,
    num_envs=8,
    num_steps=5,
    discount=0.98,
    gae_lambda=1.0,
    normalize_advantages=True,
    value_coef=0.5,
    entropy_coef=0.0,
    learning_rate=2e-3,
    final_learning_rate=0.0,
    max_grad_norm=0.5,
    hidden_sizes=(64, 64),
    network=mlp_actor_critic,
    optimizer=_rmsprop,
)
"""Found by experiment on CartPole-v1: every one of 64 seeds solves it and stays there."""

stable_baselines3 = dataclasses.replace(
    default,
    total_steps=500_000,
    discount=0.99,
    normalize_advantages=False,
    learning_rate=7e-4,
    final_learning_rate=7e-4,
)
"""The defaults of A2C in Stable-Baselines3 2.x with 8 environments, one to one.

RMSprop with its epsilon outside the root, as PyTorch has it; orthogonal initialisation with
gain sqrt 2 (0.01 on the policy head, 1 on the value head); no entropy bonus.
"""

article = Preset(
    total_steps=512_000,
    num_envs=8,
    num_steps=16,
    discount=0.99,
    gae_lambda=1.0,
    normalize_advantages=False,
    value_coef=0.5,
    entropy_coef=0.001,
    learning_rate=3e-4,
    final_learning_rate=3e-4,
    max_grad_norm=float("inf"),
    hidden_sizes=(256,),
    network=article_network,
    optimizer=optax.adam,
)
"""The article's network and hyperparameters, on rollouts of fixed length.

They learn slowly: few seeds solve CartPole-v1 in this many steps.
"""

PRESETS = {"default": default, "stable_baselines3": stable_baselines3, "article": article}
"""The presets by name."""


def num_updates(preset: Preset) -> int:
    """Whole updates that fit into ``total_steps``; what is left over is not run.

    Raises:
        ValueError: if not even one fits, or a number is below 1.
    """
    total_steps = checks.positive_int("total_steps", preset.total_steps)
    per_update = checks.positive_int("num_envs", preset.num_envs) * checks.positive_int(
        "num_steps", preset.num_steps
    )
    if total_steps < per_update:
        raise ValueError(
            f"total_steps is {total_steps}, less than the {per_update} (num_envs * num_steps) "
            "of a single update; give at least that many."
        )
    return total_steps // per_update


def build(preset: Preset, env: Environment) -> Algorithm:
    """Makes the algorithm of a preset for an environment.

    Numbers that are traced (a rate, the discount, a coefficient) stay traced, so this can
    be called inside ``vmap`` to sweep over them.

    Args:
        preset: the settings.
        env: the environment.

    Returns:
        :func:`a2c_jax.actor_critic` with :func:`a2c_jax.gae`, gradients clipped by global
        norm, the rate linear over :func:`num_updates` updates.

    Raises:
        ValueError: if a setting lies outside its range.
    """
    updates = num_updates(preset)
    checks.positive("learning_rate", preset.learning_rate)
    checks.not_negative("final_learning_rate", preset.final_learning_rate)
    checks.unit_interval("gae_lambda", preset.gae_lambda)
    rate = optax.linear_schedule(preset.learning_rate, preset.final_learning_rate, updates)
    return actor_critic(
        env,
        preset.network(env, preset.hidden_sizes),
        optax.chain(_clip(preset.max_grad_norm), preset.optimizer(rate)),
        num_envs=preset.num_envs,
        num_steps=preset.num_steps,
        discount=preset.discount,
        estimator=gae(preset.gae_lambda),
        value_coef=preset.value_coef,
        entropy_coef=preset.entropy_coef,
        normalize_advantages=preset.normalize_advantages,
    )


def _clip(max_grad_norm: float) -> optax.GradientTransformation:
    if checks.is_known(max_grad_norm) and max_grad_norm == float("inf"):
        return optax.identity()
    if checks.is_known(max_grad_norm) and not max_grad_norm > 0:
        raise ValueError(
            f"max_grad_norm is {max_grad_norm}; give a number above 0, or inf not to clip."
        )
    return optax.clip_by_global_norm(max_grad_norm)
