"""brax environments: physics of rigid bodies, with continuous actions."""

import inspect
from typing import Any

import jax

from a2c_jax.environments import _common
from a2c_jax.environments.wrappers import time_limit
from a2c_jax.spaces import Box
from a2c_jax.types import Environment, EnvState, Key

TASKS = (
    "inverted_pendulum", "inverted_double_pendulum", "reacher", "pusher", "hopper", "walker2d",
    "halfcheetah", "ant", "humanoid", "humanoidstandup",
)  # fmt: skip
"""The tasks that a preset is for: all but ``swimmer``, whose step fails in brax 0.14, and ``fast``,
which is for brax's own tests."""


def make(name: str, task: str, settings: dict[str, Any]) -> Environment:
    """Makes an environment of brax.

    Observations are vectors ``[D]``. Actions are vectors in [-1, 1], which brax scales to the
    range of each actuator. The time limit is 1000 steps by default, as in brax's own training.

    Args:
        name: full name, for messages.
        task: brax's name, such as ``"ant"``.
        settings: ``max_steps_in_episode``, and arguments of the constructor, such as ``backend``.

    Raises:
        ValueError: as :func:`a2c_jax.make_env` does.
    """
    from brax import envs  # optional, so this module can be imported without it

    _common.known_name(task, envs._envs, "brax/")
    constructor = envs._envs[task]
    arguments = [
        argument.name
        for argument in inspect.signature(constructor).parameters.values()
        if argument.kind is not argument.VAR_KEYWORD
    ]
    _common.known_settings(name, settings, (_common.LIMIT, *arguments))
    limit = _common.episode_limit(settings.get(_common.LIMIT, _common.DEFAULT_LIMIT))
    given = {setting: settings[setting] for setting in arguments if setting in settings}
    with _common.making(name, given):
        env = _endless(name, constructor(**given))
    return time_limit(env, limit)


def _endless(name: str, brax_env: Any) -> Environment:
    """The environment without a time limit."""

    def start(key: Key) -> tuple:
        with _common.quiet():  # brax uses names that MuJoCo calls deprecated
            state = brax_env.reset(key)
        return state.obs, state

    def follow(key: Key, env_state: EnvState, action: jax.Array) -> tuple:
        copy = jax.tree.map(lambda leaf: leaf, env_state)  # brax changes its dictionaries in place
        with _common.quiet():
            state = brax_env.step(copy, action)
        return state.obs, state, state.reward, state.done, False

    space = Box(-1.0, 1.0, (brax_env.action_size,))
    return _common.typed(name, start, follow, space, _common.MAX_STEPS)
