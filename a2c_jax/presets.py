"""Named settings and their sources: values of :class:`Settings`.

Change any of them with ``dataclasses.replace``; :func:`build` makes an algorithm from them.
"""

import dataclasses
from typing import Any

from a2c_jax.algorithms.article import AS_PRINTED
from a2c_jax.environments.brax import TASKS
from a2c_jax.environments.minatar import GAMES
from a2c_jax.settings import (
    METHODS as METHODS,
    Settings as Settings,
    build as build,
    make_agent as make_agent,
    make_network as make_network,
    num_updates as num_updates,
)

general = Settings(
    total_steps=300_000,
    num_envs=8,
    num_steps=5,
    discount=0.98,
    normalize_advantages=True,
    learning_rate=2e-3,
    hidden_sizes=(64, 64),
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
    optimizer_decay=0.98,
)
"""Tuned on CartPole-v1, whose pole angle is a tenth as large as its other observations."""

acrobot = dataclasses.replace(
    general,
    total_steps=500_000,
    num_steps=16,
    discount=0.99,
    value_coef=0.005,
    entropy_coef=0.02,
    value_scale=30.0,
    activation="relu",
    method="gae",
    gae_lambda=0.9,
)
"""Tuned on Acrobot-v1: values are in the tens, which a critic in units of 30 learns in time."""

mountain_car = dataclasses.replace(
    general,
    total_steps=1_000_000,
    num_steps=8,
    entropy_coef=0.06,
    learning_rate=5e-3,
    observation_scale=(3.0, 80.0),
    policy_init=1.0,
    method="gae",
    gae_lambda=0.73,
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
    policy_init=1.0,
    log_std=1.2,
    method="gae",
    gae_lambda=0.95,
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
    log_std=1.0,
    method="gae",
    gae_lambda=0.85,
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
    optimizer="adam",
)
"""Tuned on Catch-bsuite, where a rollout is an episode and 2 of 50 pixels are not 0."""

chains = dataclasses.replace(
    catch,
    normalize_advantages=False,
    entropy_coef=0.01,
    observation_scale=(),
    network="gru",
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
    optimizer="adam",
    method="gae",
    gae_lambda=0.7,
    network="conv",
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
    log_std=0.0,
    method="gae",
    gae_lambda=0.95,
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

_ARTICLE = Settings(
    discount=0.99,
    value_coef=0.5,
    entropy_coef=0.001,
    learning_rate=3e-4,
    optimizer="adam",
    optimizer_eps=1e-8,
    hidden_sizes=(256,),
    activation="relu",
    layer_init="uniform",
)

article_rollouts = dataclasses.replace(
    _ARTICLE,
    total_steps=512_000,
    num_steps=16,
    final_learning_rate=3e-4,
    max_grad_norm=float("inf"),
)
"""The article's network and hyperparameters, on rollouts of fixed length: it learns slowly."""

article = dataclasses.replace(_ARTICLE, method="article")
"""The article's run, corrected: 3000 episodes, for CartPole-v1 with a limit of 200 steps."""

article_as_printed = dataclasses.replace(article, **AS_PRINTED._asdict())
"""The article's run with all defects of the printed code."""

PRESETS: dict[str, Settings] = {
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

DEFAULT_FOR: dict[str, tuple[str, ...]] = {
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

_NO_BASELINE = {"normalize_advantages": False}  # subtracting the mean is a baseline

# These methods do not complete a return with a value where the rollout ends. If rollouts are as
# long as an episode, most returns are complete.
_LONG_ROLLOUTS = {"num_envs": 2, "num_steps": 500}

OVERRIDES: dict[str, dict[str, Any]] = {
    "reinforce": {**_LONG_ROLLOUTS, **_NO_BASELINE},
    "reinforce-with-baseline": _LONG_ROLLOUTS,
    "q-actor-critic": {
        "num_steps": 16,
        "learning_rate": 5e-3,
        "final_learning_rate": 0.0,
        **_NO_BASELINE,
        # Q is near 1 / (1 - discount) for every action: with a smaller entropy bonus, the policy
        # becomes deterministic before the critic ranks actions.
        "entropy_coef": 1.0,
        "final_entropy_coef": None,
    },
    "conv": {"hidden_sizes": (128,)},
    "gru": {"hidden_sizes": (64,)},
}
"""Settings that suit a method on CartPole-v1, or a kind of network; they replace a preset's."""


def with_choices(
    settings: Settings, method: str | None = None, network: str | None = None
) -> Settings:
    """The settings with another method or kind of network, and with the settings that suit it.

    Raises:
        ValueError: if there is none of that name.
    """
    for field, name in (("method", method), ("network", network)):
        if name is not None:
            changes: dict[str, Any] = {field: name, **OVERRIDES.get(name, {})}
            settings = dataclasses.replace(settings, **changes)
    return settings
