"""One clear sentence for each kind of bad input, raised before anything is compiled.

Values that are being traced cannot be looked at and pass; shapes always can.
"""

import math
from typing import Any

import chex
import jax


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
                f"{name} has shape {array.shape} where {like_name} has {like.shape}; "
                "give both the same shape, time first."
            ) from error


def time_major(name: str, array: jax.Array) -> None:
    """Raises ValueError unless ``array`` has a leading time axis of at least one row."""
    if array.ndim < 1 or array.shape[0] < 1:
        raise ValueError(
            f"{name} has shape {array.shape}; give it a leading time axis of at least one row."
        )


def is_known(value: Any) -> bool:
    """Whether ``value`` is a number that can be looked at, and not being traced."""
    return not isinstance(value, jax.core.Tracer)
