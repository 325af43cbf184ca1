"""Figures."""

from typing import BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from a2c_jax.experiment.statistics import bootstrap_interval, interquartile_mean

_BLUE, _ORANGE = "#0072B2", "#D55E00"  # told apart by colour-blind readers (Okabe & Ito)


def draw_learning_curve(
    file: BinaryIO,
    steps: np.ndarray,
    returns: np.ndarray,
    *,
    title: str,
    threshold: float | None = None,
) -> None:
    """Draws each seed thin, their interquartile mean thick, and its 95 % bootstrap band.

    Args:
        file: where the PNG goes.
        steps: environment steps of a seed, ``[P]``.
        returns: mean episode returns, ``[S, P]``; NaN where none finished.
        title: of the figure.
        threshold: the mean return that counts as solved, drawn as a line.
    """
    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    returns = _carried_forward(returns)
    marker = "." if len(steps) == 1 else None  # a line of one point would not be seen
    axes.plot(steps, returns.T, color=_BLUE, alpha=0.25, linewidth=0.7, marker=marker)
    axes.plot([], [], color=_BLUE, alpha=0.5, linewidth=0.7, label="each seed")
    _draw_pooled(axes, steps, returns)
    if threshold is not None:
        axes.axhline(threshold, color="black", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"solved: {threshold:g}",
            (steps[-1], threshold),
            xytext=(0, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize="small",
        )
    axes.set(title=title, xlabel="environment steps of each seed", ylabel="mean episode return")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, bbox_to_anchor=(1.0, 0.05))
    figure.savefig(file, format="png")


def _draw_pooled(axes: Axes, steps: np.ndarray, returns: np.ndarray) -> None:
    num_seeds = returns.shape[0]
    whole = np.isfinite(returns).all(axis=0)
    if num_seeds == 1 or not whole.any():
        return
    steps, returns = steps[whole], returns[:, whole]
    low, high = bootstrap_interval(returns, resamples=500)
    axes.fill_between(steps, low, high, color=_ORANGE, alpha=0.25, linewidth=0)
    axes.plot(
        steps,
        interquartile_mean(returns),
        color=_ORANGE,
        linewidth=2.0,
        label=f"interquartile mean of {num_seeds} seeds, 95 % interval",
    )


def _carried_forward(returns: np.ndarray) -> np.ndarray:
    """Fills each gap with the seed's last known value."""
    known = np.isfinite(returns)
    last = np.maximum.accumulate(np.where(known, np.arange(returns.shape[1]), 0), axis=1)
    return np.take_along_axis(returns, last, axis=1)
