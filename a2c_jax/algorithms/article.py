"""The article's own loop: one environment, one whole episode, one update.

Corrected by default. The errors of the printed code are switches, :class:`Defects`, so that its
behaviour can be reproduced exactly and the cost of each defect measured. They are known to this
module alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.advantages import n_step
from a2c_jax.agents import checked_agent
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
    Network,
    Rollout,
    Scalar,
    Unrolled,
)


class Defects(NamedTuple):
    """The errors of the printed loop, each by itself.

    Attributes:
        detached_critic: the value is detached before the critic's loss, so the critic stays
            as it was initialised, and the method is REINFORCE with a fixed random baseline.
        detached_entropy: the entropy is computed in NumPy and has no gradient.
        cross_entropy: ``-Σ mean(π) log π`` in place of the entropy ``-Σ π log π``. It is the
            cross-entropy to the uniform policy: least for the uniform one, and unbounded.
        entropy_penalty: the entropy term is added to the loss, which punishes what it
            measures. Added, a cross-entropy is right again, and so is a subtracted entropy.
        entropy_total: the entropy is summed over all episodes so far, instead of averaged over
            this one. The sum of earlier episodes is a constant, which no gradient reaches, so
            only this episode's is computed here.
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
"""None of them."""

AS_PRINTED = Defects(*[True] * len(Defects._fields))
"""All of them at once: the loop as the article prints it."""


def article(
    env: Environment,
    network: Network | None = None,
    optimizer: optax.GradientTransformation | None = None,
    *,
    discount: Scalar = 0.99,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.001,
    defects: Defects = CORRECTED,
) -> Algorithm:
    """The article's loop as an algorithm, each step of which is one episode and one update.

    The printed run is 3000 steps of it on ``make_env("CartPole-v1", max_steps_in_episode=200)``,
    the article's CartPole-v0.

    Args:
        env: the environment; its time limit decides how much is computed for an episode.
        network: by default :func:`a2c_jax.article_network`.
        optimizer: by default Adam at 3e-4.
        discount: as in :func:`a2c_jax.actor_critic`, as are the coefficients and the errors.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy.
        defects: what to leave uncorrected; :data:`AS_PRINTED` is all of it.

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

    def init(key: Key) -> LearnerState:
        # No environment continues between two episodes, so the updates have its stream.
        return algorithm.init(key)._replace(key=stream(key, Stream.ENVIRONMENTS))

    return algorithm._replace(init=init)


def falls_as_time_limits(rollout: Rollout) -> Rollout:
    """The same rollout, in which a fall looks like a time limit, whose future is worth V."""
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
