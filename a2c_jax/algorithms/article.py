"""The article's own loop: one environment, one whole episode, one update.

The loop is corrected by default. Each error of the printed code is a switch of :class:`Defects`, so
that its behaviour can be reproduced exactly and the cost of each defect measured. Only this module
implements them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.advantages import n_step
from a2c_jax.agents import AnyNetwork, checked_agent
from a2c_jax.algorithms.learner import LearnerState, learner
from a2c_jax.collectors import episodes
from a2c_jax.keys import Stream, stream
from a2c_jax.losses import combined_loss
from a2c_jax.networks import article_network
from a2c_jax.types import (
    AgentState,
    Algorithm,
    Environment,
    Key,
    Loss,
    LossTerms,
    Params,
    Rollout,
    Scalar,
    Unrolled,
)


class Defects(NamedTuple):
    """The errors of the printed loop, each a switch.

    Attributes:
        detached_critic: the value is detached before the critic's loss, so the critic keeps its
            initial weights, and the method is REINFORCE with a fixed random baseline.
        detached_entropy: the entropy is computed in NumPy and has no gradient.
        cross_entropy: ``-Σ mean(π) log π`` in place of the entropy ``-Σ π log π``. It is the
            cross-entropy to the uniform policy: unbounded, and minimal for the uniform policy.
        entropy_penalty: the entropy term is added to the loss instead of subtracted, so entropy
            is penalised. With ``cross_entropy``, adding is correct.
        entropy_total: the entropy is summed over all episodes so far, instead of averaged over
            this one. The sum over earlier episodes has no gradient, so only the sum over this
            episode is computed here.
        bootstrap_after_fall: the return is completed with V(s_T) even where the episode
            terminated and nothing follows.
    """

    detached_critic: bool = False
    detached_entropy: bool = False
    cross_entropy: bool = False
    entropy_penalty: bool = False
    entropy_total: bool = False
    bootstrap_after_fall: bool = False


CORRECTED = Defects()
"""No defects."""

AS_PRINTED = Defects(*[True] * len(Defects._fields))
"""All defects: the loop as the article prints it."""


def article(
    env: Environment,
    network: AnyNetwork | None = None,
    optimizer: optax.GradientTransformation | None = None,
    *,
    discount: Scalar = 0.99,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.001,
    defects: Defects = CORRECTED,
) -> Algorithm:
    """The article's loop as an algorithm; each step is one episode and one update.

    The printed run is 3000 steps on ``make_env("CartPole-v1", max_steps_in_episode=200)``, the
    article's CartPole-v0.

    Args:
        env: the environment; every episode is computed up to its time limit.
        network: by default :func:`a2c_jax.article_network`.
        optimizer: by default Adam at 3e-4.
        discount: as in :func:`a2c_jax.actor_critic`; so are the coefficients and the errors.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy.
        defects: defects to reproduce; :data:`AS_PRINTED` has all of them.

    Source: the article, "Implementing A2C", ``def a2c(env)``.
    """
    if not isinstance(defects, Defects):
        raise ValueError(
            f"defects is {defects!r}; give a Defects record, such as AS_PRINTED or CORRECTED."
        )
    agent = checked_agent(env, article_network(env) if network is None else network, 1)
    collector = episodes(env, agent)

    def collect(key: Key, state: AgentState, actors: Any) -> tuple[Any, Rollout]:
        actors, rollout = collector.collect(key, state, actors)
        return actors, falls_as_time_limits(rollout) if defects.bootstrap_after_fall else rollout

    checks.not_negative("entropy_coef", entropy_coef)
    loss = defective_loss(
        discount, value_coef=value_coef, entropy_coef=entropy_coef, defects=defects
    )
    optimizer = optax.adam(3e-4) if optimizer is None else optimizer
    algorithm = learner(agent, collector._replace(collect=collect), loss, optimizer)

    def init(key: Key, params: Params | AgentState | None = None) -> LearnerState:
        # No environment continues into another episode, so its stream is used for the updates.
        return algorithm.init(key, params)._replace(key=stream(key, Stream.ENVIRONMENTS))

    return algorithm._replace(init=init)


def falls_as_time_limits(rollout: Rollout) -> Rollout:
    """Marks every fall as a time limit, after which the return is completed with a value."""
    transitions = rollout.transitions
    return rollout._replace(
        transitions=transitions._replace(
            terminated=jnp.zeros_like(transitions.terminated),
            truncated=transitions.terminated | transitions.truncated,
        )
    )


def defective_loss(
    discount: Scalar, *, value_coef: Scalar, entropy_coef: Scalar, defects: Defects
) -> Loss:
    """:func:`a2c_jax.combined_loss` with the defects that concern the loss.

    Source: the article, "#update actor critic".
    """
    plain = combined_loss(discount, n_step, value_coef=value_coef, entropy_coef=0.0)
    sign = 1.0 if defects.entropy_penalty else -1.0

    def loss(unrolled: Unrolled, rollout: Rollout) -> tuple[jax.Array, LossTerms]:
        if defects.detached_critic:
            unrolled = unrolled._replace(values=jax.lax.stop_gradient(unrolled.values))
        entropy = unrolled.entropy
        if defects.cross_entropy:
            entropy = -jnp.mean(jax.nn.log_softmax(unrolled.outputs), axis=-1)
        if defects.detached_entropy:
            entropy = jax.lax.stop_gradient(entropy)
        reduce = jnp.sum if defects.entropy_total else jnp.mean
        total, terms = plain(unrolled, rollout)
        return total + sign * entropy_coef * reduce(entropy, where=rollout.where), terms

    return loss
