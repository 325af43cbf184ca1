"""Makes algorithms, networks and agents from settings."""

from typing import Any

import optax

from a2c_jax import checks
from a2c_jax.advantages import normalized_advantages
from a2c_jax.agents import as_agent
from a2c_jax.algorithms.article import article
from a2c_jax.architectures import Architecture, architecture_name
from a2c_jax.masking import is_masked, masked, unmasked
from a2c_jax.networks import article_network, scaled
from a2c_jax.normalization import normalized, scaled_rewards
from a2c_jax.settings import ArticlePreset, OwnAlgorithm, Preset, Settings, num_updates
from a2c_jax.types import Agent, Algorithm, Environment, Network, RecurrentNetwork, Scalar


def build(preset: Settings, env: Environment) -> Algorithm:
    """Makes the algorithm of a preset for an environment.

    Gradients are clipped by global norm, and the learning rate decays over the steps that the
    optimizer takes in :func:`num_updates` updates, over which the entropy coefficient changes
    linearly if it has a final one. An :class:`ArticlePreset` makes the article's
    loop. Numbers that are traced (a rate, the discount, a coefficient) stay traced, so this can
    be called inside ``vmap`` to sweep over them.

    Raises:
        ValueError: if a setting lies outside its range.
    """
    if isinstance(preset, OwnAlgorithm):
        return preset.algorithm
    if isinstance(preset, ArticlePreset):
        return _build_article(preset, env)
    checks.positive("learning_rate", preset.learning_rate)
    checks.not_negative("final_learning_rate", preset.final_learning_rate)
    checks.positive("rate_power", preset.rate_power)
    rate = optax.polynomial_schedule(
        preset.learning_rate,
        preset.final_learning_rate,
        preset.rate_power,
        num_updates(preset) * preset.method.optimizer_steps(),
    )
    estimator = preset.method.estimator()
    if preset.normalize_advantages:
        if preset.num_envs * preset.num_steps == 1:
            raise ValueError(
                "normalize_advantages is True, but num_envs * num_steps is 1 and a single "
                "advantage would always become 0; give more steps, or False."
            )
        estimator = normalized_advantages(estimator)
    return preset.method.algorithm(
        env,
        make_agent(preset, env, training=True),
        optax.chain(_clip(preset.max_grad_norm), preset.optimizer(rate)),
        num_envs=preset.num_envs,
        num_steps=preset.num_steps,
        discount=preset.discount,
        estimator=estimator,
        value_coef=preset.value_coef * _value_scale(preset, replaced=True) ** 2,
        entropy_coef=_entropy_coef(preset),
        num_resets=preset.num_resets,
    )


def _entropy_coef(preset: Preset) -> Scalar | optax.Schedule:
    first, last = preset.entropy_coef, preset.final_entropy_coef
    if last is None:
        return first
    checks.not_negative("entropy_coef", first)
    checks.not_negative("final_entropy_coef", last)
    return optax.linear_schedule(first, last, num_updates(preset))


def make_network(preset: Preset | ArticlePreset, env: Environment) -> Network | RecurrentNetwork:
    """Makes the network that :func:`build` trains; it heeds the environment's action masks.

    Raises:
        ValueError: if the method needs a critic of actions, and the architecture has none.
    """
    inner = unmasked(env)
    if isinstance(preset, ArticlePreset):
        network: Any = article_network(inner, preset.hidden_sizes)
    else:
        _check_critic(preset)
        make = preset.q_network if preset.method.values_actions else preset.network
        made: Any = preset.architecture.network(inner, preset.hidden_sizes, make)
        factors = () if preset.normalize_observations else preset.observation_scale
        unit = _value_scale(preset, replaced=False)
        network = scaled(made, inner, observation_scale=factors, value_scale=unit)
    return masked(network, env) if is_masked(env) else network


def _value_scale(preset: Preset, *, replaced: bool) -> Any:
    """The unit of values, which scaled rewards replace; or what they replaced, otherwise 1."""
    return preset.value_scale if preset.normalize_rewards == replaced else 1.0


def make_agent(preset: Settings, env: Environment, *, training: bool = False) -> Agent:
    """Makes the agent that :func:`build` trains, by default to evaluate or record its policy.

    Its state is the ``agent`` of a :class:`a2c_jax.LearnerState`.
    """
    if isinstance(preset, OwnAlgorithm):
        return as_agent(env, preset.network)
    network = make_network(preset, env)
    if isinstance(preset, ArticlePreset):
        return as_agent(env, network)
    num_envs = preset.method.num_rollouts() * preset.num_envs
    agent = preset.method.agent(env, network, num_envs, training=training)
    if preset.normalize_observations:
        agent = normalized(agent, env)
    if preset.normalize_rewards:
        agent = scaled_rewards(agent, num_envs, preset.discount)
    return agent


def _check_critic(preset: Preset) -> None:
    if preset.method.values_actions and type(preset.architecture) is not Architecture:
        name = architecture_name(preset.architecture)
        raise ValueError(
            f"algorithm is q-actor-critic, whose critic values actions, but network {name} has a "
            "critic of states; give network mlp, or another algorithm."
        )


def _build_article(preset: ArticlePreset, env: Environment) -> Algorithm:
    checks.positive("learning_rate", preset.learning_rate)
    return article(
        env,
        make_agent(preset, env),
        optax.adam(preset.learning_rate),
        discount=preset.discount,
        value_coef=preset.value_coef,
        entropy_coef=preset.entropy_coef,
        defects=preset.defects,
    )


def _clip(max_grad_norm: float) -> optax.GradientTransformation:
    if checks.is_known(max_grad_norm) and max_grad_norm == float("inf"):
        return optax.identity()
    if checks.is_known(max_grad_norm) and not max_grad_norm > 0:
        raise ValueError(
            f"max_grad_norm is {max_grad_norm}; give a number above 0, or inf to disable clipping."
        )
    return optax.clip_by_global_norm(max_grad_norm)
