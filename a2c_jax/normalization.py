"""Agents that learn from normalised observations and scaled rewards.

The statistics are ``moments`` of the agent's state: training updates them after each rollout, and
saves and resumes them; evaluation leaves them as they are. They are merged over the time steps and
environments of a rollout, on all devices.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax._devices import scan
from a2c_jax.types import (
    Agent,
    AgentState,
    Environment,
    Memory,
    Noise,
    Observation,
    Rollout,
    Scalar,
    Unrolled,
)

_LARGEST = 10.0
_EPSILON = 1e-8


class Statistics(NamedTuple):
    """Running mean and variance, each of the shape of a number or an observation's array.

    Attributes:
        mean: the mean; 0 at first.
        variance: the variance, not corrected for the mean's degree of freedom; 1 at first.
        number: of samples, a scalar.
    """

    mean: jax.Array
    variance: jax.Array
    number: jax.Array


def no_statistics(shape: tuple[int, ...] = ()) -> Statistics:
    """The statistics of no samples: a mean of 0 and a variance of 1."""
    zeros = jnp.zeros(shape, jnp.float32)
    return Statistics(zeros, jnp.ones(shape, jnp.float32), jnp.zeros((), jnp.float32))


def merged(
    statistics: Statistics, samples: jax.Array, where: jax.Array | None = None
) -> Statistics:
    """The statistics after more samples, as if all had been averaged at once.

    With n samples so far and m new ones of mean b, ``δ = b - mean`` and
    ``mean' = mean + δ m / (n + m)``; the sums of squared deviations add up, and to them
    ``δ² n m / (n + m)``.

    Args:
        statistics: of the samples so far.
        samples: ``[T, N, *shape]``.
        where: bool ``[T, N]``, the samples to include; all by default.

    Source: Welford (1962); Chan, Golub & LeVeque (1979).
    """
    samples = jnp.asarray(samples, jnp.float32)
    where = jnp.ones(samples.shape[:2], jnp.bool_) if where is None else where
    more = jnp.sum(where, dtype=jnp.float32)
    where = where.reshape((*where.shape, *[1] * statistics.mean.ndim))
    shift = jnp.mean(samples, axis=(0, 1), where=where) - statistics.mean
    share = more / (statistics.number + more)
    within = jnp.var(samples, axis=(0, 1), where=where)
    return Statistics(
        mean=statistics.mean + share * shift,
        variance=(1.0 - share) * (statistics.variance + share * jnp.square(shift)) + share * within,
        number=statistics.number + more,
    )


class Moments(NamedTuple):
    """The statistics of a wrapper, and the moments of the agent inside."""

    own: Any
    inner: Any


def normalized(agent: Agent, env: Environment) -> Agent:
    """An agent whose observations have a mean of 0 and a variance of 1, clipped to ±10.

    Arrays of real numbers are normalised, each number on its own; integers and flags, such as an
    action mask, are passed on. A rollout is collected and learned from with the statistics of all
    rollouts before it.

    Example:
        >>> import a2c_jax as a2c
        >>> env = a2c.make_env("Pendulum-v1")
        >>> agent = a2c.normalized(a2c.as_agent(env, a2c.mlp_actor_critic(env)), env)

    Args:
        agent: the agent, made for the same environment.
        env: gives the shapes of an observation.
    """

    def init(key: jax.Array) -> AgentState:
        params, inner = agent.init(key)
        leaves = jax.tree.leaves(env.observation)
        own = [no_statistics(leaf.shape) if _is_real(leaf) else () for leaf in leaves]
        return AgentState(params, Moments(tuple(own), inner))

    def act(
        state: AgentState, memory: Memory, obs: Observation, noise: Noise | None
    ) -> tuple[Memory, jax.Array]:
        return agent.act(_inner(state), memory, _normalize(state.moments.own, obs), noise)

    def unroll(state: AgentState, rollout: Rollout) -> Unrolled:
        return agent.unroll(_inner(state), normalized_rollout(state, rollout))

    def normalized_rollout(state: AgentState, rollout: Rollout) -> Rollout:
        rows, own = rollout.transitions, state.moments.own
        rows = rows._replace(obs=_normalize(own, rows.obs), next_obs=_normalize(own, rows.next_obs))
        return rollout._replace(transitions=rows)

    def observe(state: AgentState, rollout: Rollout) -> AgentState:
        inner = agent.observe(_inner(state), normalized_rollout(state, rollout))
        leaves = jax.tree.leaves(rollout.transitions.obs)
        pairs = zip(state.moments.own, leaves, strict=True)
        own = tuple(one and merged(one, leaf, rollout.where) for one, leaf in pairs)
        return inner._replace(moments=Moments(own, inner.moments))

    return agent._replace(init=init, act=act, unroll=unroll, observe=observe)


def with_new_episodes(moments: Any, fresh: Any) -> Any:
    """The moments, but with the episodes of ``fresh``, those of a new agent."""
    if not isinstance(moments, Moments):
        return moments
    own = moments.own
    if isinstance(own, RewardMoments):
        own = own._replace(returns=fresh.own.returns)
    return Moments(own, with_new_episodes(moments.inner, fresh.inner))


def _is_real(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _inner(state: AgentState) -> AgentState:
    return state._replace(moments=state.moments.inner)


def _normalize(own: tuple[Any, ...], obs: Observation) -> Observation:
    leaves, tree = jax.tree.flatten(obs)
    pairs = zip(own, leaves, strict=True)
    return jax.tree.unflatten(tree, [_standardize(*pair) if pair[0] else pair[1] for pair in pairs])


def _standardize(statistics: Statistics, x: jax.Array) -> jax.Array:
    mean, variance = (jax.lax.broadcast_to_rank(one, x.ndim) for one in statistics[:2])
    return jnp.clip((x - mean) / jnp.sqrt(variance + _EPSILON), -_LARGEST, _LARGEST)


class RewardMoments(NamedTuple):
    """Statistics of discounted returns, and the return so far in each environment, ``[N]``."""

    statistics: Statistics
    returns: jax.Array


def scaled_rewards(agent: Agent, num_envs: int, discount: Scalar = 0.99) -> Agent:
    """An agent that learns from rewards divided by the deviation of the discounted return.

    ``Rₜ = γ Rₜ₋₁ + rₜ`` within each episode; rewards are divided by the running standard deviation
    of R over all rollouts before, and clipped to ±10. The mean is not subtracted. Returns in the
    metrics stay raw; values are in the new units.

    Args:
        agent: the agent.
        num_envs: N, the number of environments of a rollout, of all workers together.
        discount: γ, in [0, 1]; a number or a traced scalar.

    Raises:
        ValueError: if ``num_envs`` is below 1 or ``discount`` out of its range; when it observes a
            rollout, if that has another number of environments.

    Source: ``VecNormalize`` of Stable-Baselines3, which updates the deviation at every step.
    """
    num_envs = checks.positive_int("num_envs", num_envs)
    checks.unit_interval("discount", discount)

    def init(key: jax.Array) -> AgentState:
        params, inner = agent.init(key)
        return AgentState(
            params, Moments(RewardMoments(no_statistics(), jnp.zeros(num_envs, jnp.float32)), inner)
        )

    def unroll(state: AgentState, rollout: Rollout) -> Unrolled:
        unrolled = agent.unroll(_inner(state), rollout)
        rewards = rollout.transitions.reward if unrolled.rewards is None else unrolled.rewards
        deviation = jnp.sqrt(state.moments.own.statistics.variance + _EPSILON)
        return unrolled._replace(rewards=jnp.clip(rewards / deviation, -_LARGEST, _LARGEST))

    def observe(state: AgentState, rollout: Rollout) -> AgentState:
        inner = agent.observe(_inner(state), rollout)
        statistics, returns = state.moments.own
        if returns.shape != rollout.transitions.reward.shape[1:]:
            raise ValueError(
                f"num_envs of scaled_rewards is {num_envs}, but a rollout has "
                f"{rollout.transitions.reward.shape[1]} environments; give that number."
            )
        returns, all_returns = _running_returns(returns, rollout, discount)
        own = RewardMoments(merged(statistics, all_returns, rollout.where), returns)
        return inner._replace(moments=Moments(own, inner.moments))

    return agent._replace(
        init=init,
        act=lambda state, *row: agent.act(_inner(state), *row),
        unroll=unroll,
        observe=observe,
    )


def _running_returns(
    returns: jax.Array, rollout: Rollout, discount: Scalar
) -> tuple[jax.Array, jax.Array]:
    """Continues discounted returns ``[N]``; returns them after a rollout, and ``[T, N]`` in it."""
    rows, discount = rollout.transitions, jnp.asarray(discount, jnp.float32)
    ended = rows.terminated | rows.truncated
    if rollout.where is not None:
        ended = ended | ~rollout.where

    def body(before: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, ended = row
        now = discount * before + reward
        return jnp.where(ended, 0.0, now), now

    return scan(body, returns, (rows.reward, ended))
