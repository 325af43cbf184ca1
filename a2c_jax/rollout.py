"""Rollouts: draw all noise first, then scan a body that has no randomness of its own."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from a2c_jax import checks, record_checks
from a2c_jax._devices import fast_random, scan
from a2c_jax.distributions import distribution_for
from a2c_jax.types import (
    Actors,
    Agent,
    AgentState,
    Environment,
    EnvState,
    Key,
    Memory,
    Noise,
    NoiseFn,
    Observation,
    Transition,
)

Policy = Callable[[Observation], jax.Array]


class RolloutNoise(NamedTuple):
    """All the randomness of a rollout, each ``[T, N, ...]``.

    If ``action`` is None, the most probable actions are taken. ``start`` has the states from which
    environments restart if an episode ends in this row; see :func:`draw_starts`.
    """

    action: Noise | None
    step_key: Key
    start: Any = None


class RowActFn(Protocol):
    """Chooses the actions of a row; returns ``(memory, actions)``, each ``[N, ...]``."""

    def __call__(self, memory: Memory, obs: Observation, noise: Noise | None, /) -> tuple: ...


class FollowFn(Protocol):
    """Returns the actors of the next row, and this row's output, which the scan stacks."""

    def __call__(
        self, noise: RolloutNoise, transition: Transition, after: Actors, /
    ) -> tuple[Actors, Any]: ...


def scan_steps(
    env: Environment, act: RowActFn, follow: FollowFn, actors: Actors, noise: RolloutNoise
) -> tuple[Actors, Any]:
    """Takes T steps in N environments; every rollout, evaluation and recording uses this scan.

    ``follow`` decides what happens after each step, such as a reset, and what to store. Returns
    the actors after T steps, and the stored outputs, ``[T, ...]``.
    """

    def body(actors: Actors, row: RolloutNoise) -> tuple[Actors, Any]:
        memory, action = act(actors.memory, actors.obs, row.action)
        timestep = jax.vmap(env.step)(row.step_key, actors.env_state, env.action_space.clip(action))
        env_state, next_obs, reward, terminated, truncated = timestep
        transition = Transition(actors.obs, action, reward, terminated, truncated, next_obs)
        return follow(row, transition, Actors(env_state, next_obs, memory))

    return scan(body, actors, noise)


def reset_envs(key: Key, env: Environment, num_envs: int) -> tuple[EnvState, Observation]:
    """Starts ``num_envs`` independent episodes: ``(env_state [N, ...], obs [N, ...])``.

    Raises:
        ValueError: if ``num_envs`` is not a whole number of at least 1.
    """
    num_envs = checks.positive_int("num_envs", num_envs)
    return jax.vmap(env.reset)(jax.random.split(key, num_envs))


def draw_noise(key: Key, noise: NoiseFn, num_steps: int, num_envs: int) -> RolloutNoise:
    """Draws the noise of T steps in N environments, without resets.

    Noise is drawn in bulk: drawing it inside the scan makes CartPole several times slower.
    """
    action_key, step_key, _ = _split(key)
    shape = (num_steps, num_envs)
    return RolloutNoise(noise(action_key, shape), _keys(step_key, shape))


def draw_starts(
    key: Key, env: Environment, num_steps: int, num_envs: int, num_resets: int | None
) -> tuple[Any, Any]:
    """Draws the states from which environments restart: ``(rows, pool)`` for :func:`start_of`.

    By default ``rows`` holds a state for every step of every environment, which suits cheap
    resets, and ``pool`` is None. With ``num_resets``, the pool holds only R states, and ``rows``
    holds random indices into it.
    """
    *_, reset_key = _split(key)
    shape = (num_steps, num_envs)
    if num_resets is None:
        return jax.vmap(jax.vmap(env.reset))(_keys(reset_key, shape)), None
    num_resets = checks.positive_int("num_resets", num_resets)
    pool_key, index_key = jax.random.split(reset_key)
    rows = jax.random.randint(index_key, shape, 0, num_resets)
    return rows, reset_envs(pool_key, env, num_resets)


def start_of(row: Any, pool: Any) -> Any:
    """The starting states ``[N, ...]`` of a row of :func:`draw_starts`."""
    return row if pool is None else jax.tree.map(lambda x: x[row], pool)


