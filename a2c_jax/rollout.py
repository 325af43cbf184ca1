"""Rollouts: draw all noise first, then scan a body that has no randomness of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.distributions import categorical
from a2c_jax.environments import num_actions
from a2c_jax.threefry import rolled, unrolled
from a2c_jax.types import Environment, EnvState, Key, Transition

Policy = Callable[[jax.Array], jax.Array]


class RolloutNoise(NamedTuple):
    """All the randomness of a rollout, each ``[T, N, ...]``.

    Attributes:
        action: the noise that actions are sampled with, ``[T, N, A]``.
        step_key: keys for environments whose step is random.
        reset_state: the states that ended episodes start again from.
        reset_obs: and what is observed there.
    """

    action: jax.Array
    step_key: Key
    reset_state: EnvState
    reset_obs: jax.Array


def reset_envs(key: Key, env: Environment, num_envs: int) -> tuple[EnvState, jax.Array]:
    """Starts ``num_envs`` independent episodes: ``(env_state [N, ...], obs [N, ...])``.

    Raises:
        ValueError: if ``num_envs`` is not a whole number of at least 1.
    """
    num_envs = checks.positive_int("num_envs", num_envs)
    return jax.vmap(env.reset)(jax.random.split(key, num_envs))


def draw_noise(key: Key, env: Environment, num_steps: int, num_envs: int) -> RolloutNoise:
    """Draws the noise of a whole rollout at once, ``[T, N, ...]``.

    In bulk, outside the scan, because resetting every environment at every step inside it
    makes CartPole alone several times slower.
    """
    action_key, step_key, reset_key = jax.random.split(unrolled(key), 3)
    shape = (num_steps, num_envs)
    reset_state, reset_obs = jax.vmap(jax.vmap(env.reset))(
        rolled(jax.random.split(reset_key, shape))
    )
    return RolloutNoise(
        action=categorical.noise(action_key, (*shape, num_actions(env))),
        step_key=rolled(jax.random.split(step_key, shape)),
        reset_state=reset_state,
        reset_obs=reset_obs,
    )


def rollout(
    key: Key,
    policy: Policy,
    env: Environment,
    env_state: EnvState,
    obs: jax.Array,
    num_steps: int,
) -> tuple[EnvState, jax.Array, Transition]:
    """Lets a policy act in N environments for T steps, resetting those that end.

    Args:
        key: one key for the whole rollout.
        policy: ``obs [N, ...] -> logits [N, A]``; close it over its parameters.
        env: the environment; it is vmapped here.
        env_state: where the N environments stand, ``[N, ...]``.
        obs: what is observed there, ``[N, ...]``.
        num_steps: T.

    Returns:
        ``(env_state, obs, transitions)``: where the environments stand after T steps,
        resets included, and the steps themselves, ``[T, N, ...]``.

    Raises:
        ValueError: if ``num_steps`` is not a whole number of at least 1.
    """
    num_steps = checks.positive_int("num_steps", num_steps)
    noise = draw_noise(key, env, num_steps, obs.shape[0])

    def body(
        carry: tuple[EnvState, jax.Array], noise: RolloutNoise
    ) -> tuple[tuple[EnvState, jax.Array], Transition]:
        env_state, obs = carry
        action = categorical.sample(policy(obs), noise.action)
        timestep = jax.vmap(env.step)(noise.step_key, env_state, action)
        transition = Transition(
            obs, action, timestep.reward, timestep.terminated, timestep.truncated, timestep.obs
        )
        onward = _select(
            timestep.terminated | timestep.truncated,
            (noise.reset_state, noise.reset_obs),
            (timestep.env_state, timestep.obs),
        )
        return onward, transition

    (env_state, obs), transitions = jax.lax.scan(body, (env_state, obs), noise)
    return env_state, obs, transitions


def rollout_with_next_action(
    key: Key,
    policy: Policy,
    env: Environment,
    env_state: EnvState,
    obs: jax.Array,
    action: jax.Array,
    num_steps: int,
) -> tuple[EnvState, jax.Array, jax.Array, Transition, jax.Array]:
    """A :func:`rollout` in which every step also draws the action that follows it.

    Each step takes the action that the one before it drew, ``a <- a'``, so the first is
    given, and the last one is left to be taken in the next rollout.

    Args:
        key: one key for the whole rollout.
        policy: ``obs [B, ...] -> logits [B, A]``, whatever the batch B.
        env: the environment; it is vmapped here.
        env_state: where the N environments stand, ``[N, ...]``.
        obs: what is observed there, ``[N, ...]``.
        action: what is to be done there, ``[N]``.
        num_steps: T.

    Returns:
        ``(env_state, obs, action, transitions, next_actions)``: where the environments stand
        and what is to be done there; the steps ``[T, N, ...]``; and a' for the true successor
        of each, ``[T, N]``. Where an episode goes on, it is the action of the next row; where
        one was truncated it is never taken.

    Raises:
        ValueError: if ``num_steps`` is not a whole number of at least 1.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    num_steps = checks.positive_int("num_steps", num_steps)
    noise_key, first_key = jax.random.split(key)
    noise = draw_noise(noise_key, env, num_steps, obs.shape[0])
    reset_logits = jax.vmap(policy)(noise.reset_obs)
    first_action = categorical.sample(
        reset_logits, categorical.noise(first_key, reset_logits.shape)
    )

    def body(
        carry: tuple[EnvState, jax.Array, jax.Array], row: tuple[RolloutNoise, jax.Array]
    ) -> tuple[tuple[EnvState, jax.Array, jax.Array], tuple[Transition, jax.Array]]:
        env_state, obs, action = carry
        noise, first_action = row
        timestep = jax.vmap(env.step)(noise.step_key, env_state, action)
        next_action = categorical.sample(policy(timestep.obs), noise.action)
        transition = Transition(
            obs, action, timestep.reward, timestep.terminated, timestep.truncated, timestep.obs
        )
        onward = _select(
            timestep.terminated | timestep.truncated,
            (noise.reset_state, noise.reset_obs, first_action),
            (timestep.env_state, timestep.obs, next_action),
        )
        return onward, (transition, next_action)

    (env_state, obs, action), (transitions, next_actions) = jax.lax.scan(
        body, (env_state, obs, action), (noise, first_action)
    )
    return env_state, obs, action, transitions, next_actions


def _select(where: jax.Array, if_true: Any, if_false: Any) -> Any:
    def select(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(where.reshape((-1,) + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(select, if_true, if_false)
