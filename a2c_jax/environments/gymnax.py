"""gymnax environments without their automatic resets."""

import dataclasses
import difflib
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from gymnax.environments import spaces as gymnax_spaces

from a2c_jax import checks
from a2c_jax._devices import fast_random
from a2c_jax.spaces import Box, Discrete, Space
from a2c_jax.types import Environment, EnvState, Key, Timestep

_MAX_INT32 = 2**31 - 1  # environments count their steps in int32


def make_gymnax(name: str, env_params: dict[str, Any]) -> Environment:
    """Makes an environment by name; see :func:`a2c_jax.make_env`.

    At the end of an episode, gymnax's own ``step`` resets and returns the next episode's first
    observation. ``step_env``, ``reset_env`` and ``is_truncated``, which are used here, do not.
    """
    gym_env, params = _make(name, env_params)
    limit = checks.positive_int("max_steps_in_episode", params.max_steps_in_episode)
    if limit > _MAX_INT32:
        raise ValueError(f"max_steps_in_episode is {limit}; give {_MAX_INT32} at most.")

    @fast_random
    def reset(key: Key) -> tuple[EnvState, jax.Array]:
        obs, env_state = gym_env.reset_env(key, params)
        return _strongly_typed(env_state), jnp.asarray(obs, jnp.float32)

    @fast_random
    def step(key: Key, env_state: EnvState, action: jax.Array) -> Timestep:
        obs, env_state, reward, terminated, _ = gym_env.step_env(key, env_state, action, params)
        return Timestep(
            env_state=_strongly_typed(env_state),
            obs=jnp.asarray(obs, jnp.float32),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=jnp.asarray(terminated, jnp.bool_),
            truncated=jnp.asarray(gym_env.is_truncated(env_state, params), jnp.bool_),
        )

    return Environment(
        name=name,
        reset=reset,
        step=step,
        observation=_observation(name, gym_env, params),
        action_space=_space(name, gym_env.action_space(params)),
        max_episode_steps=limit,
    )


def _make(name: str, env_params: dict[str, Any]) -> tuple[Any, Any]:
    if name not in gymnax.registered_envs:
        near = difflib.get_close_matches(str(name), gymnax.registered_envs, n=3, cutoff=0.3)
        known = ", ".join(near or gymnax.registered_envs)
        raise ValueError(f"There is no environment {name!r}; the nearest names are: {known}.")
    try:
        gym_env, params = gymnax.make(name)
    except OSError as error:  # MNISTBandit-bsuite downloads its data
        raise ValueError(
            f"{name} could not be made ({error}); choose another environment, or make its data "
            "available."
        ) from error
    fields = [field.name for field in dataclasses.fields(params)]
    for field in env_params:
        if field not in fields:
            raise ValueError(
                f"{name} has no parameter {field!r}; it has these: {', '.join(fields)}."
            )
    return gym_env, params.replace(**env_params)


def _space(name: str, space: Any) -> Space:
    # gymnax has `num_actions` on continuous environments too, so the space decides.
    if isinstance(space, gymnax_spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, gymnax_spaces.Box) and jnp.issubdtype(space.dtype, jnp.floating):
        return Box(space.low, space.high, tuple(space.shape))
    raise ValueError(
        f"{name} has the action space {type(space).__name__}; choose an environment whose actions "
        "are Discrete or a Box of real numbers."
    )


def _observation(name: str, gym_env: Any, params: Any) -> jax.ShapeDtypeStruct:
    obs, _ = jax.eval_shape(gym_env.reset_env, jax.random.key(0), params)
    if not isinstance(obs, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{name} observes a {type(obs).__name__}; choose an environment whose observation "
            "is one array."
        )
    return jax.ShapeDtypeStruct(obs.shape, jnp.float32)


def _strongly_typed(tree: Any) -> Any:
    # Some reset states hold Python numbers. Weakly typed, they would differ from the states that
    # a step returns, and a scan refuses a carry whose type changes.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)
