"""The settings of a preset and of its method, as one flat table."""

import dataclasses
import functools
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_origin, get_type_hints

import jax
import msgspec
import numpy as np

from a2c_jax import checks
from a2c_jax.presets import OwnAlgorithm, Preset, Settings

SettingsT = TypeVar("SettingsT", bound=Settings)


def as_dict(settings: Settings) -> dict[str, Any]:
    """Every setting by name: also those of the method and the architecture, but not these two."""
    if isinstance(settings, OwnAlgorithm):
        return {"total_steps": settings.total_steps}
    values = functools.reduce(operator.or_, map(vars, _parts(settings).values()), vars(settings))
    return {name: value for name, value in values.items() if name not in _PARTS}


def setting_types(settings: Settings) -> dict[str, Any]:
    """The declared type of every setting."""
    each = (settings, *_parts(settings).values())
    return functools.reduce(operator.or_, (get_type_hints(type(one)) for one in each))


def replace(settings: SettingsT, **changes: Any) -> SettingsT:
    """As ``dataclasses.replace``, but changes may be settings of the method or the architecture.

    A new ``method`` or ``architecture`` is applied before its settings.

    Raises:
        TypeError: if there is no setting of that name.
    """
    own = {name: changes.pop(name) for name in list(changes) if name in vars(settings)}
    settings = dataclasses.replace(settings, **own)
    for name, part in _parts(settings).items():
        inner = {key: changes.pop(key) for key in list(changes) if key in vars(part)}
        if inner:
            settings = dataclasses.replace(settings, **{name: dataclasses.replace(part, **inner)})
    if changes:
        raise TypeError(f"there is no setting {sorted(changes)[0]!r}")
    return settings


def checked(settings: SettingsT) -> SettingsT:
    """The settings with every number as Python's own, of its declared type.

    Raises:
        ValueError: if a value is of another type.
    """
    kinds = setting_types(settings)
    values = {
        name: value
        for name, value in as_dict(settings).items()
        if not (callable(value) and get_origin(kinds[name]) is Callable)
    }
    return replace(settings, **typed_all(values, kinds))


def typed_all(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Converts values to their types by :func:`typed`."""
    return {name: typed(name, value, kinds[name]) for name, value in values.items()}


def typed(name: str, value: Any, kind: Any) -> Any:
    """Converts a value of JSON, Python, NumPy or JAX to a type; whole floats become ints.

    Raises:
        ValueError: if it is of another type.
    """
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic | jax.Array) else value
    path = os.fspath(value) if isinstance(value, os.PathLike) else plain
    for candidate in (plain, _with_ints(plain), path):
        try:
            return msgspec.convert(candidate, kind)
        except (msgspec.ValidationError, UnicodeError) as error:
            reason = str(error)
    raise ValueError(f"{name} is {checks.shown(value)}; {reason[0].lower()}{reason[1:]}.")


def _with_ints(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_ints(each) for each in value]
    if isinstance(value, np.generic):
        return _with_ints(value.item())
    return int(value) if isinstance(value, float) and value.is_integer() else value


_PARTS = ("method", "architecture")


def _parts(settings: Settings) -> dict[str, Any]:
    """The parts of a preset that have settings of their own."""
    if not isinstance(settings, Preset):
        return {}
    return {name: getattr(settings, name) for name in _PARTS}
