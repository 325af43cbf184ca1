"""Figures."""

import itertools
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from a2c_jax.experiment.statistics import (
    bootstrap_interval,
    interquartile_mean,
    rolling_mean,
)

# Told apart by colour-blind readers (Okabe & Ito).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_BLUE, _ORANGE = COLORS[:2]


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
    figure, axes = _new_figure()
    returns = _carried_forward(returns)
    _draw_seeds(axes, steps, returns, "each seed")
    _draw_pooled(axes, steps, returns)
    _mark_solved(axes, steps[-1], threshold)
    axes.set(title=title, xlabel="environment steps of each seed", ylabel="mean episode return")
    _save(file, figure, axes)


def draw_methods(
    file: BinaryIO,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str,
    threshold: float | None = None,
    xlabel: str = "environment steps of each seed",
    ylabel: str = "mean episode return",
) -> None:
    """Draws the interquartile mean of each method's seeds with its 95 % bootstrap band.

    Args:
        file: where the PNG goes.
        curves: by name, ``(steps [P], returns [S, P])``; NaN where no episode finished.
        title: of the figure.
        threshold: the mean return that counts as solved, drawn as a line.
        xlabel: what the steps are.
        ylabel: what the returns are.
    """
    figure, axes = _new_figure()
    end = 0.0
    for (name, (steps, returns)), color in zip(curves.items(), itertools.cycle(COLORS)):
        _draw_pooled(axes, steps, _carried_forward(returns), color=color, label=name)
        end = max(end, steps[-1])
    _mark_solved(axes, end, threshold)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    _save(file, figure, axes)


def draw_episodes(file: BinaryIO, values: np.ndarray, *, title: str, label: str) -> None:
    """Draws the article's figure of rewards or lengths against episodes.

    One seed is drawn as in the article: each episode, and the mean of the last ten. Of many
    seeds each one's mean of the last ten is drawn thin, and their interquartile mean thick.

    Args:
        file: where the PNG goes.
        values: of every episode, ``[S, E]``.
        title: of the figure.
        label: what the values are.
    """
    figure, axes = _new_figure()
    episodes = np.arange(1, values.shape[1] + 1)
    smooth = rolling_mean(values)
    if len(values) == 1:
        axes.plot(episodes, values[0], color=_BLUE, linewidth=0.7, label=label)
        axes.plot(episodes, smooth[0], color=_ORANGE, linewidth=1.5, label="mean of the last 10")
    else:
        every = slice(None, None, max(1, values.shape[1] // 300))  # more could not be seen
        _draw_seeds(axes, episodes[every], smooth[:, every], f"{label}, mean of the last 10")
        _draw_pooled(axes, episodes[every], smooth[:, every])
    axes.set(title=title, xlabel="episode", ylabel=f"episode {label}")
    _save(file, figure, axes)


def _new_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(file: BinaryIO, figure: Figure, axes: Axes) -> None:
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", framealpha=0.7, edgecolor="none", bbox_to_anchor=(1.0, 0.05))
    figure.savefig(file, format="png")


def _mark_solved(axes: Axes, end: float, threshold: float | None) -> None:
    if threshold is None:
        return
    axes.axhline(threshold, color="black", linestyle="--", linewidth=0.8)
    axes.annotate(
        f"solved: {threshold:g}",
        (end, threshold),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize="small",
    )


def _draw_seeds(axes: Axes, steps: np.ndarray, returns: np.ndarray, label: str) -> None:
    marker = "." if len(steps) == 1 else None  # a line of one point would not be seen
    axes.plot(steps, returns.T, color=_BLUE, alpha=0.25, linewidth=0.7, marker=marker)
    axes.plot([], [], color=_BLUE, alpha=0.5, linewidth=0.7, label=label)


def _draw_pooled(
    axes: Axes,
    steps: np.ndarray,
    returns: np.ndarray,
    color: str = _ORANGE,
    label: str | None = None,
) -> None:
    num_seeds = returns.shape[0]
    whole = np.isfinite(returns).all(axis=0)
    if not whole.any() or (num_seeds == 1 and label is None):
        return
    steps, returns = steps[whole], returns[:, whole]
    if num_seeds > 1:
        low, high = bootstrap_interval(returns, resamples=500)
        axes.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
    axes.plot(
        steps,
        interquartile_mean(returns),
        color=color,
        linewidth=2.0,
        label=label or f"interquartile mean of {num_seeds} seeds, 95 % interval",
    )


def _carried_forward(returns: np.ndarray) -> np.ndarray:
    """Fills each gap with the seed's last known value."""
    known = np.isfinite(returns)
    last = np.maximum.accumulate(np.where(known, np.arange(returns.shape[1]), 0), axis=1)
    return np.take_along_axis(returns, last, axis=1)
