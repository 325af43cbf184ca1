"""Figures of one run or of several over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from a2c_jax.experiment.figures import curves
from a2c_jax.experiment.statistics.inference import Profile, binomial_interval, performance_profile
from a2c_jax.experiment.statistics.learning import final_returns, solve_time_curve
from a2c_jax.metrics import AVERAGED, carried_forward
from a2c_jax.types import Metrics


class PlotRun(NamedTuple):
    """A run of S seeds and U updates, in NumPy arrays."""

    label: str
    position: np.ndarray  # [U]: environment steps, or episodes, of a seed after each update
    metrics: Metrics  # [S, U]
    time_to_solve: np.ndarray | None = None  # [S]: infinite if unsolved; None without a threshold


Runs = Sequence[PlotRun]
QUANTITIES = {  # that are drawn over time, with the label of the axis
    "returns": "mean episode return",
    "lengths": "mean episode length (steps)",
    **{name: name.replace("_", " ") for name in AVERAGED},
    "entropy": "entropy of the policy (nats)",
    "grad_norm": "norm of the gradient",
    "explained_variance": "explained variance of the values",
}
_LEAST_EXPLAINED = -1.0  # values below are useless, and would hide the rest
_MAX_BANDS = 4  # more overlapping bands of step functions could not be distinguished


def run_plot_writers(
    runs: Runs, unit: str, threshold: float | None = None, format: curves.Format = "png"
) -> dict[str, Callable[[BinaryIO], None]]:
    """The figures of one run or several by file name, each a function that writes it."""
    time = "environment steps" if unit == "steps" else unit

    def write(draw: Callable[..., Any], file: BinaryIO) -> None:
        axes = curves.new_axes()
        heading, ylabel = draw(axes, runs, threshold)
        if ylabel:  # of a figure over time
            curves.label_axes(axes, f"{time} of each seed", ylabel)
            axes.set_xlim(0.0, 1.01 * max(run.position[-1] for run in runs))
        title, heading = ("", heading) if len(runs) > 1 else (runs[0].label, "")
        curves.save(file, axes, title, format, heading)

    draw: dict[str, Callable[..., Any]] = {n: partial(_draw_quantity, n) for n in QUANTITIES}
    if any(run.time_to_solve is not None for run in runs):
        draw["solve_times"] = _draw_solve_times
    draw["performance_profile"] = _draw_performance_profile
    return {f"{name}.{format}": partial(write, each) for name, each in draw.items()}


def _draw_quantity(
    name: str, axes: curves.Axes, runs: Runs, threshold: float | None
) -> tuple[str, str]:
    """Draws the interquartile mean over seeds with its 95 % bootstrap band, against time."""
    for index, run in enumerate(runs):
        position, values = pool_updates(run, name)
        if len(runs) == 1 and len(values) > 1:
            curves.draw_seeds(axes, position, values, "each seed")
        else:
            curves.draw_pooled(axes, position, values, run.label, index, len(runs))
    label, (least, most) = QUANTITIES[name], axes.dataLim.intervaly
    if name in {"value_loss", "grad_norm"} and 0.0 < 100.0 * least < most:
        axes.set_yscale("log")
    if name == "explained_variance" and least < _LEAST_EXPLAINED:
        axes.set_ylim(_LEAST_EXPLAINED, max(0.05, 1.05 * most))
        label += f"\n(cut off at −{-_LEAST_EXPLAINED:g})"
    curves.mark_solved(axes.axhline, threshold if name == "returns" else None)
    return curves.POOLED, label


def pool_updates(run: PlotRun, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions ``[P]`` and means ``[S, P]`` over at most 100 equal stretches of updates."""
    counts, num_updates = run.metrics.episode_count, len(run.position)
    sums = {"returns": "episode_return_sum", "lengths": "episode_length_sum"}
    weights = counts if quantity in sums else np.ones_like(counts)
    fields = np.asarray([getattr(run.metrics, sums.get(quantity, quantity)), weights], np.float64)
    # As many points as the slowest seed has episodes: most stretches then contain one.
    fewest = np.clip(fields[1].sum(axis=1).min(), 20, 100)
    starts = np.arange(0, num_updates, -(-num_updates // int(fewest)))
    with np.errstate(invalid="ignore"):  # no episode finished, or a seed has diverged
        total, number = np.add.reduceat(fields, starts, axis=2)
        means = carried_forward(total / number, number > 0)
    return run.position[np.append(starts[1:], num_updates) - 1], means


def _draw_solve_times(axes: curves.Axes, runs: Runs, _: float | None) -> tuple[str, str]:
    """Draws the fraction of seeds that have solved the task against time, with Wilson bands."""
    for index, run in enumerate(runs):
        if run.time_to_solve is None:
            continue
        times, fractions = solve_time_curve(run.time_to_solve, float(run.position[-1]))
        numbers = np.rint(fractions * (size := len(run.time_to_solve))).astype(int)
        band = np.transpose([binomial_interval(number, size) for number in numbers.tolist()])
        if len(runs) > 1:  # before their first solved seed the bands of runs coincide
            band[:, numbers == 0] = np.nan
        solved, curve = f"{numbers[-1]} of ", Profile(fractions, *band)
        color = _draw_steps(axes, runs, index, times, curve, solved)
        if numbers[-1] < size:
            end = "" if len(runs) > 1 else "end of the run, with unsolved seeds"
            axes.plot(times[-1:], fractions[-1:], "x", color=color, label=end, clip_on=False)
    interval = ", 95 % interval" * bool(axes.collections)
    heading = f"seeds that solved it{interval}; a cross marks the end of a run with unsolved seeds"
    return heading, "seeds that have solved the task"


def _draw_performance_profile(
    axes: curves.Axes, runs: Runs, threshold: float | None
) -> tuple[str, str]:
    """Draws the fraction of seeds whose final return is above τ (Agarwal et al. 2021, 4.2)."""
    finals = [final_returns(run.metrics) for run in runs]
    known = np.concatenate([[np.nan if threshold is None else threshold], *finals])
    known = known[np.isfinite(known)]
    least, most = (known.min(), known.max()) if known.size else (0.0, 1.0)
    margin = 0.03 * (most - least) or 1.0
    for index, final in enumerate(finals):
        # The fraction is constant between two scores.
        above = np.array([least - margin, *np.unique(final[np.isfinite(final)]), most + margin])
        _draw_steps(axes, runs, index, above, performance_profile(final, above))
    curves.mark_solved(axes.axvline, threshold)
    axes.set_xlabel("τ (mean return of a seed's last 100 episodes)")
    axes.set_ylabel("seeds with a final return above τ")
    return "final returns" + ", pointwise 95 % intervals" * bool(axes.collections), ""


def _draw_steps(
    axes: curves.Axes, runs: Runs, index: int, x: np.ndarray, curve: Profile, solved: str = ""
) -> str:
    """Draws a step function, with a band for up to four runs, and returns its colour."""
    size = len(runs[index].metrics.episode_count)
    label = f"{solved}{size} seeds, 95 % interval" if size > 1 else f"{solved}1 seed"
    if len(runs) > 1:
        label = f"{runs[index].label}: {solved}{size}" if solved else runs[index].label
    style = curves.STYLES[index % len(curves.STYLES)]
    axes.plot(x, curve.fractions, drawstyle="steps-post", linewidth=1.8, label=label, **style)
    if len(runs) <= _MAX_BANDS and size > 1:
        alpha = 0.8 * (0.2 / max(1.0, len(runs) / 3))
        axes.fill_between(x, *curve[1:], step="post", color=style["color"], alpha=alpha, lw=0)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    return style["color"]
