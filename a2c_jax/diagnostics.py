"""Variance of each method's policy gradient at the same parameters.

The methods differ only in the weights of ∇log π. :func:`policy_gradients` computes one gradient
per episode for each method, from the same episodes. :func:`gradient_noise` returns the variance of
a method's gradients, and its ratio to that of a reference.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from a2c_jax import checks
from a2c_jax.agents import AnyNetwork, as_agent, as_state
from a2c_jax.algorithms.q_actor_critic import of_action
from a2c_jax.collectors import episodes
from a2c_jax.losses import estimate
from a2c_jax.types import (
    AgentState,
    Environment,
    Estimator,
    Key,
    Network,
    Params,
    Rollout,
    Scalar,
)

Weights = Callable[[Rollout], jax.Array]
"""The weights of ∇log π at each row of an episode: ``rollout [T, 1, ...] -> [T, 1]``."""

_EPISODES_AT_ONCE = 16  # more do not fit into a CPU's cache


class GradientNoise(NamedTuple):
    """Variance of the gradients of single episodes; each field is a scalar.

    Attributes:
        total_variance: the trace of their covariance.
        standard_error: of ``total_variance``.
        ratio: ``total_variance`` over that of the reference.
        ratio_standard_error: of ``ratio``; it takes into account that the episodes are the same.
    """

    total_variance: jax.Array
    standard_error: jax.Array
    ratio: jax.Array
    ratio_standard_error: jax.Array


def state_value_weights(
    env: Environment,
    network: AnyNetwork,
    params: Params | AgentState,
    estimator: Estimator,
    discount: Scalar,
    num_steps: int | None = None,
) -> Weights:
    """The advantages of an estimator with the network's critic, as weights.

    Args:
        env: the environment.
        network: gives the values.
        params: its parameters.
        estimator: see :mod:`a2c_jax.advantages`.
        discount: in [0, 1].
        num_steps: length of the rollouts into which the episode is cut; the estimator bootstraps
            at the end of each. By default the episode is not cut.

    Raises:
        ValueError: if a number lies outside its range.
    """
    agent, state = as_agent(env, network), as_state(network, params)
    checks.unit_interval("discount", discount)
    if num_steps is not None:
        num_steps = checks.positive_int("num_steps", num_steps)

    def weights(rollout: Rollout) -> jax.Array:
        transitions = rollout.transitions
        if num_steps is not None:
            # The estimator bootstraps at a cut, as at a time limit.
            rows = jnp.arange(transitions.reward.shape[0])
            cut = transitions.truncated | ((rows + 1) % num_steps == 0)[:, None]
            transitions = transitions._replace(truncated=cut)
        unrolled = agent.unroll(state, rollout._replace(transitions=transitions))
        return estimate(unrolled, transitions, discount, estimator).advantages

    return weights


def action_value_weights(network: Network, params: Params) -> Weights:
    """Q(s, a) of the network's critic, as weights: the article's Q actor-critic."""

    def weights(rollout: Rollout) -> jax.Array:
        transitions = rollout.transitions
        return of_action(network.value(params, transitions.obs), transitions.action)

    return weights


def policy_gradients(
    key: Key,
    env: Environment,
    network: AnyNetwork,
    params: Params | AgentState,
    weights: Mapping[str, Weights],
    num_episodes: int,
) -> dict[str, jax.Array]:
    """Independent samples of each method's policy gradient, from the same whole episodes.

    ``g = Σₜ ∇log π(aₜ|sₜ) wₜ`` over a whole episode. As in the article and in practice, there is
    no factor γᵗ. So for a discount below 1, the mean of g is not the gradient of the discounted
    return but the usual direction, which weighs every visited state equally.

    Args:
        key: one key for all episodes.
        env: the environment.
        network: the network whose policy acts and is differentiated, or an agent.
        params: the network's parameters, or the agent's state.
        weights: by name; see :func:`state_value_weights` and :func:`action_value_weights`.
        num_episodes: R.

    Returns:
        By name, one gradient per episode, flattened: ``[R, P]``.

    Raises:
        ValueError: if ``num_episodes`` is not a whole number of at least 2.

    Source: the article, "Preliminaries".
    """
    if checks.positive_int("num_episodes", num_episodes) == 1:
        raise ValueError("num_episodes is 1; give at least 2, since one has no variance.")

    agent, state = as_agent(env, network), as_state(network, params)

    def of_episode(key: Key) -> dict[str, jax.Array]:
        _, rollout = episodes(env, agent).collect(key, state, ())

        def gradient(weigh: Weights) -> jax.Array:
            def score(params: Params) -> jax.Array:
                log_probs = agent.unroll(state._replace(params=params), rollout).log_probs
                return jnp.sum(log_probs * weigh(rollout), where=rollout.where)

            return ravel_pytree(jax.grad(score)(state.params))[0]

        return {name: gradient(weigh) for name, weigh in weights.items()}

    keys = jax.random.split(key, num_episodes)
    return jax.lax.map(of_episode, keys, batch_size=min(_EPISODES_AT_ONCE, num_episodes))


def gradient_noise(gradients: jax.Array, reference: jax.Array) -> GradientNoise:
    """The total variance of gradients, and its ratio to that of a reference.

    With ``aᵣ = ‖gᵣ - mean g‖² R / (R - 1)`` the total variance is ``mean a`` and its standard
    error ``std a / sqrt R``; with bᵣ of the reference the ratio is ``ρ = mean a / mean b`` and
    its standard error ``std(a - ρ b) / (sqrt R mean b)``.

    Args:
        gradients: ``[R, P]``.
        reference: of the same episodes, ``[R, P]``.

    Raises:
        ValueError: if the shapes disagree, or there are fewer than two samples. With two, the
            standard errors are zero; give many.
    """
    gradients, reference = checks.same_shape("gradients", gradients, reference=reference)
    root = jnp.sqrt(gradients.shape[0])
    ours, theirs = _square_deviations(gradients), _square_deviations(reference)
    ratio = jnp.mean(ours) / jnp.mean(theirs)
    return GradientNoise(
        total_variance=jnp.mean(ours),
        standard_error=jnp.std(ours, ddof=1) / root,
        ratio=ratio,
        ratio_standard_error=jnp.std(ours - ratio * theirs, ddof=1) / (root * jnp.mean(theirs)),
    )


def total_variance(samples: jax.Array) -> jax.Array:
    """The sample variance of vectors: the trace of their covariance, ``Σₚ Var(gₚ)``.

    Example:
        The article's three trajectories, with their rewards and with 1001 subtracted. (The
        article prints the products as 0.5 × 1, 0.2 × 0, 0.3 × 1; 0.1633 requires -1, 0, 1.)

        >>> import jax.numpy as jnp
        >>> log_gradients = jnp.array([0.5, 0.2, 0.3])
        >>> rewards = jnp.array([1000.0, 1001.0, 1002.0])
        >>> round(float(total_variance((log_gradients * rewards)[:, None])), 1)
        23286.8
        >>> round(float(total_variance((log_gradients * (rewards - 1001.0))[:, None])), 4)
        0.1633

    Args:
        samples: ``[R, P]``.

    Raises:
        ValueError: if the samples are not ``[R, P]`` with R of at least 2.

    Source: the article, "Improving policy gradients: Reducing variance with a baseline".
    """
    return jnp.mean(_square_deviations(samples))


def _square_deviations(samples: jax.Array) -> jax.Array:
    number = samples.shape[0] if samples.ndim == 2 else 0  # noqa: PLR2004
    if number <= 1:
        raise ValueError(
            f"samples has shape {samples.shape}; give [R, P], at least two samples of a vector."
        )
    deviations = samples - jnp.mean(samples, axis=0, keepdims=True)
    return jnp.sum(jnp.square(deviations), axis=-1) * (number / (number - 1))
