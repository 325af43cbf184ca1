"""Figures of learning curves and episodes. matplotlib takes a quarter of a second to import."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.experiment.statistics.learning import EPISODES, rolling_mean
from a2c_jax.metrics import learning_curve
from a2c_jax.types import Algorithm, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Format = Literal["png", "svg"]
Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]  # (steps [P], returns [S, P]) by name

# Colours that colour-blind readers can distinguish (Okabe & Ito).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BLUE, ORANGE = COLORS[:2]
STYLES: list[Any] = [{"color": c, "linestyle": s} for s in ("-", "--", ":", "-.") for c in COLORS]
_STEPS, _RETURN = "environment steps of each seed", "mean episode return"
POOLED = "interquartile mean over seeds, 95 % interval"
_HEIGHT = 4.2  # inches
_MAX_CHARACTERS = 80  # of a line of the title or of a legend entry
_SHORT, _FEW = 40, 3  # characters of an entry among more than a few, so that two fit in a row
_MANY_SEEDS = 50  # lines of more seeds are an image inside an SVG, which would take megabytes


def draw_learning_curve(
    file: BinaryIO, steps: np.ndarray, returns: np.ndarray, *, title: str, threshold: float | None
) -> None:
    """Draws a run's seeds and their interquartile mean, over the logarithm of steps if it helps."""
    axes = new_axes()
    draw_seeds(axes, steps, returns, "each seed")
    mark_solved(axes.axhline, threshold)
    healthy = returns[np.isfinite(returns[:, -1])]
    mean = interquartile_mean(healthy) if len(healthy) else returns[0]
    known = mean[np.isfinite(mean)]
    if known.size and mean[len(mean) // 10] > (known.min() + known.max()) / 2:
        axes.set_xscale("log", subs=(2, 5))  # most of the learning is in the first tenth
    label_axes(axes)
    save(file, axes, title)


def plot_curve(
    metrics: Metrics,
    algorithm: Algorithm,
    ax: Axes | None = None,
    *,
    label: str = POOLED,
    num_points: int = 100,
) -> Axes:
    """Draws the interquartile mean of learning curves, of metrics ``[S, U]``, and a 95 % interval.

    Returns the axes, by default pyplot's current ones. Each curve on them has another colour.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.gca()
    steps, returns = learning_curve(metrics, algorithm, num_points)
    number = len(ax.get_lines())
    draw_pooled(ax, steps, np.atleast_2d(returns), label, number, number + 1)
    label_axes(ax)
    return ax


def draw_methods(
    file: BinaryIO, curves: Curves, *, title: str, threshold: float | None = None, **labels: str
) -> None:
    """Draws each method's mean and band as a PNG; ``xlabel`` and ``ylabel`` label the axes."""
    axes = new_axes()
    for index, (name, (steps, returns)) in enumerate(curves.items()):
        draw_pooled(axes, steps, returns, name, index, len(curves))
    mark_solved(axes.axhline, threshold)
    label_axes(axes, **labels)
    heading = POOLED if any(len(returns) > 1 for _, returns in curves.values()) else ""
    save(file, axes, title, heading=heading)


def draw_episodes(file: BinaryIO, values: np.ndarray, *, title: str, label: str) -> None:
    """Draws the article's figure of rewards or lengths ``[S, E]`` and their mean, as a PNG."""
    axes, episodes, smooth = new_axes(), 1 + np.arange(values.shape[1]), rolling_mean(values)
    if len(values) == 1:
        axes.plot(episodes, values[0], color=BLUE, linewidth=0.7, label=label)
        axes.plot(episodes, smooth[0], color=ORANGE, linewidth=1.5, label="mean of the last 10")
    else:
        every = slice(None, None, max(1, values.shape[1] // 300))  # more would not be visible
        draw_seeds(axes, episodes[every], smooth[:, every], f"{label}, mean of the last 10")
    label_axes(axes, "episode", f"episode {label}")
    save(file, axes, title)


def new_axes() -> Axes:
    """The axes of an empty figure."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(7.0, _HEIGHT), dpi=150, layout="constrained").add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save(file: BinaryIO, axes: Axes, title: str, format: Format = "png", heading: str = "") -> None:
    """Writes the figure of :func:`new_axes`, with a legend below, in the same bytes each time."""
    import matplotlib as mpl

    figure: Any = axes.get_figure(root=True)
    axes.margins(x=0.01)
    axes.set_title(textwrap.fill(title, _MAX_CHARACTERS))
    handles = [each for each in axes.get_legend_handles_labels()[0] if each.get_label() != title]
    width = _MAX_CHARACTERS if len(handles) <= _FEW else _SHORT
    lines = [textwrap.fill(str(handle.get_label()), width) for handle in handles]
    if lines:
        columns = 98 // (max(map(len, "\n".join(lines).split("\n"))) + 5)
        figure.legend(
            handles, lines, ncols=max(1, min(4, len(lines), columns)), loc="outside lower center",
            title=heading or None, frameon=False, fontsize="small", title_fontsize="small",
        )  # fmt: skip
    # A name may hold $ signs, which would start a formula; the ticks of a logarithmic axis are one.
    for part in (axes.title, axes.xaxis.label, axes.yaxis.label, *figure.legends):
        for text in part.findobj(mpl.text.Text):
            text.set_parse_math(False)
    svg: Any = {"svg.fonttype": "none", "svg.hashsalt": "a2c_jax"}  # text as text, no random names
    with warnings.catch_warnings(), mpl.rc_context(svg):
        warnings.filterwarnings("ignore", "Glyph")  # a name may have signs that the font lacks
        for legend in figure.legends:
            figure.set_figheight(_HEIGHT + legend.get_window_extent().height / figure.dpi)
        figure.savefig(file, format=format, metadata={"Date": None})


def label_axes(axes: Axes, xlabel: str = _STEPS, ylabel: str = _RETURN) -> None:
    """Labels the axes and writes the numbers of x as 20k and 1M."""
    from matplotlib.ticker import EngFormatter

    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(EngFormatter(sep=""))  # a logarithmic axis has minor ticks
    axes.tick_params(axis="x", which="minor", length=3.5, pad=3.5)  # as the major ones


def mark_solved(draw_line: Callable[..., object], threshold: float | None) -> None:
    """Marks the return that counts as solved, if there is one, with ``axhline`` or ``axvline``."""
    if threshold is not None:
        label = f"solved: mean of {EPISODES} episodes ≥ {threshold:g}"
        draw_line(threshold, color="black", linestyle="--", linewidth=0.8, label=label)


def draw_seeds(axes: Axes, x: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draws a thin line for each seed ``[S, P]`` and, for several, their interquartile mean."""
    many, marker = len(values) > _MANY_SEEDS, "." if len(x) == 1 else None  # a point has no line
    alpha = 0.1 if many else 0.25
    axes.plot(x, values.T, c=BLUE, lw=0.7, marker=marker, alpha=alpha, rasterized=many)
    axes.plot([], [], c=BLUE, lw=0.7, alpha=0.5, label=label)
    if len(values) > 1:
        pooled = f"interquartile mean of {len(values)} seeds, 95 % interval"
        draw_pooled(axes, x, values, pooled, COLORS.index(ORANGE), 1)


def draw_pooled(
    axes: Axes, x: np.ndarray, values: np.ndarray, label: str, index: int, among: int
) -> None:
    """Draws the mean of ``[S, P]``, and its band, from where all seeds have values to the end."""
    style, begun = STYLES[index % len(STYLES)], np.isfinite(values)
    diverged = ~(begun == np.logical_or.accumulate(begun, axis=1)).all(axis=1) | ~begun[:, -1]
    if diverged.all():
        axes.plot([], [], label=f"{label} (no values)", **style)
        return
    if diverged.any():
        label = f"{label} ({diverged.sum()} without values left out)"
    complete = begun[~diverged].all(axis=0)
    x, values = x[complete], values[~diverged][:, complete]
    if len(values) > 1:
        low, high = bootstrap_interval(values, resamples=500)
        alpha = max(0.04, 0.2 / max(1.0, among / 3))  # so that lines stay visible
        axes.fill_between(x, low, high, zorder=2, color=style["color"], alpha=alpha, linewidth=0)
    marker, mean = "o" if len(x) == 1 else None, interquartile_mean(values)
    axes.plot(x, mean, linewidth=1.8, zorder=3, marker=marker, label=label, **style)
