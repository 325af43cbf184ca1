"""The three losses, and their sum over a rollout."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks, record_checks
from a2c_jax.advantages import n_step
from a2c_jax.agents import feed_forward
from a2c_jax.distributions import Distribution, categorical
from a2c_jax.types import (
    AdvantageEstimate,
    AgentState,
    Estimator,
    Loss,
    LossTerms,
    Network,
    Params,
    Rollout,
    Scalar,
    Transition,
    Unrolled,
)


def policy_loss(
    outputs: jax.Array,
    actions: jax.Array,
    advantages: jax.Array,
    distribution: Distribution | None = None,
    where: jax.Array | None = None,
) -> jax.Array:
    """The loss whose gradient is the policy gradient: ``-mean(log π(aₜ|sₜ) Aₜ)``.

    Args:
        outputs: outputs of the policy, ``[..., P]``: logits ``[..., A]`` by default.
        actions: ``[...]``, integers by default.
        advantages: ``[...]``; their gradient is not stopped here.
        distribution: distribution of the actions; categorical by default.
        where: bool ``[...]``, the entries to include; all by default.

    Raises:
        ValueError: if the shapes disagree, or ``where`` excludes all entries.

    Source: the article, ``actor_loss = (-log_probs * advantage).mean()``.
    """
    outputs, distribution = _outputs_and_distribution(outputs, distribution)
    log_probs = distribution.log_prob(outputs, actions)
    checks.same_shape("outputs[..., 0]", outputs[..., 0], actions=log_probs)
    return _policy_term(log_probs, advantages, where)


def _outputs_and_distribution(
    outputs: jax.Array, distribution: Distribution | None
) -> tuple[jax.Array, Distribution]:
    outputs = checks.floats("outputs", outputs)
    checks.some_rows("outputs", outputs, None)
    distribution = distribution or categorical(outputs.shape[-1] if outputs.ndim else 1)
    distribution.check(outputs)
    return outputs, distribution


def _policy_term(log_probs: jax.Array, advantages: jax.Array, where: jax.Array | None) -> jax.Array:
    _, advantages = checks.same_shape("log_probs", log_probs, advantages=advantages)
    return -_mean("advantages", log_probs * advantages, where)


def _mean(name: str, x: jax.Array, where: jax.Array | None) -> jax.Array:
    checks.some_rows(name, x, where)
    return jnp.mean(x, where=where)


def value_loss(values: jax.Array, targets: jax.Array, where: jax.Array | None = None) -> jax.Array:
    """Mean squared error ``mean((Gₜ - vₜ)²)``; the usual factor 1/2 is ``value_coef=0.5``.

    Args:
        values: ``[...]``.
        targets: ``[...]``; their gradient is not stopped here.
        where: as in :func:`policy_loss`; so are the errors.

    Source: the article, ``critic_loss = 0.5 * advantage.pow(2).mean()``.
    """
    values, targets = checks.same_shape("values", values, targets=targets)
    return _mean("values", jnp.square(targets - values), where)


def entropy_loss(
    outputs: jax.Array, distribution: Distribution | None = None, where: jax.Array | None = None
) -> jax.Array:
    """Minus the mean entropy, ``mean(Σ p log p)``, so that adding it rewards exploration.

    Arguments and errors are those of :func:`policy_loss`.

    Source: Mnih et al. (2016). The article's ``entropy_term`` has neither this formula nor
    this sign.
    """
    outputs, distribution = _outputs_and_distribution(outputs, distribution)
    return -_mean("outputs", distribution.entropy(outputs), where)


def actor_critic_loss(
    params: Params,
    network: Network,
    transitions: Transition,
    *,
    discount: Scalar,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    distribution: Distribution | None = None,
    where: jax.Array | None = None,
) -> tuple[jax.Array, LossTerms]:
    """Loss of a rollout as a function of a network's parameters; returns it and its terms.

    The other arguments, and the errors, are those of :func:`combined_loss`; ``entropy_coef`` is a
    number.

    Args:
        params: parameters of ``network``.
        network: policy and value functions.
        transitions: of a rollout, ``[T, N, ...]``: where an episode continues, the next row's
            observation is this one's successor. Mark a row as truncated if the next row does not
            follow it.
        distribution: distribution of the actions; categorical by default.
        where: bool ``[T, N]``, the rows to include; all by default.
    """
    record_checks.transitions(transitions)
    if distribution is None:
        num_actions = jax.eval_shape(network.policy, params, transitions.obs).shape[-1]
        distribution = categorical(num_actions)
    rollout = Rollout(transitions, where=where)
    unrolled = feed_forward(network, distribution).unroll(AgentState(params), rollout)
    loss = combined_loss(discount, estimator, value_coef=value_coef, entropy_coef=entropy_coef)
    return loss(unrolled, rollout)


def combined_loss(
    discount: Scalar,
    estimator: Estimator,
    *,
    value_coef: Scalar,
    entropy_coef: Scalar | optax.Schedule,
) -> Loss:
    """The loss of every method, as a function of an unrolled agent.

    ``policy_loss + value_coef * value_loss + entropy_coef * entropy_loss``, each a mean over the
    included rows. No gradient flows through the advantages and targets of any estimator.

    Args:
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        estimator: turns rewards and values into advantages and targets.
        value_coef: weight of the value loss, at least 0.
        entropy_coef: weight of the entropy, at least 0; or a schedule of it, a function of the
            number of updates done, ``rollout.update``.

    Raises:
        ValueError: if a number lies outside its range. The loss itself raises it if the shapes
            disagree, ``rollout.where`` excludes all rows, or a schedule has no ``rollout.update``.

    Source: the article, ``ac_loss = actor_loss + critic_loss + 0.001 * entropy_term``.
    """
    if not callable(estimator):
        raise ValueError(
            f"estimator is {estimator!r}; give a function, such as n_step or gae(0.95)."
        )
    checks.unit_interval("discount", discount)
    checks.not_negative("value_coef", value_coef)
    if not callable(entropy_coef):
        checks.not_negative("entropy_coef", entropy_coef)

    def loss(unrolled: Unrolled, rollout: Rollout) -> tuple[jax.Array, LossTerms]:
        advantages, targets = estimate(unrolled, rollout.transitions, discount, estimator)
        policy_term = _policy_term(unrolled.log_probs, advantages, rollout.where)
        value_term = value_loss(unrolled.values, targets, rollout.where)
        entropy = _mean("entropy", unrolled.entropy, rollout.where)
        weight = _at_update(entropy_coef, rollout) if callable(entropy_coef) else entropy_coef
        total = policy_term + value_coef * value_term - weight * entropy
        return total, LossTerms(policy_term, value_term, entropy, unrolled.values, targets)

    return loss


def _at_update(schedule: optax.Schedule, rollout: Rollout) -> Any:
    if rollout.update is None:
        raise ValueError(
            "rollout.update is None; give the number of updates done, of which entropy_coef is a "
            "function."
        )
    return schedule(rollout.update)


def estimate(
    unrolled: Unrolled, transitions: Transition, discount: Scalar, estimator: Estimator
) -> AdvantageEstimate:
    """Applies an estimator to a rollout ``[T, N]``, and stops the gradient of the result."""
    record_checks.transitions(transitions)
    terminated = transitions.terminated.astype(jnp.float32)
    ended = (transitions.terminated | transitions.truncated).astype(jnp.float32)
    estimated = estimator(
        transitions.reward if unrolled.rewards is None else unrolled.rewards,
        discount * (1.0 - terminated),
        1.0 - ended,
        unrolled.values,
        unrolled.next_values,
    )
    if not isinstance(estimated, AdvantageEstimate):
        raise ValueError(
            f"estimator returns a {type(estimated).__name__}; return an "
            "AdvantageEstimate(advantages, targets)."
        )
    return jax.lax.stop_gradient(estimated)
