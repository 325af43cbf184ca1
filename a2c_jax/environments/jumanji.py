"""jumanji environments: puzzles, packing and routing, most with a mask of legal actions."""

import inspect
import math
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax.environments import _common
from a2c_jax.environments.wrappers import time_limit
from a2c_jax.spaces import Box, Discrete, MultiDiscrete, Space
from a2c_jax.types import Environment, EnvState, Key, MaskedObservation

_MASK, _LIMIT = "action_mask", "time_limit"  # jumanji's names


def make(name: str, task: str, settings: dict[str, Any]) -> Environment:
    """Makes an environment of jumanji.

    The observation is :class:`a2c_jax.MaskedObservation` where jumanji has a mask over the
    actions, or over each of several actions; masks of other forms are dropped. Several actions
    whose mask covers their combinations become one Discrete action, in row-major order. ``obs``
    is float32: an observation of one array keeps its shape, several are concatenated to a vector.
    After an episode the mask may forbid every action.

    The reward is summed over the agents of a team. The time limit is jumanji's own by default, or
    1000 steps where it has none. At its own limit jumanji terminates most episodes; so that they
    are truncated, its limit is set one step later here, by which SearchAndRescue scales rewards.

    Args:
        name: full name, for messages.
        task: jumanji's name, such as ``"Snake-v1"``.
        settings: ``max_steps_in_episode``, and arguments of the constructor, such as ``num_rows``.

    Raises:
        ValueError: as :func:`a2c_jax.make_env` does.
    """
    import jumanji  # optional, so this module can be imported without it

    _common.known_name(task, jumanji.registered_environments(), "jumanji/")
    given = {setting: value for setting, value in settings.items() if setting != _common.LIMIT}
    with _common.making(name, {}):  # Sokoban downloads its levels
        game: Any = jumanji.make(task)
    arguments = list(inspect.signature(type(game)).parameters)
    others = [one for one in arguments if one not in {_LIMIT, "viewer"}]
    _common.known_settings(name, settings, (_common.LIMIT, *others))
    default = game.time_limit if _LIMIT in arguments else _common.DEFAULT_LIMIT
    limit = _common.episode_limit(settings.get(_common.LIMIT, default))
    later = {_LIMIT: min(limit + 1, _common.MAX_STEPS)} if _LIMIT in arguments else {}
    with _common.making(name, given):
        env = _environment(name, jumanji.make(task, **given, **later))
    return time_limit(env, limit)


def _environment(name: str, game: Any) -> Environment:
    state, first = jax.eval_shape(game.reset, _common.untyped(jax.random.key(0)))
    structure = jax.tree.structure(state)
    mask = _fields(first.observation).get(_MASK)
    space, decode, has_mask = _actions(game.action_spec, () if mask is None else mask.shape)

    def start(key: Key) -> tuple:
        state, timestep = game.reset(_common.untyped(key))
        return _observation(timestep.observation, has_mask), _common.stored(state)

    def follow(key: Key, env_state: EnvState, action: jax.Array) -> tuple:
        state = jax.tree.unflatten(structure, env_state).replace(key=_common.untyped(key))
        state, timestep = game.step(state, decode(action))
        obs = _observation(timestep.observation, has_mask)
        reward = jnp.sum(timestep.reward, dtype=jnp.float32)
        terminated = timestep.last() & jnp.all(timestep.discount == 0)
        return obs, _common.stored(state), reward, terminated, timestep.last() & ~terminated

    return _common.typed(name, start, follow, space, _common.MAX_STEPS)


def _actions(spec: Any, mask: tuple[int, ...]) -> tuple[Space, Callable[..., jax.Array], bool]:
    """The action space, what turns its actions into jumanji's, and whether a mask fits it."""

    def decode(action: jax.Array) -> jax.Array:
        return action.reshape(spec.shape).astype(spec.dtype)

    def decode_combination(action: jax.Array) -> jax.Array:
        return decode(jnp.stack(jnp.unravel_index(action, sizes)))

    if jnp.issubdtype(spec.dtype, jnp.floating):
        low, high = (np.broadcast_to(bound, spec.shape) for bound in (spec.minimum, spec.maximum))
        return Box(low, high, spec.shape), decode, False
    sizes = _sizes(spec, mask)
    if mask == sizes:
        return Discrete(math.prod(sizes)), decode_combination, True
    if not spec.shape:
        return Discrete(*sizes), decode, False
    return MultiDiscrete(sizes), decode, mask == (len(sizes), sizes[0]) and len(set(sizes)) == 1


def _sizes(spec: Any, mask: tuple[int, ...]) -> tuple[int, ...]:
    """How many values each of several integers has."""
    highest = np.ravel(np.broadcast_to(spec.maximum, spec.shape))
    if mask and mask[:-1] == spec.shape and np.all(highest == mask[-1:]):
        return mask[-1:] * len(highest)  # MultiCVRP's bounds include one node too many
    return tuple(int(high) + 1 for high in highest)


def _fields(observation: Any) -> dict[str, Any]:
    return dict(vars(observation)) if is_dataclass(observation) else observation._asdict()


def _observation(observation: Any, has_mask: bool) -> Any:
    fields = _fields(observation)
    rest = [value for field, value in fields.items() if field != _MASK]
    leaves = jax.tree.leaves(rest)
    obs = leaves[0] if len(leaves) == 1 else _common.flat(leaves)
    if not has_mask:
        return obs
    return MaskedObservation(obs, jnp.ravel(jnp.asarray(fields[_MASK], jnp.bool_)))