def resetting(fresh: Memory, pool: Any) -> FollowFn:
    """Resets ended episodes, with a fresh memory ``[N, ...]``, and stores the transitions."""

    def follow(
        noise: RolloutNoise, transition: Transition, after: Actors
    ) -> tuple[Actors, Transition]:
        env_state, obs = start_of(noise.start, pool)
        ended = transition.terminated | transition.truncated
        return select(ended, Actors(env_state, obs, fresh), after), transition

    return follow


def rollout(
    key: Key,
    policy: Policy,
    env: Environment,
    env_state: EnvState,
    obs: Observation,
    num_steps: int,
    num_resets: int | None = None,
) -> tuple[EnvState, Observation, Transition]:
    """Lets a policy act in N environments for T steps, and resets ended episodes.

    Args:
        key: one key for the whole rollout.
        policy: ``obs [N, ...] -> outputs [N, P]``, the parameters of the action distribution:
            logits ``[N, A]`` for discrete actions. Close it over its parameters.
        env: the environment; it is vmapped here.
        env_state: states of the N environments, ``[N, ...]``.
        obs: observations of these states, ``[N, ...]``.
        num_steps: T.
        num_resets: how many starting states are drawn; see :func:`a2c_jax.rollouts`.

    Returns:
        ``(env_state, obs, transitions)``: states and observations after T steps and resets, and
        the transitions, ``[T, N, ...]``.

    Raises:
        ValueError: if ``num_steps`` or ``num_resets`` is not a whole number of at least 1, or an
            observation or the policy's output has the wrong shape.
    """
    distribution = distribution_for(env.action_space)

    def act(memory: Memory, obs: Observation, noise: Noise | None) -> tuple:
        outputs = policy(obs)
        distribution.check(outputs)
        return memory, distribution.sample(outputs, noise)

    actors, transitions = roll(
        key, env, act, distribution.noise, Actors(env_state, obs, ()), (), num_steps, num_resets
    )
    return actors.env_state, actors.obs, transitions


def roll(
    key: Key,
    env: Environment,
    act: RowActFn,
    noise: NoiseFn,
    actors: Actors,
    fresh: Memory,
    num_steps: int,
    num_resets: int | None,
) -> tuple[Actors, Transition]:
    """As :func:`rollout`, with a memory, which is ``fresh`` at the start of every episode."""
    num_steps = checks.positive_int("num_steps", num_steps)
    num_envs = batch_size(actors.obs)
    record_checks.observation(env, actors.obs, (num_envs,))
    starts, pool = draw_starts(key, env, num_steps, num_envs, num_resets)
    rows = draw_noise(key, noise, num_steps, num_envs)._replace(start=starts)
    return scan_steps(env, act, resetting(fresh, pool), actors, rows)


def play(
    reset_key: Key,
    run_key: Key,
    env: Environment,
    agent: Agent,
    state: AgentState,
    num_episodes: int,
    greedy: bool,
    keep: Callable[[Transition], Any],
) -> Any:
    """Plays one episode in each of E environments, to the time limit and without resets.

    Returns ``keep`` of every step, ``[T, E, ...]``; :func:`until_end` marks the rows that belong
    to the episodes.
    """
    noise = draw_noise(run_key, agent.noise, env.max_episode_steps, num_episodes)
    actors = Actors(*reset_envs(reset_key, env, num_episodes), agent.memory(num_episodes))
    return scan_steps(
        env,
        functools.partial(agent.act, state),
        lambda noise, transition, after: (after, keep(transition)),
        actors,
        noise._replace(action=None) if greedy else noise,
    )[1]


def until_end(ended: jax.Array) -> jax.Array:
    """Marks the rows ``[T, N]`` of each column up to the first that ends an episode."""
    return jnp.cumsum(ended, axis=0) - ended.astype(jnp.int32) == 0


def batch_size(tree: Any) -> int:
    """The length of the leading axis."""
    return jax.tree.leaves(tree)[0].shape[0]


def select(where: jax.Array, if_true: Any, if_false: Any) -> Any:
    """Chooses between two trees ``[N, ...]`` by a flag ``[N]`` of each row."""

    def choose(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(where.reshape((-1,) + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(choose, if_true, if_false)


@fast_random
def _split(key: Key) -> Key:
    return jax.random.split(key, 3)


@fast_random
def _keys(key: Key, shape: tuple[int, ...]) -> Key:
    return jax.random.split(key, shape)
