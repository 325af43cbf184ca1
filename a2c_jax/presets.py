"""Named settings and their sources.

Change any of them with ``dataclasses.replace``; :func:`build` makes an algorithm from them.
"""

import dataclasses
import functools
from collections.abc import Sequence

import flax.linen as nn
import optax

from a2c_jax.algorithms.article import AS_PRINTED
from a2c_jax.architectures import Convolutional, Gated
from a2c_jax.building import build as build, make_agent as make_agent, make_network as make_network
from a2c_jax.environments.brax import TASKS
from a2c_jax.environments.minatar import GAMES
from a2c_jax.layers import orthogonal
from a2c_jax.methods import GAE
from a2c_jax.networks import (
    article_network,
    article_q_network,
    mlp_actor_critic,
    mlp_q_actor_critic,
)
from a2c_jax.settings import (
    ArticlePreset as ArticlePreset,
    OwnAlgorithm as OwnAlgorithm,
    Preset as Preset,
    Settings as Settings,
    num_updates as num_updates,
)
from a2c_jax.types import Environment, Network

_rmsprop = functools.partial(optax.rmsprop, decay=0.99, eps=1e-5, eps_in_sqrt=False)

general = Preset(
    total_steps=300_000,
    num_envs=8,
    num_steps=5,
    discount=0.98,
    normalize_advantages=True,
    value_coef=0.5,
    entropy_coef=0.0,
    learning_rate=2e-3,
    final_learning_rate=0.0,
    max_grad_norm=0.5,
    hidden_sizes=(64, 64),
    network=mlp_actor_critic,
    q_network=mlp_q_actor_critic,
    optimizer=_rmsprop,
)
"""A starting point for any environment and for comparing methods; not tuned to any task."""

default = dataclasses.replace(
    general,
    total_steps=150_000,
    num_envs=2,
    num_steps=20,
    discount=0.99,
    value_coef=0.005,
    entropy_coef=0.03,
    learning_rate=3e-3,
    rate_power=4.0,
    observation_scale=(1.0, 1.0, 10.0, 1.0),
    value_scale=10.0,
    optimizer=functools.partial(_rmsprop, decay=0.98),
)
"""Tuned on CartPole-v1, whose pole angle is a tenth as large as its other observations."""


def relu_actor_critic(env: Environment, hidden_sizes: Sequence[int]) -> Network:
    """:func:`a2c_jax.mlp_actor_critic` with rectified linear units."""
    return mlp_actor_critic(env, hidden_sizes, activation=nn.relu)


acrobot = dataclasses.replace(
    general,
    total_steps=500_000,
    num_steps=16,
    discount=0.99,
    value_coef=0.005,
    entropy_coef=0.02,
    value_scale=30.0,
    network=relu_actor_critic,
    method=GAE(0.9),
)
"""Tuned on Acrobot-v1: values are in the tens, which a critic in units of 30 learns in time."""


def decided_actor_critic(
    env: Environment, hidden_sizes: Sequence[int], log_std: float = 0.0
) -> Network:
    """:func:`a2c_jax.mlp_actor_critic` whose initial policies depend clearly on observations."""
    return mlp_actor_critic(env, hidden_sizes, policy_init=orthogonal(1.0), log_std=log_std)


mountain_car = dataclasses.replace(
    general,
    total_steps=1_000_000,
    num_steps=8,
    entropy_coef=0.06,
    learning_rate=5e-3,
    observation_scale=(3.0, 80.0),
    network=decided_actor_critic,
    method=GAE(0.73),
)
"""Tuned on MountainCar-v0, where a nearly uniform policy never reaches the top.

With features of similar size and large initial weights of the policy head, initial policies push in
one direction for long, depending on the velocity, and some of them reach the top.
"""

mountain_car_continuous = dataclasses.replace(
    general,
    total_steps=100_000,
    num_envs=4,
    num_steps=8,
    discount=0.997,
    normalize_advantages=False,
    entropy_coef=0.01,
    learning_rate=6e-3,
    network=functools.partial(decided_actor_critic, log_std=1.2),
    method=GAE(0.95),
    final_entropy_coef=0.0,
    normalize_observations=True,
    normalize_rewards=True,
)
"""Tuned on MountainCarContinuous-v0: most of the initial actions are clipped to the limits.

Their deviation is 3.3, and the limits are -1 and 1. With smaller ones, more seeds never reach the
top, and learn to stand still, which costs nothing.
"""

