"""Advantage estimators: each a function of the same five arrays ``[T, ...]``.

With dₜ = discount * (1 - terminatedₜ), cₜ = 1 - (terminatedₜ or truncatedₜ), vₜ the value of
the observation and v'ₜ that of its true successor:

================================ =========================== ==========
estimator                        advantage                   target
================================ =========================== ==========
:func:`reinforce`                Gₜ (rewards only)           Gₜ
:func:`reinforce_with_baseline`  Gₜ (rewards only) - vₜ      Gₜ
:func:`td_actor_critic`          rₜ + dₜ v'ₜ - vₜ            rₜ + dₜ v'ₜ
:func:`n_step`                   Gₜ (λ = 1) - vₜ             Gₜ (λ = 1)
:func:`gae`                      Gₜ (λ) - vₜ                 Gₜ (λ)
:func:`sarsa`                    vₜ = Q(sₜ, aₜ)              rₜ + dₜ v'ₜ
================================ =========================== ==========

Any function with this signature can take their place, and :func:`normalized_advantages` turns one
into another. Gradients through the estimate are stopped by :func:`a2c_jax.combined_loss`, not
here.
"""

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.returns import lambda_returns
from a2c_jax.types import AdvantageEstimate, Estimator, Scalar


def reinforce(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """Vanilla policy gradient: ``Aₜ = Gₜ``, the discounted sum of the rewards that were seen.

    No critic enters. A return that the rollout or a time limit cuts short therefore lacks
    what would have followed. Rollouts of several episodes cut few returns, those of whole
    episodes none (:func:`a2c_jax.diagnostics.policy_gradients` takes such); :func:`n_step`
    completes what is cut with a value.

    Source: the article, "Preliminaries"; Williams (1992).
    """
    del values
    returns = lambda_returns(rewards, discounts, continues, jnp.zeros_like(next_values), 1.0)
    return AdvantageEstimate(returns, returns)


def reinforce_with_baseline(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """Policy gradient with a baseline: ``Aₜ = Gₜ - vₜ``, with Gₜ as in :func:`reinforce`.

    The value is only subtracted, never bootstrapped from, so it changes the variance of
    the gradient and not its mean.

    Source: the article, "Improving policy gradients: Reducing variance with a baseline".
    """
    _, returns = reinforce(rewards, discounts, continues, values, next_values)
    return AdvantageEstimate(returns - values, returns)


def td_actor_critic(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """TD actor-critic: ``Aₜ = δₜ = rₜ + dₜ v'ₜ - vₜ``, :func:`gae` at λ = 0.

    Source: the article's table. Its section "Back to Baselines" calls this same δ the
    advantage; its code uses :func:`n_step`.
    """
    return gae(0.0)(rewards, discounts, continues, values, next_values)


def n_step(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """Advantage actor-critic, as the article's code has it; :func:`gae` at λ = 1.

    ``Aₜ = rₜ + dₜ rₜ₊₁ + … + (d…d) v' - vₜ``: all rewards up to the end of the episode or of
    the rollout, then the value of the last true successor (none if the episode terminated).

    Source: the article, "Implementing A2C"; Mnih et al. (2016).
    """
    return gae(1.0)(rewards, discounts, continues, values, next_values)


def gae(lambda_: Scalar) -> Estimator:
    """Generalised advantage estimation.

    ``Aₜ = δₜ + dₜ cₜ λ Aₜ₊₁`` with ``δₜ = rₜ + dₜ v'ₜ - vₜ``. Computed as the λ-return less the
    value, which is the same whenever ``v'ₜ = vₜ₊₁`` within an episode, as it is in a rollout.

    Args:
        lambda_: λ in [0, 1], a number or a traced scalar; 0 is least variance, 1 least bias.

    Raises:
        ValueError: if λ lies outside [0, 1].

    Source: Schulman et al. (2016), equation 16.
    """
    checks.unit_interval("lambda_", lambda_)

    def estimator(
        rewards: jax.Array,
        discounts: jax.Array,
        continues: jax.Array,
        values: jax.Array,
        next_values: jax.Array,
    ) -> AdvantageEstimate:
        checks.same_shape("rewards", rewards, values=values)
        targets = lambda_returns(rewards, discounts, continues, next_values, lambda_)
        return AdvantageEstimate(targets - values, targets)

    return estimator


def sarsa(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """Q actor-critic: ``Aₜ = Q(sₜ, aₜ)``, drawn to ``rₜ + dₜ Q(s'ₜ, a'ₜ)``.

    The values are those of the actions taken, here and at the true successors.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    del continues
    checks.same_shape(
        "rewards", rewards, discounts=discounts, values=values, next_values=next_values
    )
    return AdvantageEstimate(values, rewards + discounts * next_values)


def normalized_advantages(estimator: Estimator) -> Estimator:
    """The same estimator with advantages of mean 0 and variance 1 over the rollout.

    See :func:`normalize`. Every row of the rollout enters, also those that a mask excludes.

    Args:
        estimator: gives advantages and targets; the targets stay as they are.

    Raises:
        ValueError: when it is applied to a single advantage, which would always become 0.
    """

    def normalized(*arrays: jax.Array) -> AdvantageEstimate:
        advantages, targets = estimator(*arrays)
        if advantages.size == 1:
            raise ValueError(
                "normalized_advantages is given a single advantage, which would always become 0; "
                "give rollouts of several steps or environments, or the plain estimator."
            )
        return AdvantageEstimate(normalize(advantages), targets)

    return normalized


def normalize(advantages: jax.Array) -> jax.Array:
    """Shifts and scales advantages to mean 0 and variance 1 over all axes.

    ``(A - mean A) / (std A + 1e-8)``. Advantages that are all equal become 0.
    """
    return (advantages - jnp.mean(advantages)) / (jnp.std(advantages) + 1e-8)
