"""Input checks, which raise one clear sentence before anything is compiled.

Traced values are not checked; shapes always are.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from a2c_jax.spaces import Discrete
from a2c_jax.types import Environment, Network, Timestep, Transition


def positive_int(name: str, value: Any) -> int:
    """Returns ``value`` as an int, or raises ValueError unless it is a whole number >= 1."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != value or isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}; give a whole number of at least 1.")
    return whole


def shown(value: Any) -> str:
    """A value for a message, on one line; that of an array may have several."""
    return " ".join(repr(value).split())


def unit_interval(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` lies in [0, 1]."""
    _check_number(name, value, lambda x: 0.0 <= x <= 1.0, "a number from 0 to 1")


def positive(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is finite and above 0."""
    _check_number(name, value, lambda x: 0.0 < x < math.inf, "a finite number above 0")


def not_negative(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is finite and at least 0."""
    _check_number(name, value, lambda x: 0.0 <= x < math.inf, "a finite number of at least 0")


def _check_number(name: str, value: Any, is_allowed: Callable[[float], bool], wanted: str) -> None:
    if is_known(value):
        try:
            allowed = is_allowed(float(value)) and bool(value == float(value))  # "1" is no number
        except (TypeError, ValueError, OverflowError):
            allowed = False
        if not allowed:
            raise ValueError(f"{name} is {shown(value)}; give {wanted}.")


def floats(name: str, array: Any) -> jax.Array:
    """Returns numbers as a floating-point array; integers and flags become float32.

    Raises:
        ValueError: if it is not an array of real numbers.
    """
    array = _array(name, array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if not (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
        raise ValueError(f"{name} has the type {array.dtype}; give real numbers.")
    return array.astype(jnp.float32)


def _array(name: str, value: Any) -> jax.Array:
    try:
        if any(isinstance(leaf, str) for leaf in jax.tree.leaves(value)):
            raise TypeError  # some versions of JAX take a string for the name of a type
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is a {type(value).__name__}; give an array of numbers.") from None


def same_shape(like_name: str, like: Any, **arrays: Any) -> list[jax.Array]:
    """Returns ``like`` and the named arrays as :func:`floats`.

    Raises:
        ValueError: unless every array has the shape of ``like``.
    """
    like = floats(like_name, like)
    others = [floats(name, array) for name, array in arrays.items()]
    for name, array in zip(arrays, others, strict=True):
        if array.shape != like.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, but {like_name} has {like.shape}; "
                "give both the same shape, time first."
            )
    return [like, *others]


def flags(like_name: str, like: jax.Array, **arrays: Any) -> None:
    """Raises ValueError unless the named arrays are bool and have the shape of ``like``."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray | jax.Array):
            raise ValueError(f"{name} is a {type(array).__name__}; give an array of type bool.")
        if array.dtype != bool:
            raise ValueError(f"{name} has the type {array.dtype}; give flags of type bool.")
    same_shape(like_name, like, **arrays)


def indices(name: str, array: Any, shape: tuple[int, ...], number: int) -> None:
    """Raises ValueError unless ``array [*shape]`` holds integers from 0 to ``number - 1``."""
    kind = _array(name, array)
    if not jnp.issubdtype(kind.dtype, jnp.integer):
        raise ValueError(f"{name} has the type {kind.dtype}; give integers.")
    if kind.shape != shape:
        raise ValueError(
            f"{name} has shape {kind.shape}, but the outputs need {shape}; give one a row."
        )
    if is_known(array):
        for value in np.unique(array):
            if not 0 <= value < number:
                raise ValueError(f"{name} holds {value}; give integers from 0 to {number - 1}.")


def time_major(name: str, array: Any) -> jax.Array:
    """Returns :func:`floats`, or raises ValueError unless there is a leading axis of time."""
    array = floats(name, array)
    if array.ndim < 1 or array.shape[0] < 1:
        raise ValueError(
            f"{name} has shape {array.shape}; give it a leading time axis of at least one row."
        )
    return array


def some_rows(name: str, array: jax.Array, where: jax.Array | None) -> None:
    """Raises ValueError unless ``where`` is None or flags, and not known to exclude all rows."""
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}; give at least one row.")
    if where is None:
        return
    flags("the masked array", array, where=where)
    if is_known(where) and not where.any():
        raise ValueError("where is False everywhere; give at least one row to include.")


def is_known(value: Any) -> bool:
    """Whether ``value`` is concrete, not traced."""
    return not isinstance(value, jax.core.Tracer)


def optimizer(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer that also takes the loss, or raises ValueError unless it is one."""
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            f"optimizer is a {type(optimizer).__name__}; give an optax transformation, such as "
            "optax.adam(1e-3)."
        )
    return optax.with_extra_args_support(optimizer)


def key(name: str, key: Any) -> None:
    """Raises ValueError unless ``key`` is a single key of ``jax.random``, typed or not."""
    given, is_key = type(key).__name__, False
    if isinstance(key, jax.Array | np.ndarray):
        given = f"{key.dtype} array of shape {key.shape}"
        is_typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
        is_key = key.ndim == 0 if is_typed else key.dtype == np.uint32 and key.ndim == 1
    if not is_key:
        raise ValueError(f"{name} is not a key ({given}); give one, such as jax.random.key(0).")


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


def transitions(transitions: Transition) -> None:
    """Raises ValueError unless rewards and flags are ``[T, N]``, observations ``[T, N, ...]``."""
    reward = floats("reward", transitions.reward)
    if reward.ndim != 2:  # noqa: PLR2004
        raise ValueError(f"reward has shape {reward.shape}; give [T, N], time first.")
    flags("reward", reward, terminated=transitions.terminated, truncated=transitions.truncated)
    for name, tree in (("obs", transitions.obs), ("next_obs", transitions.next_obs)):
        for shape in map(jnp.shape, jax.tree.leaves(tree)):
            if shape[:2] != reward.shape:
                raise ValueError(
                    f"{name} has shape {shape}, but reward has {reward.shape}; give [T, N, ...]."
                )


def check_env(env: Environment) -> None:
    """Checks an environment by its shapes and types; runs nothing.

    ``step`` must return states and observations of the shapes and types that ``reset`` returns, a
    scalar reward, and two scalar flags of type bool; observations must be as in the record.

    Raises:
        ValueError: one sentence that names what is wrong.
    """
    if not isinstance(env, Environment):
        raise ValueError(
            f"env is a {type(env).__name__}; give an Environment, such as make_env('CartPole-v1')."
        )
    key = jax.random.key(0)
    state, obs = jax.eval_shape(env.reset, key)
    observation(env, obs)
    step = jax.eval_shape(env.step, key, state, env.action_space.action)
    if not isinstance(step, Timestep):
        raise ValueError(
            f"The step of {env.name} returns a {type(step).__name__}; return a Timestep(env_state, "
            "obs, reward, terminated, truncated)."
        )
    observation(env, step.obs)
    for name, before, after in (("state", state, step.env_state), ("observation", obs, step.obs)):
        if _kinds(before) != _kinds(after):
            raise ValueError(
                f"The {name} of {env.name} is {_kinds(before)} after reset but {_kinds(after)} "
                "after step; make both the same."
            )
    wanted = {"reward": "float32[]", "terminated": "bool[]", "truncated": "bool[]"}
    for name, kind in step._asdict().items():
        if name in wanted and _kinds(kind) != wanted[name]:
            raise ValueError(f"The {name} of {env.name} is {_kinds(kind)}; make it {wanted[name]}.")


def _kinds(tree: Any) -> Any:
    """The types and shapes of a tree's arrays, such as ``float32[4]``."""
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)


def observation(env: Environment, obs: Any, leading: tuple[int, ...] = ()) -> None:
    """Raises ValueError unless ``obs`` has the structure and shapes ``[*leading, *O]``."""
    for leaf in jax.tree.leaves(env.observation):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            raise ValueError(
                f"The observation of {env.name} has a {type(leaf).__name__} in its record; give "
                "jax.ShapeDtypeStruct(shape, type) for each array."
            )
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
