"""Checks of arguments, which raise one clear sentence before anything is compiled.

Traced values are not checked; shapes always are.
"""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


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


def known_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns ``name``, or raises ValueError with the names nearest to it."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"There is no {kind} {name!r}; {hint}choose one of: {', '.join(known)}.")
    return name


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