pendulum = dataclasses.replace(
    general,
    total_steps=1_000_000,
    num_steps=16,
    discount=0.97,
    normalize_advantages=False,
    entropy_coef=5e-5,
    learning_rate=3e-3,
    network=functools.partial(mlp_actor_critic, log_std=1.0),
    method=GAE(0.85),
    normalize_rewards=True,
)
"""Tuned on Pendulum-v1; with narrower initial actions, more seeds never swing up."""

catch = dataclasses.replace(
    general,
    total_steps=100_000,
    num_envs=16,
    num_steps=9,
    entropy_coef=0.1,
    learning_rate=4e-3,
    observation_scale=(3.0,),
    optimizer=functools.partial(optax.adam, eps=1e-5),
)
"""Tuned on Catch-bsuite, where a rollout is an episode and 2 of 50 pixels are not 0."""

chains = dataclasses.replace(
    catch,
    normalize_advantages=False,
    entropy_coef=0.01,
    observation_scale=(),
    architecture=Gated(),
)
"""Tuned on MemoryChain-bsuite, which needs a memory, and DiscountingChain-bsuite."""

minatar = dataclasses.replace(
    general,
    total_steps=5_000_000,
    num_steps=16,
    discount=0.99,
    normalize_advantages=False,
    entropy_coef=0.035,
    learning_rate=3e-3,
    hidden_sizes=(128,),
    optimizer=functools.partial(optax.adam, eps=1e-5),
    method=GAE(0.7),
    architecture=Convolutional(),
    final_entropy_coef=0.0,
)
"""Tuned on minatar/Breakout, and the fall of the entropy bonus on SpaceInvaders and Freeway.

The network is that of Young & Tian (2019). With a smaller bonus at first, some policies collapse
onto one trajectory, which the critic then predicts.
"""

brax = dataclasses.replace(
    pendulum,
    num_envs=16,
    discount=0.99,
    entropy_coef=1e-3,
    network=mlp_actor_critic,
    method=GAE(0.95),
    final_entropy_coef=0.0,
    normalize_observations=True,
)
"""A starting point for brax; it solves inverted_pendulum, and makes 1800 in hopper in 1M steps."""

stable_baselines3 = dataclasses.replace(
    general,
    total_steps=500_000,
    discount=0.99,
    normalize_advantages=False,
    learning_rate=7e-4,
    final_learning_rate=7e-4,
)
"""The exact defaults of A2C in Stable-Baselines3 2.x, with 8 environments.

RMSprop with its epsilon outside the square root, as in PyTorch; orthogonal initialisation with
gain sqrt 2 (0.01 on the policy head, 1 on the value head); no entropy bonus.
"""

article_rollouts = Preset(
    total_steps=512_000,
    num_envs=8,
    num_steps=16,
    discount=0.99,
    normalize_advantages=False,
    value_coef=0.5,
    entropy_coef=0.001,
    learning_rate=3e-4,
    final_learning_rate=3e-4,
    max_grad_norm=float("inf"),
    hidden_sizes=(256,),
    network=article_network,
    q_network=article_q_network,
    optimizer=optax.adam,
)
"""The article's network and hyperparameters, on rollouts of fixed length: it learns slowly."""

article = ArticlePreset()
"""The article's run, corrected: 3000 episodes, for CartPole-v1 with a limit of 200 steps."""

article_as_printed = ArticlePreset(defects=AS_PRINTED)
"""The article's run with all defects of the printed code."""

PRESETS: dict[str, Preset | ArticlePreset] = {
    "default": default,
    "general": general,
    "acrobot": acrobot,
    "mountain_car": mountain_car,
    "mountain_car_continuous": mountain_car_continuous,
    "pendulum": pendulum,
    "catch": catch,
    "chains": chains,
    "minatar": minatar,
    "brax": brax,
    "stable_baselines3": stable_baselines3,
    "article": article,
    "article_as_printed": article_as_printed,
    "article_rollouts": article_rollouts,
}
"""The presets by name."""

FOUND_ON: dict[str, tuple[str, ...]] = {
    "default": ("CartPole-v1",),
    "acrobot": ("Acrobot-v1",),
    "mountain_car": ("MountainCar-v0",),
    "mountain_car_continuous": ("MountainCarContinuous-v0",),
    "pendulum": ("Pendulum-v1",),
    "catch": ("Catch-bsuite",),
    "chains": ("MemoryChain-bsuite", "DiscountingChain-bsuite"),
    "minatar": (*(f"minatar/{game}" for game in GAMES), *(f"{game}-MinAtar" for game in GAMES)),
    "brax": tuple(f"brax/{task}" for task in TASKS),
}
"""The environments whose default each preset is; the first of them was used most to choose it."""
