"""Pictures of one run or of several over each other, drawn from arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from a2c_jax.experiment.figures.canvas import (
    Format,
    carried_forward,
    draw_pooled,
    draw_seeds,
    line_style,
    mark_solved,
    new_figure,
    pooled_label,
)
from a2c_jax.experiment.figures.fractions import draw_performance_profile, draw_solve_times
from a2c_jax.experiment.figures.plotted_run import (
    PlotRun,
    Unit,
    check_runs,
    last_position,
    save_runs,
    set_times,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "returns": "mean episode return",
    "lengths": "mean episode length (steps)",
    "policy_loss": "policy loss",
    "value_loss": "value loss",
    "entropy": "entropy of the policy (nats)",
    "grad_norm": "norm of the gradient",
    "explained_variance": "explained variance of the values",
}
"""What can be drawn over time, and what its axis is called."""

_MAX_POINTS, _MIN_POINTS = 100, 20  # of a curve
_LOG_SPAN = 100.0  # a loss or norm that spans more is drawn on a logarithmic axis
_LEAST_EXPLAINED = -1.0  # below, values are useless, and how much so hides all the rest


def run_plot_writers(
    runs: Sequence[PlotRun],
    unit: Unit,
    threshold: float | None = None,
    format: Format = "png",
) -> dict[str, Callable[[BinaryIO], None]]:
    """The pictures of runs by file name, each a function that writes it.

    Args:
        runs: one or several.
        unit: of their positions and times to solve.
        threshold: the mean return that counts as solved, if there is one.
        format: of the files, "png" or "svg".

    Raises:
        ValueError: if there is no run, or a run's arrays do not fit together.
    """
    check_runs(runs)
    draw = {
        name: functools.partial(
            draw_quantity, runs=runs, quantity=name, unit=unit, format=format, threshold=threshold
        )
        for name in QUANTITIES
    }
    writers: dict[str, Callable[[BinaryIO], None]] = dict(draw)
    if any(run.time_to_solve is not None for run in runs):
        end = last_position(runs)
        writers["solve_times"] = functools.partial(
            draw_solve_times, runs=runs, unit=unit, end=end, format=format
        )
    writers["performance_profile"] = functools.partial(
        draw_performance_profile, runs=runs, format=format, threshold=threshold
    )
    return {f"{name}.{format}": write for name, write in writers.items()}


def draw_quantity(
    file: BinaryIO,
    runs: Sequence[PlotRun],
    quantity: str,
    *,
    unit: Unit,
    format: Format = "png",
    threshold: float | None = None,
) -> None:
    """Draws the interquartile mean over seeds with its 95 % bootstrap band, against time.

    Updates are pooled to at most 100 stretches. Of a single run every seed is drawn too, thin.

    Args:
        file: where the picture goes.
        runs: one or several.
        quantity: one of :data:`QUANTITIES`.
        unit: of the runs' positions, "steps" or "episodes".
        format: "png" or "svg".
        threshold: the mean return that counts as solved; drawn among returns only.

    Raises:
        ValueError: if the quantity or the unit is not one of these, there is no run, or a run's
            arrays do not fit together.
    """
    check_runs(runs)
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity is {quantity!r}; give one of {', '.join(QUANTITIES)}.")
    figure, axes = new_figure()
    curves = [pool_updates(run, quantity) for run in runs]
    alone = len(runs) == 1
    for index, (run, (position, values)) in enumerate(zip(runs, curves, strict=True)):
        if alone and len(values) > 1:
            draw_seeds(axes, position, values, "each seed")
            draw_pooled(axes, position, values, pooled_label(len(values)))
        else:
            style = line_style(index)
            draw_pooled(axes, position, values, run.label, **style, among=len(runs))
    axes.set_ylabel(QUANTITIES[quantity])
    _scale(axes, quantity)
    end = last_position(runs)
    set_times(axes, unit, end)
    if quantity == "returns":
        mark_solved(axes, end, threshold)
    heading = "interquartile mean over seeds, 95 % interval"
    save_runs(file, figure, axes, runs, format=format, heading=heading)


def pool_updates(
    run: PlotRun, quantity: str, max_points: int = _MAX_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """A quantity over stretches of updates of equal number, but for a shorter last one.

    Returns and lengths are means over the episodes that finished in a stretch, and where none
    did, the seed's last one; where they finish rarely there are fewer stretches. The others are
    means over the updates.

    Args:
        run: of U updates.
        quantity: one of :data:`QUANTITIES`.
        max_points: at most so many stretches.

    Returns:
        ``(position [P] at the end of each stretch, values [S, P])``.
    """
    num_updates = len(run.position)
    sums = {"returns": run.metrics.episode_return_sum, "lengths": run.metrics.episode_length_sum}
    if quantity in sums:
        # As many as the slowest seed has episodes: most then have one in them.
        fewest = int(np.min(np.sum(np.asarray(run.metrics.episode_count, np.float64), axis=1)))
        max_points = min(max_points, max(_MIN_POINTS, fewest))
    width = -(-num_updates // max_points)
    starts = np.arange(0, num_updates, width)
    ends = np.minimum(starts + width, num_updates)

    def pool(values: Any) -> np.ndarray:
        return np.add.reduceat(np.asarray(values, np.float64), starts, axis=1)

    with np.errstate(invalid="ignore"):  # nothing finished; or a seed has diverged
        if quantity in sums:
            counts = pool(run.metrics.episode_count)
            return run.position[ends - 1], carried_forward(pool(sums[quantity]) / counts)
        return run.position[ends - 1], pool(getattr(run.metrics, quantity)) / (ends - starts)


def _scale(axes: Axes, quantity: str) -> None:
    least, most = axes.dataLim.intervaly  # of all that is drawn
    if quantity in {"value_loss", "grad_norm"} and 0.0 < _LOG_SPAN * least < most:
        axes.set_yscale("log")
    if quantity == "explained_variance" and least < _LEAST_EXPLAINED:
        axes.set_ylim(_LEAST_EXPLAINED, max(0.05, 1.05 * most))
        axes.set_ylabel(f"{QUANTITIES[quantity]}\n(cut off at −{-_LEAST_EXPLAINED:g})")
