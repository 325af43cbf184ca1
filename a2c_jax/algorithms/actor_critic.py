"""Synchronous advantage actor-critic: collect, estimate, descend."""

import optax

from a2c_jax.advantages import n_step
from a2c_jax.agents import AnyNetwork, checked_agent
from a2c_jax.algorithms.learner import learner
from a2c_jax.collectors import rollouts
from a2c_jax.losses import combined_loss
from a2c_jax.types import Algorithm, Environment, Estimator, Scalar


def actor_critic(
    env: Environment,
    network: AnyNetwork,
    optimizer: optax.GradientTransformation,
    *,
    num_envs: int,
    num_steps: int,
    discount: Scalar = 0.99,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar | optax.Schedule = 0.0,
    num_resets: int | None = None,
) -> Algorithm:
    """Advantage actor-critic, and with other estimators every method with a state-value critic.

    An update lets the policy act for ``num_steps`` steps in each of ``num_envs`` environments,
    then takes one step of the optimizer on :func:`a2c_jax.combined_loss`.

    Args:
        env: the environment.
        network: policy and value functions, or an agent made of them.
        optimizer: any optax transformation; chain ``optax.clip_by_global_norm`` before it to
            clip gradients.
        num_envs: number of environments, N.
        num_steps: steps of a rollout, T.
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        estimator: see :mod:`a2c_jax.advantages`; ``normalized_advantages(n_step)`` normalises
            advantages over the rollout.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy, or a schedule of it over updates.
        num_resets: how many starting states are drawn for a rollout; see
            :func:`a2c_jax.rollouts`.

    Raises:
        ValueError: if the network does not fit the environment, or an argument lies outside its
            range.

    Source: the article, "Implementing A2C"; Mnih et al. (2016).
    """
    agent = checked_agent(env, network, num_envs)
    collector = rollouts(env, agent, num_envs, num_steps, num_resets)
    loss = combined_loss(discount, estimator, value_coef=value_coef, entropy_coef=entropy_coef)
    return learner(agent, collector, loss, optimizer)
