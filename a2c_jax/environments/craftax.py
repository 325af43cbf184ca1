"""Craftax and Craftax-Classic: survival and crafting in an open world."""

import dataclasses
from typing import Any

import jax

from a2c_jax.environments import _common
from a2c_jax.spaces import Discrete
from a2c_jax.types import Environment, EnvState, Key

_NAMES = (
    "Craftax-Classic-Symbolic-v1",
    "Craftax-Classic-Pixels-v1",
    "Craftax-Symbolic-v1",
    "Craftax-Pixels-v1",
)


def make(name: str, task: str, settings: dict[str, Any]) -> Environment:
    """Makes Craftax or Craftax-Classic.

    The observation is a vector ``[D]`` of symbols, or an image ``[H, W, 3]`` from 0 to 1. The time
    limit is that of the suite by default: 10,000 steps in Classic, 100,000 otherwise.

    Args:
        name: full name, for messages.
        task: craftax's name, such as ``"Craftax-Classic-Symbolic-v1"``.
        settings: ``max_steps_in_episode``, and fields of craftax's parameters, such as
            ``always_diamond``, or static parameters, such as ``map_size``.

    Raises:
        ValueError: as :func:`a2c_jax.make_env` does.
    """
    # Optional, so this module can be imported without it.
    from craftax.craftax_env import make_craftax_env_from_name

    _common.known_name(task, _NAMES, "craftax/")
    with _common.making(name, {}):
        world: Any = make_craftax_env_from_name(task, auto_reset=False)
    params = world.default_params
    fields = [field.name for field in dataclasses.fields(params) if field.name != "max_timesteps"]
    static = [field.name for field in dataclasses.fields(world.static_env_params)]
    _common.known_settings(name, settings, (_common.LIMIT, *fields, *static))
    limit = _common.episode_limit(settings.get(_common.LIMIT, params.max_timesteps))
    given = {setting: value for setting, value in settings.items() if setting != _common.LIMIT}
    with _common.making(name, given):
        world = type(world)(
            world.static_env_params.replace(**{one: given[one] for one in static if one in given})
        )
        params = params.replace(**{one: given[one] for one in fields if one in given})
        return _environment(name, world, params, limit)


def _environment(name: str, world: Any, params: Any, limit: int) -> Environment:
    # craftax's `done` does not say why: with a time limit that is never reached, it is a death.
    params = params.replace(max_timesteps=_common.MAX_STEPS)

    def start(key: Key) -> tuple:
        return world.reset(_common.untyped(key), params)

    def follow(key: Key, env_state: EnvState, action: jax.Array) -> tuple:
        obs, state, reward, done, _ = world.step(_common.untyped(key), env_state, action, params)
        return obs, state, reward, done, state.timestep >= limit

    space = Discrete(world.action_space(params).n)
    return _common.typed(name, start, follow, space, limit)
