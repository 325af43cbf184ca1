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

Any function with this signature is an estimator, and :func:`normalized_advantages` wraps one. The
gradient of an estimate is stopped by :func:`a2c_jax.combined_loss`, not by the estimator.
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
    """Vanilla policy gradient: ``Aₜ = Gₜ``, the discounted sum of the observed rewards.

    No critic is used. So a return that the rollout or a time limit cuts short lacks the later
    rewards. Rollouts of several episodes cut few returns, and rollouts of whole episodes cut none
    (see :func:`a2c_jax.diagnostics.policy_gradients`). :func:`n_step` completes a cut return with
    a value.

    Source: the article, "Preliminaries"; Williams (1992).
    """
    del values
    nothing = jnp.zeros_like(checks.floats("next_values", next_values))
    returns = lambda_returns(rewards, discounts, continues, nothing, 1.0)
    return AdvantageEstimate(returns, returns)


def reinforce_with_baseline(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> AdvantageEstimate:
    """Policy gradient with a baseline: ``Aₜ = Gₜ - vₜ``, with Gₜ as in :func:`reinforce`.

    The value is only subtracted, not used as a bootstrap, so it changes the variance of the
    gradient but not its mean.

    Source: the article, "Improving policy gradients: Reducing variance with a baseline".
    """
    _, returns = reinforce(rewards, discounts, continues, values, next_values)
    _, values = checks.same_shape("rewards", returns, values=values)
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
    """Advantage actor-critic, as in the article's code; :func:`gae` at λ = 1.

    ``Aₜ = rₜ + dₜ rₜ₊₁ + … + (d…d) v' - vₜ``: all rewards up to the end of the episode or of
    the rollout, then the value of the last true successor (none if the episode terminated).

    Source: the article, "Implementing A2C"; Mnih et al. (2016).
    """
    return gae(1.0)(rewards, discounts, continues, values, next_values)


def gae(lambda_: Scalar) -> Estimator:
    """Generalised advantage estimation.

    ``Aₜ = δₜ + dₜ cₜ λ Aₜ₊₁`` with ``δₜ = rₜ + dₜ v'ₜ - vₜ``. Computed as the λ-return minus the
    value; the two are equal if ``v'ₜ = vₜ₊₁`` within an episode, which holds in a rollout.

    Args:
        lambda_: λ in [0, 1], a number or a traced scalar; 0 has the least variance, 1 the least
            bias.

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
        _, values = checks.same_shape("rewards", rewards, values=values)
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
    """Q actor-critic: ``Aₜ = Q(sₜ, aₜ)``, with the target ``rₜ + dₜ Q(s'ₜ, a'ₜ)``.

    The values are those of the actions taken, at the observations and at their true successors.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    del continues
    rewards, discounts, values, next_values = checks.same_shape(
        "rewards", rewards, discounts=discounts, values=values, next_values=next_values
    )
    return AdvantageEstimate(values, rewards + discounts * next_values)


def normalized_advantages(estimator: Estimator) -> Estimator:
    """Wraps an estimator, and normalises advantages to mean 0 and variance 1 over the rollout.

    See :func:`normalize`. The mean and the variance include rows that a mask excludes.

    Args:
        estimator: gives advantages and targets; the targets are not changed.

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
    least = max(1e-8, float(jnp.finfo(advantages.dtype).tiny))  # 1e-8 is 0 in float16
    return (advantages - jnp.mean(advantages)) / (jnp.std(advantages) + least)
