"""Environments made from other environments."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax._devices import fast_random
from a2c_jax.environments._common import flat, inside, observation_of
from a2c_jax.types import (
    Environment,
    EnvState,
    Key,
    MaskedObservation,
    Observation,
    Scalar,
    Timestep,
)

_FLAT, _IMAGE = 1, 3  # axes of an observation whose last axis holds features or channels


class Timed(NamedTuple):
    """State of :func:`time_limit`: the environment's own, and the steps of the episode."""

    env_state: EnvState
    num_steps: jax.Array


class Sticky(NamedTuple):
    """State of :func:`sticky_actions`: the environment's own, and the last action executed.

    ``is_first`` is True before the first step of an episode.
    """

    env_state: EnvState
    last_action: jax.Array
    is_first: jax.Array


class Stacked(NamedTuple):
    """State of :func:`stack_frames`: the environment's own, and the observation it made."""

    env_state: EnvState
    frames: Observation


def time_limit(env: Environment, num_steps: int) -> Environment:
    """Truncates episodes after ``num_steps`` steps.

    ``truncated_t = env's own truncated_t | (t >= num_steps)``, where t counts the steps of the
    episode from 1. The smaller of the two limits applies, so an environment whose own limit is not
    larger is returned unchanged.

    Args:
        env: the environment.
        num_steps: the time limit in steps.

    Raises:
        ValueError: if ``num_steps`` is not a whole number of at least 1.

    Source: Pardo et al., "Time limits in reinforcement learning", ICML 2018.
    """
    num_steps = checks.positive_int("num_steps", num_steps)
    if num_steps >= env.max_episode_steps:
        return env

    def reset(key: Key) -> tuple[Timed, Observation]:
        env_state, obs = env.reset(key)
        return Timed(env_state, jnp.zeros((), jnp.int32)), obs

    def step(key: Key, state: Timed, action: jax.Array) -> Timestep:
        timestep = env.step(key, state.env_state, action)
        count = state.num_steps + 1
        return timestep._replace(
            env_state=Timed(timestep.env_state, count),
            truncated=timestep.truncated | (count >= num_steps),
        )

    return env._replace(reset=reset, step=step, max_episode_steps=num_steps)


def sticky_actions(env: Environment, probability: Scalar) -> Environment:
    """Repeats the previous action with a probability, which makes an environment stochastic.

    The environment executes ``e_t = e_{t-1}`` with probability ς and ``e_t = a_t`` otherwise. The
    action that is repeated is the one that was executed last. The first action of an episode is
    always executed, as in Gymnasium; the Arcade Learning Environment may execute "no operation"
    instead. Rollouts still store the agent's action ``a_t``. An action that is repeated may be
    one that an action mask forbids.

    Args:
        env: the environment.
        probability: ς, from 0 to 1; Machado et al. use 0.25 for Atari games.

    Raises:
        ValueError: if ``probability`` does not lie in [0, 1].

    Source: Machado et al., "Revisiting the Arcade Learning Environment", JAIR 2018, section 5.
    """
    checks.unit_interval("probability", probability)

    def reset(key: Key) -> tuple[Sticky, Observation]:
        env_state, obs = env.reset(key)
        action = env.action_space.action
        nothing = jnp.zeros(action.shape, action.dtype)
        return Sticky(env_state, nothing, jnp.ones((), jnp.bool_)), obs

    @fast_random
    def step(key: Key, state: Sticky, action: jax.Array) -> Timestep:
        step_key, sticky_key = jax.random.split(key)
        repeats = jax.random.bernoulli(sticky_key, probability) & ~state.is_first
        executed = jnp.where(repeats, state.last_action, action.astype(state.last_action.dtype))
        timestep = env.step(step_key, state.env_state, executed)
        after = Sticky(timestep.env_state, executed, jnp.zeros((), jnp.bool_))
        return timestep._replace(env_state=after)

    return env._replace(reset=reset, step=step)


