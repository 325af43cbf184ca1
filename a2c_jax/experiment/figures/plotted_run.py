"""A run as arrays to draw."""

from typing import Literal, NamedTuple

import numpy as np

from a2c_jax.types import Metrics

Unit = Literal["steps", "episodes"]


class PlotRun(NamedTuple):
    """A run of S seeds and U updates.

    Attributes:
        label: its name in the legend.
        position: environment steps, or episodes, of a seed after each update, ``[U]``.
        metrics: of every seed and update, NumPy arrays ``[S, U]``.
        time_to_solve: of every seed, ``[S]``, in the unit of ``position``; infinite where it never
            solved the task. None if the environment has no threshold.
    """

    label: str
    position: np.ndarray
    metrics: Metrics
    time_to_solve: np.ndarray | None = None
