"""A run as it is drawn, and what the pictures of runs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

import numpy as np

from a2c_jax.experiment.figures.canvas import Format, count_in_thousands, save
from a2c_jax.types import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Unit = Literal["steps", "episodes"]

_TIMES = {"steps": "environment steps of each seed", "episodes": "episodes of each seed"}


class PlotRun(NamedTuple):
    """What is drawn of a run of S seeds and U updates.

    Attributes:
        label: its name in the legend.
        position: environment steps, or episodes, of a seed after each update, ``[U]``.
        metrics: of every seed and update, NumPy arrays ``[S, U]``.
        time_to_solve: of every seed, ``[S]``, in the unit of ``position``; infinite where it
            never solved the task. None where it is not known when a task counts as solved.
    """

    label: str
    position: np.ndarray
    metrics: Metrics
    time_to_solve: np.ndarray | None = None


def check_runs(runs: Sequence[PlotRun]) -> None:
    """Raises ValueError unless there is a run, and each has as many positions as updates."""
    if not runs:
        raise ValueError("runs is empty; give at least one run.")
    for run in runs:
        shape = np.shape(run.metrics.episode_count)
        if 0 in shape or shape != (*shape[:1], *np.shape(run.position)):
            raise ValueError(
                f"position of {run.label!r} has shape {np.shape(run.position)} where its metrics "
                f"have {shape}; give metrics [S, U] and a position for each update."
            )


def last_position(runs: Sequence[PlotRun]) -> float:
    """Where the longest run ends."""
    return float(max(run.position[-1] for run in runs))


def set_times(axes: Axes, unit: Unit, end: float) -> None:
    """Makes the x axis one of environment steps or episodes from 0 to the end.

    Raises:
        ValueError: if the unit is neither.
    """
    if unit not in _TIMES:
        raise ValueError(f"unit is {unit!r}; give one of {', '.join(_TIMES)}.")
    axes.set_xlabel(_TIMES[unit])
    axes.set_xlim(0.0, 1.01 * end)
    count_in_thousands(axes.xaxis)


def save_runs(
    file: BinaryIO,
    figure: Figure,
    axes: Axes,
    runs: Sequence[PlotRun],
    *,
    format: Format,
    heading: str = "",
) -> None:
    """Writes a figure: of one run its label is the title, of several the legend names them."""
    if len(runs) > 1:
        save(file, figure, axes, format=format, heading=heading)
        return
    axes.set_title(runs[0].label)
    for line in axes.get_legend_handles_labels()[0]:
        if line.get_label() == runs[0].label:
            line.set_label("_")  # the title has said it
    save(file, figure, axes, format=format)
