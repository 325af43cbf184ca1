"""The settings of a sweep: a grid, or random draws."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

import numpy as np

from a2c_jax import checks
from a2c_jax.experiment.config import TrainConfig, used_settings
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.presets import Settings
from a2c_jax.settings import KINDS

_EMPTY = "over is empty; name at least one setting to sweep over."
_FLAGS = {"true": True, "false": False}


class Range(NamedTuple):
    """A range from ``low`` to ``high``, uniform in the value or, with ``log``, in its logarithm."""

    low: float
    high: float
    log: bool = False


class Points(NamedTuple):
    """The values ``[P]`` of each setting of a sweep, by name.

    ``shape`` is that of a grid, whose last setting varies fastest; None for random draws.
    """

    values: dict[str, np.ndarray]
    shape: tuple[int, ...] | None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def names(self) -> list[str]:
        """The names of the settings, as words."""
        return [name.replace("_", " ") for name in self.values]

    def at(self, point: int) -> dict[str, Any]:
        """The settings of one point: numbers, names and flags."""
        return {name: values[point].item() for name, values in self.values.items()}


def grid(axes: Mapping[str, Sequence[Any]]) -> Points:
    """Every combination of the values of each setting."""
    if not axes:
        raise ValueError(_EMPTY)
    for name, values in axes.items():
        if len(values) == 0 or len(set(values)) < len(values):
            raise ValueError(f"{name} is {list(values)}; give at least one value, each once.")
    meshes = np.meshgrid(*axes.values(), indexing="ij")
    columns = (_column(mesh.ravel()) for mesh in meshes)
    return Points(dict(zip(axes, columns, strict=True)), meshes[0].shape)


def _column(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return array if array.dtype.kind in "bU" else array.astype(np.float64)


def random_draws(axes: Mapping[str, Range | Sequence[Any]], number: int, seed: int = 0) -> Points:
    """Independent draws of each setting, uniform over a range or over values."""
    if not axes:
        raise ValueError(_EMPTY)
    number, rng = checks.positive_int("draws", number), np.random.default_rng(seed)

    def draw(axis: Range | Sequence[Any]) -> np.ndarray:
        if not isinstance(axis, Range):
            return rng.choice(_column(axis), number)
        if axis.log:
            return np.exp(rng.uniform(np.log(axis.low), np.log(axis.high), number))
        return rng.uniform(axis.low, axis.high, number)

    return Points({name: draw(axis) for name, axis in axes.items()}, None)


def parse_points(over: Sequence[str], draws: int | None, seed: int = 0) -> Points:
    """Parses the settings of a sweep: a grid, or a number of random draws.

    Each text is ``NAME=VALUE,VALUE,…``, of numbers or names, or a range,
    ``NAME=LOW:HIGH:NUMBER[:log]`` for a grid and ``NAME=LOW:HIGH[:log]`` for random draws.
    """
    axes: dict[str, Any] = {}
    for text in over:
        name, _, axis = text.partition("=")
        name = name.replace("-", "_")
        if name in axes:
            raise ValueError(f"over names {name} more than once; name every setting once.")
        try:
            axes[name] = _parse_axis(axis, draws is not None)
        except ValueError as error:
            number = ":8" if draws is None else ""
            raise ValueError(
                f"over is {text!r}; give values like {name or 'discount'}=0.9,0.99 or a range like "
                f"{name or 'learning_rate'}=1e-4:1e-2{number}:log ({error})."
            ) from error
    return grid(axes) if draws is None else random_draws(axes, draws, seed)


def _parse_axis(text: str, draw: bool) -> Range | list[Any]:
    if ":" not in text:
        values = text.split(",")
        is_named = all(value.isidentifier() and value not in ("nan", "inf") for value in values)
        return [_FLAGS.get(v, v) for v in values] if is_named else [float(v) for v in values]
    match = re.fullmatch(r"([^:]+):([^:]+)(?::(\d+))?(:log)?", text)
    if match is None or draw != (match[3] is None):
        raise ValueError("a range for draws has no number" if draw else "the number is missing")
    low, high, log = float(match[1]), float(match[2]), match[4] is not None
    if not -math.inf < low < high < math.inf:
        raise ValueError("the first end must be below the second")
    if log and low <= 0.0:
        raise ValueError("a logarithmic range must begin above 0")
    space = np.geomspace if log else np.linspace
    return Range(low, high, log) if draw else space(low, high, int(match[3])).tolist()


def traced_settings(settings: Settings) -> list[str]:
    """The settings that one compiled program takes as inputs: numbers that are no counts."""
    used = used_settings(settings)
    return [name for name, kind in KINDS.items() if name in used and _is_number(kind)]


def _is_number(kind: Any) -> bool:
    return kind is float or (get_origin(kind) is not tuple and any(map(_is_number, get_args(kind))))


def settings_at(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with new values; a last value that is not given keeps its ratio to the first."""
    for name in ("learning_rate", "entropy_coef"):
        first, last = getattr(settings, name), getattr(settings, f"final_{name}")
        if name in values and first and last is not None:
            values = {f"final_{name}": values[name] * (last / first), **values}
    return dataclasses.replace(settings, **values)


def check_points(config: TrainConfig, points: Points) -> Job:
    """Checks every point before training; returns the job of the shared configuration."""
    job, traced = make_job(config), traced_settings(config.settings)
    used = used_settings(config.settings) | {"network"}
    single = {name for name in used if get_origin(KINDS[name]) is not tuple}
    for name, column in points.values.items():
        checks.known_name("setting", name, sorted(single))
        if name in traced and not (column.dtype.kind == "f" and np.isfinite(column).all()):
            raise ValueError(f"over names {name}, which is a number; give it finite numbers.")
    for values in map(points.at, range(len(points))):
        one = make_job(config.with_settings(settings_at(config.settings, values)))
        if (one.num_updates, one.per_update) != (job.num_updates, job.per_update):
            raise ValueError(
                f"over has {', '.join(f'{name}={value}' for name, value in values.items())}, with "
                "which a run has another number of updates or of steps in each; train once for "
                "each value instead."
            )
    return job
