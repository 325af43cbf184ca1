"""Figures of returns: a run's learning curve, a comparison's, and the article's episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from a2c_jax.experiment.figures.canvas import (
    BLUE,
    COLORS,
    ORANGE,
    carried_forward,
    count_in_thousands,
    draw_pooled,
    draw_seeds,
    line_style,
    mark_solved,
    new_figure,
    pooled_label,
    save,
)
from a2c_jax.experiment.statistics.learning import rolling_mean

__all__ = ["COLORS", "draw_episodes", "draw_learning_curve", "draw_methods"]


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
    figure, axes = new_figure()
    returns = carried_forward(returns)
    draw_seeds(axes, steps, returns, "each seed")
    if len(returns) > 1:
        draw_pooled(axes, steps, returns, pooled_label(len(returns)))
    mark_solved(axes, steps[-1], threshold)
    axes.set(title=title, xlabel="environment steps of each seed", ylabel="mean episode return")
    count_in_thousands(axes.xaxis)
    save(file, figure, axes)


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
    figure, axes = new_figure()
    end = 0.0
    for index, (name, (steps, returns)) in enumerate(curves.items()):
        style = line_style(index)
        draw_pooled(axes, steps, carried_forward(returns), name, **style, among=len(curves))
        end = max(end, steps[-1])
    mark_solved(axes, end, threshold)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    count_in_thousands(axes.xaxis)
    save(file, figure, axes)


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
    figure, axes = new_figure()
    episodes = np.arange(1, values.shape[1] + 1)
    smooth = rolling_mean(values)
    if len(values) == 1:
        axes.plot(episodes, values[0], color=BLUE, linewidth=0.7, label=label)
        axes.plot(episodes, smooth[0], color=ORANGE, linewidth=1.5, label="mean of the last 10")
    else:
        every = slice(None, None, max(1, values.shape[1] // 300))  # more could not be seen
        draw_seeds(axes, episodes[every], smooth[:, every], f"{label}, mean of the last 10")
        draw_pooled(axes, episodes[every], smooth[:, every], pooled_label(len(values)))
    axes.set(title=title, xlabel="episode", ylabel=f"episode {label}")
    count_in_thousands(axes.xaxis)
    save(file, figure, axes)
