"""gymnax environments without their automatic resets."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from gymnax.environments import spaces as gymnax_spaces
from gymnax.environments.environment import Environment as GymnaxEnvironment
from gymnax.wrappers.purerl import GymnaxWrapper

from a2c_jax._devices import fast_random
from a2c_jax.environments import _common
from a2c_jax.spaces import Box, Discrete, Space
from a2c_jax.types import Environment, EnvState, Key

_FINAL = "final_observation"


def make_gymnax(name: str, settings: dict[str, Any]) -> Environment:
    """Makes an environment by name; see :func:`a2c_jax.make_env`."""
    _common.known_name(name, gymnax.registered_envs)
    with _common.making(name, {}):  # MNISTBandit-bsuite downloads its data
        gym_env, params = gymnax.make(name)
    fields = [field.name for field in dataclasses.fields(params)]
    arguments = [one for one in inspect.signature(type(gym_env)).parameters if one not in fields]
    _common.known_settings(name, settings, (*fields, *arguments))
    constructed = {one: settings[one] for one in arguments if one in settings}
    if constructed:
        with _common.making(name, constructed):
            gym_env, params = gymnax.make(name, **constructed)
            jax.eval_shape(gym_env.reset_env, jax.random.key(0), params)  # some fail only there
            gym_env.action_space(params)
    params = params.replace(**{one: settings[one] for one in fields if one in settings})
    return _environment(name, gym_env, params, gym_env.reset_env, _without_reset(gym_env))


def make_from_gymnax(gym_env: Any, params: Any, name: str | None) -> Environment:
    """Makes an environment from an instance; see :func:`a2c_jax.from_gymnax`."""
    if not isinstance(gym_env, GymnaxEnvironment | GymnaxWrapper):
        raise ValueError(
            f"env is {gym_env!r}; give an instance of a gymnax environment or wrapper."
        )
    params = gym_env.default_params if params is None else params
    kind: Any = type(gym_env)
    # Only where nobody overrides `step` is `step_env` all of it.
    is_plain = issubclass(kind, GymnaxEnvironment) and kind.step is GymnaxEnvironment.step
    step = _without_reset(gym_env) if is_plain else _with_final_observation(gym_env)
    # A subclass is another task than the one whose name it inherits.
    is_gymnax_s = kind.__module__.startswith("gymnax.environments.")
    name = name or (gym_env.name if is_gymnax_s else kind.__name__)
    return _environment(name, gym_env, params, gym_env.reset, step)


def _environment(name: str, gym_env: Any, params: Any, start: Any, follow: Any) -> Environment:
    limit = _common.episode_limit(params.max_steps_in_episode)

    _check_observation(name, start, params)
    return _common.typed(
        name,
        fast_random(lambda key: start(key, params)),
        fast_random(lambda *args: follow(*args, params)),
        _space(name, gym_env.action_space(params)),
        limit,
    )


def _without_reset(gym_env: Any) -> Callable[..., tuple]:
    """A step from gymnax's parts: at the end of an episode, its own ``step`` resets."""

    def follow(key: Key, env_state: EnvState, action: jax.Array, params: Any) -> tuple:
        obs, env_state, reward, terminated, _ = gym_env.step_env(key, env_state, action, params)
        return obs, env_state, reward, terminated, gym_env.is_truncated(env_state, params)

    return follow


def _with_final_observation(gym_env: Any) -> Callable[..., tuple]:
    """``step``, which resets, with the true successor that it keeps."""

    def follow(key: Key, env_state: EnvState, action: jax.Array, params: Any) -> tuple:
        _, env_state, *outcome, info = gym_env.step(key, env_state, action, params)
        if len(outcome) != len(("reward", "terminated", "truncated")) or _FINAL not in info:
            raise ValueError(
                "step of env has to return (obs, state, reward, terminated, truncated, info) with "
                f"info[{_FINAL!r}], as gymnax's own does."
            )
        return info[_FINAL], env_state, *outcome

    return follow


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


def _check_observation(name: str, start: Any, params: Any) -> None:
    obs, _ = jax.eval_shape(start, jax.random.key(0), params)
    if not isinstance(obs, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{name} observes a {type(obs).__name__}; choose an environment whose observation "
            "is one array."
        )
