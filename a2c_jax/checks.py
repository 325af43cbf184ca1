"""Input checks, which raise one clear sentence before anything is compiled.

Traced values are not checked; shapes always are.
"""

import math
from typing import Any

import chex
import jax

from a2c_jax.spaces import Discrete
from a2c_jax.types import Environment, Network


def positive_int(name: str, value: Any) -> int:
    """Returns ``value`` as an int, or raises ValueError unless it is a whole number >= 1."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != value or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; give a whole number of at least 1.")
    return whole


def unit_interval(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` lies in [0, 1]."""
    if is_known(value) and not 0.0 <= float(value) <= 1.0:
        raise ValueError(f"{name} is {float(value)}; give a number from 0 to 1.")


def positive(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is finite and above 0."""
    if is_known(value) and not (math.isfinite(float(value)) and float(value) > 0.0):
        raise ValueError(f"{name} is {float(value)}; give a finite number above 0.")


def not_negative(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is finite and at least 0."""
    if is_known(value) and not (math.isfinite(float(value)) and float(value) >= 0.0):
        raise ValueError(f"{name} is {float(value)}; give a finite number of at least 0.")


def same_shape(like_name: str, like: jax.Array, **arrays: jax.Array) -> None:
    """Raises ValueError unless every named array has the shape of ``like``."""
    for name, array in arrays.items():
        try:
            chex.assert_shape(array, like.shape)
        except AssertionError as error:
            raise ValueError(
                f"{name} has shape {array.shape}, but {like_name} has {like.shape}; "
                "give both the same shape, time first."
            ) from error


def time_major(name: str, array: jax.Array) -> None:
    """Raises ValueError unless ``array`` has a leading time axis of at least one row."""
    if array.ndim < 1 or array.shape[0] < 1:
        raise ValueError(
            f"{name} has shape {array.shape}; give it a leading time axis of at least one row."
        )


def some_rows(where: jax.Array | None) -> None:
    """Raises ValueError if ``where`` is known and excludes every row."""
    if where is not None and is_known(where) and not where.any():
        raise ValueError("where is False everywhere; give at least one row to include.")


def is_known(value: Any) -> bool:
    """Whether ``value`` is concrete, not traced."""
    return not isinstance(value, jax.core.Tracer)


def single_array(env: Environment) -> tuple[int, ...]:
    """Returns the shape of an observation, or raises ValueError unless it is one array."""
    if not isinstance(env.observation, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{env.name} observes a {type(env.observation).__name__}, but this network takes one "
            "array; give a network of your own, or an environment that observes one array."
        )
    return env.observation.shape


def discrete(env: Environment) -> int:
    """Returns the number of actions, or raises ValueError unless the action space is Discrete."""
    if not isinstance(env.action_space, Discrete):
        raise ValueError(
            f"{env.name} has the action space {env.action_space!r}, but a critic of each action "
            "needs Discrete actions; use actor_critic, or choose another environment."
        )
    return env.action_space.n


def observation(env: Environment, obs: Any, leading: tuple[int, ...] = ()) -> None:
    """Raises ValueError unless ``obs`` has the structure and shapes ``[*leading, *O]``."""
    expected = jax.tree.map(lambda leaf: (*leading, *leaf.shape), env.observation)
    given = jax.tree.map(lambda leaf: tuple(leaf.shape), obs)
    if given != expected:
        raise ValueError(
            f"The observation of {env.name} is {given}, but its record says {expected}; make "
            "Environment.observation agree with what reset and step return."
        )


def network(
    env: Environment,
    network: Network,
    num_envs: int,
    num_outputs: int,
    values: tuple[int, ...] = (),
) -> None:
    """Raises ValueError unless a network fits an environment; evaluates shapes only.

    The policy must have ``num_outputs`` outputs; the value must have the shape ``values``.
    """
    if not isinstance(network, Network):
        raise ValueError(
            f"network is a {type(network).__name__}; give a Network(init, policy, value), such as "
            "mlp_actor_critic(env)."
        )
    batch = (1, positive_int("num_envs", num_envs))
    obs = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*batch, *leaf.shape), leaf.dtype), env.observation
    )
    params = jax.eval_shape(network.init, jax.random.key(0))
    outputs = jax.eval_shape(network.policy, params, obs).shape[len(batch) :]
    if outputs != (num_outputs,):
        raise ValueError(
            f"network.policy outputs {_numbers(outputs)}, but the action space "
            f"{env.action_space!r} of {env.name} needs {num_outputs}; make the last layer match."
        )
    given = jax.eval_shape(network.value, params, obs).shape[len(batch) :]
    if given != values:
        raise ValueError(
            f"network.value gives {_numbers(given)} for an observation, but {_numbers(values)} "
            "is needed; actor_critic takes mlp_actor_critic(env), q_actor_critic takes "
            "mlp_q_actor_critic(env)."
        )


def _numbers(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "a single number"