def scale_rewards(env: Environment, factor: Scalar) -> Environment:
    """Multiplies every reward: ``reward' = factor * reward``.

    Returns and values scale alike, so metrics and evaluations are in the new unit.

    Args:
        env: the environment.
        factor: a finite number above 0.

    Raises:
        ValueError: if ``factor`` is not finite and above 0.
    """
    checks.positive("factor", factor)

    def step(key: Key, env_state: EnvState, action: jax.Array) -> Timestep:
        timestep = env.step(key, env_state, action)
        return timestep._replace(reward=jnp.asarray(factor * timestep.reward, jnp.float32))

    return env._replace(step=step)


def flatten_observation(env: Environment) -> Environment:
    """Observes one float32 vector ``[D]``, the concatenation of the numbers of an observation.

    The arrays of a pytree follow each other as in ``jax.tree.leaves``, each in row-major order.
    The mask of a :class:`a2c_jax.MaskedObservation` is kept apart. Integers above 2**24 are
    rounded.

    Args:
        env: the environment; its observation may be any pytree of numbers and flags.

    Raises:
        ValueError: if an array of the observation holds neither real numbers nor flags.
    """
    for leaf in jax.tree.leaves(env.observation):
        if not (jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == jnp.bool_):
            raise ValueError(
                f"The observation of {env.name} has an array of type {leaf.dtype}; give an "
                "environment that observes real numbers or flags."
            )

    def reset(key: Key) -> tuple[EnvState, Observation]:
        env_state, obs = env.reset(key)
        return env_state, inside(flat, obs)

    def step(key: Key, env_state: EnvState, action: jax.Array) -> Timestep:
        timestep = env.step(key, env_state, action)
        return timestep._replace(obs=inside(flat, timestep.obs))

    return env._replace(reset=reset, step=step, observation=observation_of(reset))


def stack_frames(env: Environment, num_frames: int) -> Environment:
    """Observes the last k observations together, the oldest first.

    They are concatenated along the last axis: vectors ``[D]`` become ``[k D]`` and images
    ``[H, W, C]`` become ``[H, W, k C]``. Arrays without an axis of features or channels, such as
    ``[H, W]``, get a new last axis: ``[H, W, k]``. Each array of a pytree is stacked by itself;
    of a :class:`a2c_jax.MaskedObservation`, all but the current mask.

    At the start of an episode the first observation fills all places. The last observation of an
    episode has the frames of that episode.

    Args:
        env: the environment.
        num_frames: k.

    Raises:
        ValueError: if ``num_frames`` is not a whole number of at least 1.

    Source: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015;
    filled as by Gymnasium's ``FrameStackObservation``.
    """
    num_frames = checks.positive_int("num_frames", num_frames)

    def fill(obs: jax.Array) -> jax.Array:
        return jnp.concatenate([_with_channels(obs)] * num_frames, axis=-1)

    def push(frames: jax.Array, obs: jax.Array) -> jax.Array:
        newest = _with_channels(obs)
        return jnp.concatenate([frames[..., newest.shape[-1] :], newest], axis=-1)

    def reset(key: Key) -> tuple[Stacked, Observation]:
        env_state, obs = env.reset(key)
        frames = inside(lambda inner: jax.tree.map(fill, inner), obs)
        return Stacked(env_state, _unmasked(frames)), frames

    def step(key: Key, state: Stacked, action: jax.Array) -> Timestep:
        timestep = env.step(key, state.env_state, action)
        frames = inside(lambda inner: jax.tree.map(push, state.frames, inner), timestep.obs)
        return timestep._replace(
            env_state=Stacked(timestep.env_state, _unmasked(frames)), obs=frames
        )

    return env._replace(reset=reset, step=step, observation=observation_of(reset))


def _with_channels(obs: jax.Array) -> jax.Array:
    return obs if obs.ndim in (_FLAT, _IMAGE) else obs[..., None]


def _unmasked(obs: Observation) -> Observation:
    return obs.obs if isinstance(obs, MaskedObservation) else obs
