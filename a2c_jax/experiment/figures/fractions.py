"""Pictures of fractions of seeds: how many have solved the task when, and how many are how good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from a2c_jax.experiment.figures.canvas import Format, band_alpha, line_style, new_figure
from a2c_jax.experiment.figures.plotted_run import PlotRun, Unit, check_runs, save_runs, set_times
from a2c_jax.experiment.statistics.inference import binomial_interval, performance_profile
from a2c_jax.experiment.statistics.learning import final_returns, solve_time_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_BANDS = 4  # more, over each other, could not be told apart


def draw_solve_times(
    file: BinaryIO, runs: Sequence[PlotRun], *, unit: Unit, end: float, format: Format = "png"
) -> None:
    """Draws the fraction of seeds that have solved the task against time.

    A cross at the end of a curve says that the seeds left were not looked at any longer. Up to
    four runs have their pointwise 95 % Wilson bands.

    Args:
        file: where the picture goes.
        runs: one or several; those without times to solve are left out.
        unit: of the times to solve, "steps" or "episodes".
        end: of the axis. A run is censored there, or at its own end if that is earlier.
        format: "png" or "svg".

    Raises:
        ValueError: if there is no run, a run's arrays do not fit together, the unit is neither
            of these, or ``end`` is not finite and above 0.
    """
    check_runs(runs)
    figure, axes = new_figure()
    alone = len(runs) == 1
    for index, run in enumerate(runs):
        if run.time_to_solve is None:
            continue
        style, size = line_style(index), len(run.time_to_solve)
        times, fractions = solve_time_curve(run.time_to_solve, min(end, float(run.position[-1])))
        numbers = np.rint(fractions * size).astype(int)
        if _banded(runs, size):
            # Of several runs only from the first seed on: before, they lie on each other.
            some = (numbers > 0) | alone
            bounds = np.array([binomial_interval(int(number), size) for number in numbers])
            low, high = bounds[some].T
            _fill(axes, times[some], low, high, style["color"], len(runs))
        solved = f"{numbers[-1]} of {size}"
        label = _seeds(f"{solved} seeds by the end", size) if alone else f"{run.label}: {solved}"
        axes.plot(times, fractions, drawstyle="steps-post", linewidth=1.8, label=label, **style)
        if numbers[-1] < size:
            axes.plot(times[-1:], fractions[-1:], "x", color=style["color"], clip_on=False)
    axes.set_ylabel("seeds that have solved the task")
    set_times(axes, unit, end)
    _set_fractions(axes)
    heading = "seeds that solved it by the end; at a cross, the others had not yet"
    save_runs(file, figure, axes, runs, format=format, heading=heading)


def draw_performance_profile(
    file: BinaryIO,
    runs: Sequence[PlotRun],
    *,
    format: Format = "png",
    threshold: float | None = None,
) -> None:
    """Draws the fraction of seeds whose final return is above τ, against τ.

    Up to four runs have their pointwise 95 % bands (Agarwal et al. 2021, section 4.2). Seeds
    that finished no episode are above no τ.

    Args:
        file: where the picture goes.
        runs: one or several.
        format: "png" or "svg".
        threshold: the mean return that counts as solved, drawn as a line.

    Raises:
        ValueError: if there is no run, or a run's arrays do not fit together.
    """
    check_runs(runs)
    figure, axes = new_figure()
    finals = [final_returns(run.metrics) for run in runs]
    known = np.concatenate([[] if threshold is None else [threshold], *finals])
    known = known[np.isfinite(known)]
    least, most = (known.min(), known.max()) if known.size else (0.0, 1.0)
    margin = 0.03 * (most - least) or 1.0
    for index, (run, final) in enumerate(zip(runs, finals, strict=True)):
        # Between two scores the fraction is constant.
        jumps = np.unique(final[np.isfinite(final)])
        above = np.concatenate([[least - margin], jumps, [most + margin]])
        fractions, low, high = performance_profile(final, above)
        style = line_style(index)
        if _banded(runs, len(final)):
            _fill(axes, above, low, high, style["color"], len(runs))
        label = _seeds(f"{len(final)} seeds", len(final)) if len(runs) == 1 else run.label
        axes.plot(above, fractions, drawstyle="steps-post", linewidth=1.8, label=label, **style)
    if threshold is not None:
        label = f"solved: {threshold:g}"
        axes.axvline(threshold, color="black", linestyle="--", linewidth=0.8, label=label)
    axes.set_xlabel("τ (mean return of a seed's last 100 episodes)")
    axes.set_ylabel("seeds with a final return above τ")
    _set_fractions(axes)
    banded = any(_banded(runs, len(final)) for final in finals)
    heading = "final returns, pointwise 95 % intervals" if banded else "final returns"
    save_runs(file, figure, axes, runs, format=format, heading=heading)


def _seeds(label: str, num_seeds: int) -> str:
    return f"{label}, 95 % interval" if num_seeds > 1 else label.replace("seeds", "seed")


def _banded(runs: Sequence[PlotRun], num_seeds: int) -> bool:
    return len(runs) <= _MAX_BANDS and num_seeds > 1


def _fill(
    axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, color: str, among: int
) -> None:
    alpha = 0.8 * band_alpha(among)
    axes.fill_between(x, low, high, step="post", color=color, alpha=alpha, linewidth=0)


def _set_fractions(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
