"""navix environments: the grid worlds of MiniGrid. navix 4 needs Python 3.12 or later."""

import dataclasses
from typing import Any

import jax

from a2c_jax.environments import _common
from a2c_jax.spaces import Discrete
from a2c_jax.types import Environment, EnvState, Key

_FIXED = {  # by the environment's name, by make_env, or by other settings
    "height", "width", "max_steps", "disable_autoreset", "observation_space", "action_space",
    "reward_space",
}  # fmt: skip


def make(name: str, task: str, settings: dict[str, Any]) -> Environment:
    """Makes an environment of navix.

    The observation is navix's own as float32, by default symbolic and of the whole grid:
    ``[H, W, 3]``. The time limit is navix's own by default; some rewards depend on it.

    Args:
        name: full name, for messages.
        task: navix's name, such as ``"Navix-Empty-5x5-v0"``.
        settings: ``max_steps_in_episode``, and arguments of the constructor, such as
            ``observation_fn``.

    Raises:
        ValueError: as :func:`a2c_jax.make_env` does.
    """
    import navix  # optional, so this module can be imported without it

    _common.known_name(task, navix.registry(), "navix/")
    given = {setting: value for setting, value in settings.items() if setting != _common.LIMIT}
    grid = navix.make(task)
    arguments = [field.name for field in dataclasses.fields(grid) if field.name not in _FIXED]
    _common.known_settings(name, settings, (_common.LIMIT, *arguments))
    limit = _common.episode_limit(settings.get(_common.LIMIT, grid.max_steps))
    with _common.making(name, given):
        grid = navix.make(task, **given, max_steps=limit, disable_autoreset=True)
        return _environment(name, grid)


def _environment(name: str, grid: Any) -> Environment:
    first = jax.eval_shape(grid.reset, _common.untyped(jax.random.key(0)))
    structure = jax.tree.structure(_trimmed(first))

    def start(key: Key) -> tuple:
        after = grid.reset(_common.untyped(key))
        return after.observation, _common.stored(_trimmed(after))

    def follow(key: Key, env_state: EnvState, action: jax.Array) -> tuple:
        after = grid.step(_completed(jax.tree.unflatten(structure, env_state), key), action)
        state = _common.stored(_trimmed(after))
        ended = after.is_termination(), after.t >= grid.max_steps
        return after.observation, state, after.reward, *ended

    return _common.typed(name, start, follow, Discrete(len(grid.action_set)), grid.max_steps)


def _trimmed(timestep: Any) -> Any:
    """A timestep without the pictures of the background, 3 kB for each cell of the grid.

    They follow from the grid, and only observations in pixels need them.
    """
    return timestep.replace(state=timestep.state.replace(cache=None), observation=None)


def _completed(timestep: Any, key: Key) -> Any:
    """A trimmed timestep as navix needs it, with the randomness of its next step."""
    from navix.rendering.cache import RenderingCache  # optional

    cache = RenderingCache.init(timestep.state.grid)
    return timestep.replace(state=timestep.state.replace(cache=cache, key=_common.untyped(key)))
