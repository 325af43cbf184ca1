"""What the adapters of several suites share."""

import contextlib
import difflib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.spaces import Space
from a2c_jax.types import (
    Environment,
    EnvState,
    Key,
    MaskedObservation,
    Observation,
    ResetFn,
    Timestep,
)

LIMIT = "max_steps_in_episode"  # the setting that every suite has
DEFAULT_LIMIT = 1000  # steps, where an environment has no time limit of its own
MAX_STEPS = 2**31 - 1  # environments count their steps in int32


def strongly_typed(tree: Any) -> Any:
    """Gives every array of a tree the type that it has, without weak types.

    Some reset states hold Python numbers. Weakly typed, they would differ from the states that a
    step returns, and a scan refuses a carry whose type changes.
    """
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)


def stored(state: Any) -> tuple[jax.Array, ...]:
    """The arrays of a suite's state.

    Some suites' records define ``==`` in a way of their own, so that two trees cannot be compared,
    or have tuples as keys, so that their arrays cannot be saved by name.
    """
    return tuple(jax.tree.leaves(state))


def untyped(key: Key) -> jax.Array:
    """The words of a key, for suites that keep keys in their states, which are plain arrays."""
    return jax.random.key_data(key)


def flat(tree: Any) -> jax.Array:
    """The numbers of a tree as one float32 vector ``[D]``."""
    leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves)


def typed(
    name: str,
    start: Callable[[Key], tuple],
    follow: Callable[[Key, Any, jax.Array], tuple],
    action_space: Space,
    limit: int,
) -> Environment:
    """An environment, with arrays of the right types, from functions in the order of gymnax.

    ``start`` returns ``(obs, state)``, and ``follow`` returns ``(obs, state, reward, terminated,
    truncated)``, each of any type.
    """

    def reset(key: Key) -> tuple[EnvState, Observation]:
        obs, env_state = start(key)
        return strongly_typed(env_state), inside(_real, obs)

    def step(key: Key, env_state: EnvState, action: jax.Array) -> Timestep:
        obs, env_state, reward, terminated, truncated = follow(key, env_state, action)
        return Timestep(
            env_state=strongly_typed(env_state),
            obs=inside(_real, obs),
            reward=_real(reward),
            terminated=jnp.asarray(terminated, jnp.bool_),
            truncated=jnp.asarray(truncated, jnp.bool_),
        )

    return Environment(name, reset, step, observation_of(reset), action_space, limit)


def _real(array: Any) -> jax.Array:
    return jnp.asarray(array, jnp.float32)


def inside(function: Callable[[Observation], Observation], obs: Observation) -> Observation:
    """Applies a function to an observation, inside a mask."""
    if isinstance(obs, MaskedObservation):
        return obs._replace(obs=function(obs.obs))
    return function(obs)


def observation_of(reset: ResetFn) -> Any:
    """The shapes and types of the observations that ``reset`` returns."""
    return jax.eval_shape(reset, jax.random.key(0))[1]


def episode_limit(limit: Any) -> int:
    """Returns a time limit, or raises ValueError unless it is a whole number that int32 holds."""
    limit = checks.positive_int(LIMIT, limit)
    if limit > MAX_STEPS:
        raise ValueError(f"{LIMIT} is {limit}; give {MAX_STEPS} at most.")
    return limit


def known_name(name: Any, known: Iterable[str], prefix: str = "") -> None:
    """Raises ValueError, with the nearest names, unless a suite has the environment."""
    known = sorted(known)
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.3)
        names = ", ".join(prefix + one for one in near or known)
        raise ValueError(
            f"There is no environment {prefix + str(name)!r}; the nearest names are: {names}."
        )


def known_settings(name: str, settings: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError unless every setting is a parameter of the environment."""
    known = list(known)
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"{name} has no parameter {setting!r}; it has these: {', '.join(known)}."
            )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discards what a suite prints and warns about while it is imported or traced."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def making(name: str, settings: dict[str, Any]) -> Iterator[None]:
    """Turns any error of a suite into a ValueError that names the settings."""
    try:
        yield
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = f"{name} cannot be made with {given or 'its defaults'} ({reason})"
        remedy = "give other settings" if given else "choose another environment"
        raise ValueError(f"{message}; {remedy}.") from error
