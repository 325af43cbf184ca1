"""The settings that a sweep tries: a grid, or random draws."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from a2c_jax import presets
from a2c_jax.experiment.config.config import TrainConfig, checked_name
from a2c_jax.experiment.run.job import resolve_env
from a2c_jax.methods import method_name
from a2c_jax.presets import ArticlePreset, Preset, get_setting, setting_names

_FEWEST_PARTS, _LOG = 2, "log"


class Range(NamedTuple):
    """From ``low`` to ``high``, evenly; or evenly in the logarithm, as suits rates."""

    low: float
    high: float
    log: bool = False


class Points(NamedTuple):
    """The settings that a sweep tries.

    Attributes:
        values: of each setting that is swept, ``[P]``, by name.
        shape: how many values each has on a grid, the last the fastest to change; None for
            random draws.
    """

    values: dict[str, np.ndarray]
    shape: tuple[int, ...] | None

    def __len__(self) -> int:
        """How many points there are, P."""
        return len(next(iter(self.values.values())))


def grid(axes: Mapping[str, Sequence[float]]) -> Points:
    """Every combination of the values of each setting.

    Raises:
        ValueError: if there is no setting, or one has no or equal values.
    """
    if not axes:
        raise ValueError("over is empty; name at least one setting to sweep over.")
    for name, values in axes.items():
        if len(values) == 0 or len(set(values)) < len(values):
            raise ValueError(f"{name} is {list(values)}; give at least one value, each once.")
    meshes = np.meshgrid(*(np.asarray(v, np.float64) for v in axes.values()), indexing="ij")
    columns = {name: mesh.ravel() for name, mesh in zip(axes, meshes, strict=True)}
    return Points(columns, tuple(len(v) for v in axes.values()))


def random_draws(axes: Mapping[str, Range | Sequence[float]], number: int, seed: int = 0) -> Points:
    """Independent draws: of a range evenly (in the logarithm, if it says so), else of the values.

    Args:
        axes: by the setting's name.
        number: of draws.
        seed: of the draws; the same give the same.

    Raises:
        ValueError: if there is no setting, or ``number`` is below 1.
    """
    if not axes:
        raise ValueError("over is empty; name at least one setting to sweep over.")
    if number < 1:
        raise ValueError(f"draws is {number}; give a whole number of at least 1.")
    dice = np.random.default_rng(seed)
    values = {}
    for name, axis in axes.items():
        if not isinstance(axis, Range):
            values[name] = dice.choice(np.asarray(axis, np.float64), number)
        elif axis.log:
            values[name] = np.exp(dice.uniform(np.log(axis.low), np.log(axis.high), number))
        else:
            values[name] = dice.uniform(axis.low, axis.high, number)
    return Points(values, None)


def parse_points(over: Sequence[str], draws: int | None, seed: int = 0) -> Points:
    """Reads what a sweep is over from texts.

    ``NAME=VALUE,VALUE,…``, or a range: ``NAME=LOW:HIGH:NUMBER[:log]`` for a grid, and
    ``NAME=LOW:HIGH[:log]`` to draw from.

    Args:
        over: a text for each setting.
        draws: number of random draws; None for a grid.
        seed: of the draws.

    Raises:
        ValueError: one sentence, if a text is none of these.
    """
    axes: dict[str, Any] = {}
    for text in over:
        name, _, rest = text.partition("=")
        name = name.replace("-", "_")
        if name in axes:
            raise ValueError(f"over names {name} more than once; name every setting once.")
        try:
            axes[name] = _parse_axis(rest, draws is not None)
        except ValueError as error:
            example = "1e-4:1e-2:log" if draws is not None else "1e-4:1e-2:8:log"
            raise ValueError(
                f"over is {text!r}; give values like {name or 'discount'}=0.9,0.99 or a range like "
                f"{name or 'learning_rate'}={example}{f' ({error})' if str(error) else ''}."
            ) from error
    return grid(axes) if draws is None else random_draws(axes, draws, seed)


def _parse_axis(text: str, draw: bool) -> Range | list[float]:
    if ":" not in text:
        return [float(value) for value in text.split(",")]
    parts = text.split(":")
    log = parts[-1] == _LOG
    numbers = parts[:-1] if log else parts
    if len(numbers) != _FEWEST_PARTS + (not draw):
        raise ValueError("a range that is drawn from has no number" if draw else "no number")
    low, high = float(numbers[0]), float(numbers[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError("the first is to be below the second")
    if log and low <= 0.0:
        raise ValueError("a logarithmic range begins above 0")
    if draw:
        return Range(low, high, log)
    space = np.geomspace if log else np.linspace
    return space(low, high, int(numbers[2])).tolist()


def traced_settings(settings: Preset | ArticlePreset) -> list[str]:
    """The settings that a sweep can be over: numbers that the compiled program takes as inputs."""
    return [n for n in setting_names(settings) if type(get_setting(settings, n)) is float]


def settings_at(
    settings: Preset | ArticlePreset, values: Mapping[str, Any]
) -> Preset | ArticlePreset:
    """The settings at a point; the last learning rate keeps its ratio to the first.

    Args:
        settings: those that are not swept.
        values: of those that are, as numbers or traced.
    """
    if isinstance(settings, Preset) and "learning_rate" in values:
        ratio = settings.final_learning_rate / settings.learning_rate
        values = {"final_learning_rate": values["learning_rate"] * ratio, **values}
    return presets.replace(settings, **values)


def check_points(config: TrainConfig, points: Points) -> None:
    """Builds the algorithm at every point, so that a bad value is told before anything runs.

    Raises:
        ValueError: which setting is unknown or static, or which value lies outside its range.
    """
    settings = config.settings
    traced = traced_settings(settings)
    for name in points.values:
        checked_name("setting", name, setting_names(settings))
        if name not in traced:
            method = f" of {method_name(settings.method)}" if isinstance(settings, Preset) else ""
            raise ValueError(
                f"over names {name}, which is static{method}: it shapes the program or is not used "
                f"by it; sweep over any of {', '.join(traced)}, or train once for each value."
            )
    env = resolve_env(config.env, config.max_episode_steps)
    for point in range(len(points)):
        values = {name: float(each[point]) for name, each in points.values.items()}
        presets.build(settings_at(settings, values), env)
