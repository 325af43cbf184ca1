"""Figures of one run or of several over each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

import numpy as np

from a2c_jax.experiment.figures import curves
from a2c_jax.experiment.figures.curves import Format
from a2c_jax.experiment.statistics.inference import Profile, binomial_interval, performance_profile
from a2c_jax.experiment.statistics.learning import final_returns, solve_time_curve
from a2c_jax.metrics import carried_forward
from a2c_jax.types import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


QUANTITIES = {
    "returns": "mean episode return",
    "lengths": "mean episode length (steps)",
    "policy_loss": "policy loss",
    "value_loss": "value loss",
    "entropy": "entropy of the policy (nats)",
    "grad_norm": "norm of the gradient",
    "explained_variance": "explained variance of the values",
}
"""The quantities that are drawn over time, with the label of the axis."""

_TIMES = {"steps": "environment steps of each seed", "episodes": "episodes of each seed"}
_MAX_POINTS, _MIN_POINTS = 100, 20  # of a curve
_LOG_SPAN = 100.0  # a loss or norm that spans more has a logarithmic axis
_LEAST_EXPLAINED = -1.0  # values below are useless, and would hide the rest
_MAX_BANDS = 4  # more overlapping bands of step functions could not be distinguished


def run_plot_writers(
    runs: Sequence[PlotRun], unit: Unit, threshold: float | None = None, format: Format = "png"
) -> dict[str, Callable[[BinaryIO], None]]:
    """The figures of one run or several by file name, each a function that writes it.

    Args:
        runs: at least one; a single run has a curve for each of its seeds.
        unit: of their positions and times to solve, "steps" or "episodes".
        threshold: the mean return that counts as solved, if there is one.
        format: of the files, "png" or "svg".
    """
    draw: dict[str, Callable[[Axes], str]] = {
        name: functools.partial(_draw_quantity, name, runs, unit, threshold) for name in QUANTITIES
    }
    if any(run.time_to_solve is not None for run in runs):
        draw["solve_times"] = functools.partial(_draw_solve_times, runs, unit)
    draw["performance_profile"] = functools.partial(_draw_performance_profile, runs, threshold)

    def write(draw: Callable[[Axes], str], file: BinaryIO) -> None:
        axes = curves.new_axes()
        heading = draw(axes)
        title, heading = ("", heading) if len(runs) > 1 else (runs[0].label, "")
        curves.save(file, axes, title=title, heading=heading, format=format)

    return {f"{name}.{format}": functools.partial(write, each) for name, each in draw.items()}


def _draw_quantity(
    quantity: str, runs: Sequence[PlotRun], unit: Unit, threshold: float | None, axes: Axes
) -> str:
    """Draws the interquartile mean over seeds with its 95 % bootstrap band, against time."""
    for index, run in enumerate(runs):
        position, values = pool_updates(run, quantity)
        if len(runs) == 1 and len(values) > 1:
            curves.draw_seeds(axes, position, values, "each seed")
        else:
            curves.draw_pooled(axes, position, values, run.label, index, len(runs))
    label = QUANTITIES[quantity]
    least, most = axes.dataLim.intervaly
    if quantity in {"value_loss", "grad_norm"} and 0.0 < _LOG_SPAN * least < most:
        axes.set_yscale("log")
    if quantity == "explained_variance" and least < _LEAST_EXPLAINED:
        axes.set_ylim(_LEAST_EXPLAINED, max(0.05, 1.05 * most))
        label += f"\n(cut off at −{-_LEAST_EXPLAINED:g})"
    if quantity == "returns":
        curves.mark_solved(axes.axhline, threshold)
    _label_times(axes, runs, unit, label)
    return curves.POOLED


def pool_updates(run: PlotRun, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """A quantity over at most 100 equal stretches of updates; the last one may be shorter.

    Returns and lengths are means over the episodes that finished in a stretch, or the seed's last
    value where none did; where episodes are rare there are fewer stretches. The other quantities
    are means over the updates. The result is ``(position at the end [P], values [S, P])``.
    """
    num_updates, metrics, max_points = len(run.position), run.metrics, _MAX_POINTS
    sums = {"returns": metrics.episode_return_sum, "lengths": metrics.episode_length_sum}
    if quantity in sums:
        # As many as the slowest seed has episodes: most stretches then contain one.
        fewest = int(np.min(np.sum(metrics.episode_count, axis=1, dtype=np.float64)))
        max_points = min(max_points, max(_MIN_POINTS, fewest))
    width = -(-num_updates // max_points)
    starts = np.arange(0, num_updates, width)
    ends = np.minimum(starts + width, num_updates)

    def pool(values: Any) -> np.ndarray:
        return np.add.reduceat(np.asarray(values, np.float64), starts, axis=1)

    with np.errstate(invalid="ignore"):  # no episode finished, or a seed has diverged
        if quantity in sums:
            counts = pool(metrics.episode_count)
            means = carried_forward(pool(sums[quantity]) / counts, counts > 0)
        else:
            means = pool(getattr(metrics, quantity)) / (ends - starts)
    return run.position[ends - 1], means


def _draw_solve_times(runs: Sequence[PlotRun], unit: Unit, axes: Axes) -> str:
    """Draws the fraction of seeds that have solved the task against time, with Wilson bands.

    A cross marks the end of a curve where seeds are censored. Runs without times to solve are
    omitted.
    """
    for index, run in enumerate(runs):
        if run.time_to_solve is None:
            continue
        times, fractions = solve_time_curve(run.time_to_solve, float(run.position[-1]))
        size = len(run.time_to_solve)
        numbers = np.rint(fractions * size).astype(int)
        band = np.transpose([binomial_interval(int(number), size) for number in numbers])
        if len(runs) > 1:  # before their first solved seed the bands of runs coincide
            band[:, numbers == 0] = np.nan
        solved = f"{numbers[-1]} of "
        label = f"{run.label}: {solved}{size}" if len(runs) > 1 else solved + _seeds(size)
        _draw_steps(axes, runs, index, times, Profile(fractions, *band), label)
        if numbers[-1] < size:
            color = curves.line_style(index)["color"]
            end = "" if len(runs) > 1 else "end of the run, with unsolved seeds"
            axes.plot(times[-1:], fractions[-1:], "x", color=color, label=end, clip_on=False)
    _label_times(axes, runs, unit, "seeds that have solved the task")
    interval = ", 95 % interval" if axes.collections else ""
    return f"seeds that solved it{interval}; a cross marks the end of a run with unsolved seeds"


def _draw_performance_profile(runs: Sequence[PlotRun], threshold: float | None, axes: Axes) -> str:
    """Draws the fraction of seeds whose final return is above τ, with pointwise 95 % bands.

    See Agarwal et al. 2021, section 4.2. Seeds that finished no episode are above no τ.
    """
    finals = [final_returns(run.metrics) for run in runs]
    known = np.concatenate([[] if threshold is None else [threshold], *finals])
    known = known[np.isfinite(known)]
    least, most = (known.min(), known.max()) if known.size else (0.0, 1.0)
    margin = 0.03 * (most - least) or 1.0
    for index, (run, final) in enumerate(zip(runs, finals, strict=True)):
        # The fraction is constant between two scores.
        jumps = np.unique(final[np.isfinite(final)])
        above = np.concatenate([[least - margin], jumps, [most + margin]])
        label = run.label if len(runs) > 1 else _seeds(len(final))
        _draw_steps(axes, runs, index, above, performance_profile(final, above), label)
    curves.mark_solved(axes.axvline, threshold)
    axes.set_xlabel("τ (mean return of a seed's last 100 episodes)")
    axes.set_ylabel("seeds with a final return above τ")
    return "final returns, pointwise 95 % intervals" if axes.collections else "final returns"


def _draw_steps(
    axes: Axes, runs: Sequence[PlotRun], index: int, x: np.ndarray, curve: Profile, label: str
) -> None:
    """Draws a step function and, for up to four runs of several seeds each, its band."""
    from matplotlib.ticker import PercentFormatter

    style, alpha = curves.line_style(index), 0.8 * curves.band_alpha(len(runs))
    axes.plot(x, curve.fractions, drawstyle="steps-post", linewidth=1.8, label=label, **style)
    if len(runs) <= _MAX_BANDS and len(runs[index].metrics.episode_count) > 1:
        fill: dict[str, Any] = {"color": style["color"], "alpha": alpha, "linewidth": 0}
        axes.fill_between(x, curve.low, curve.high, step="post", **fill)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _label_times(axes: Axes, runs: Sequence[PlotRun], unit: Unit, ylabel: str) -> None:
    curves.label_axes(axes, _TIMES[unit], ylabel)
    axes.set_xlim(0.0, 1.01 * max(run.position[-1] for run in runs))


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds, 95 % interval"
