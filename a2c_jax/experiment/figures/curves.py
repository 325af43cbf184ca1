"""Axes, legend and file of every figure, and figures of learning curves and episodes.

matplotlib is imported where it is used, since importing it takes a quarter of a second.
"""

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

# Colours that colour-blind readers can distinguish (Okabe & Ito).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BLUE, ORANGE = COLORS[:2]
_STEPS, _RETURN = "environment steps of each seed", "mean episode return"
POOLED = "interquartile mean over seeds, 95 % interval"
_DASHES = ("-", "--", ":", "-.")
_WIDTH, _HEIGHT = 7.0, 4.2  # inches
_MAX_CHARACTERS = 80  # of a line of the title or of a legend entry
_SHORT, _FEW = 40, 3  # characters of an entry among more than a few, so that two fit in a row
_MANY_SEEDS = 50  # lines of more seeds are an image inside an SVG, which would take megabytes


def draw_learning_curve(
    file: BinaryIO,
    steps: np.ndarray,
    returns: np.ndarray,
    *,
    title: str,
    threshold: float | None = None,
) -> None:
    """Draws each seed of a run and their interquartile mean, as :func:`draw_methods` does.

    The axis of steps is logarithmic if most of the learning is in the first tenth of the run.
    """
    axes = new_axes()
    draw_seeds(axes, steps, returns, "each seed")
    mark_solved(axes.axhline, threshold)
    if _learns_early(returns):
        axes.set_xscale("log", subs=(2, 5))
    label_axes(axes, _STEPS, _RETURN)
    save(file, axes, title=title)


def _learns_early(returns: np.ndarray) -> bool:
    healthy = returns[np.isfinite(returns[:, -1])]
    mean = interquartile_mean(healthy) if len(healthy) else returns[0]
    known = mean[np.isfinite(mean)]
    return known.size > 0 and bool(mean[len(mean) // 10] > (known.min() + known.max()) / 2)


def plot_curve(
    metrics: Metrics,
    algorithm: Algorithm,
    ax: Axes | None = None,
    *,
    label: str = POOLED,
    num_points: int = 100,
) -> Axes:
    """Draws the interquartile mean of the seeds' learning curves, with its 95 % interval.

    Args:
        metrics: of :func:`a2c_jax.train_seeds` or of a run, ``[S, U]``.
        algorithm: the algorithm that was trained, such as ``run.job.algorithm``.
        ax: matplotlib axes, by default pyplot's current ones; each curve has another colour.
        label: name in the legend.
        num_points: largest number of points; see :func:`a2c_jax.learning_curve`.

    Returns:
        The axes, for titles and legends of one's own.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.gca()
    steps, returns = learning_curve(metrics, algorithm, num_points)
    number = len(ax.get_lines())
    draw_pooled(ax, steps, np.atleast_2d(returns), label, number, number + 1)
    label_axes(ax, _STEPS, _RETURN)
    return ax


def draw_methods(
    file: BinaryIO,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str,
    threshold: float | None = None,
    xlabel: str = _STEPS,
    ylabel: str = _RETURN,
) -> None:
    """Draws the interquartile mean of each method's seeds with its 95 % bootstrap band, as a PNG.

    A curve is that of :func:`a2c_jax.learning_curve`, ``(steps [P], returns [S, P])``. The
    threshold, the mean return that counts as solved, is a line.
    """
    axes = new_axes()
    for index, (name, (steps, returns)) in enumerate(curves.items()):
        draw_pooled(axes, steps, returns, name, index, len(curves))
    mark_solved(axes.axhline, threshold)
    label_axes(axes, xlabel, ylabel)
    several = any(len(returns) > 1 for _, returns in curves.values())
    save(file, axes, title=title, heading=POOLED if several else "")


def draw_episodes(file: BinaryIO, values: np.ndarray, *, title: str, label: str) -> None:
    """Draws the article's figure of rewards or lengths ``[S, E]`` against episodes, as a PNG.

    One seed is drawn as in the article: each episode, and the mean of the last ten. For several
    seeds, a thin line shows each one's mean of the last ten, and a thick one their interquartile
    mean.
    """
    axes = new_axes()
    episodes, smooth = np.arange(1, values.shape[1] + 1), rolling_mean(values)
    if len(values) == 1:
        axes.plot(episodes, values[0], color=BLUE, linewidth=0.7, label=label)
        axes.plot(episodes, smooth[0], color=ORANGE, linewidth=1.5, label="mean of the last 10")
    else:
        every = slice(None, None, max(1, values.shape[1] // 300))  # more would not be visible
        draw_seeds(axes, episodes[every], smooth[:, every], f"{label}, mean of the last 10")
    label_axes(axes, "episode", f"episode {label}")
    save(file, axes, title=title)


def new_axes() -> Axes:
    """The axes of an empty figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save(
    file: BinaryIO, axes: Axes, *, title: str, format: Format = "png", heading: str = ""
) -> None:
    """Writes the figure of :func:`new_axes`, with a legend below; equal figures have equal bytes.

    ``heading`` is the legend's title. A line whose label is the figure's title has no entry.
    """
    import matplotlib as mpl

    figure: Any = axes.get_figure(root=True)
    axes.margins(x=0.01)
    axes.set_title(textwrap.fill(title, _MAX_CHARACTERS))
    handles, labels = axes.get_legend_handles_labels()
    entries = [(h, label) for h, label in zip(handles, labels, strict=True) if label != title]
    legend, width = None, _MAX_CHARACTERS if len(entries) <= _FEW else _SHORT
    if entries:
        lines = [textwrap.fill(label, width) for _, label in entries]
        longest = max(len(line) for label in lines for line in label.split("\n"))
        legend = figure.legend(
            [handle for handle, _ in entries], lines, title=heading or None,
            ncols=max(1, min(4, len(entries), 98 // (longest + 5))), loc="outside lower center",
            frameon=False, fontsize="small", title_fontsize="small",
        )  # fmt: skip
    # A name may hold $ signs, which would start a formula; the ticks of a logarithmic axis are one.
    ticks = [(tick.label1, tick.label2) for tick in figure.findobj(mpl.axis.Tick)]
    for text in set(figure.findobj(mpl.text.Text)).difference(*ticks):
        text.set_parse_math(False)
    # An SVG keeps text as text. By default it would hold random names and the date.
    svg: Any = {"svg.fonttype": "none", "svg.hashsalt": "a2c_jax"}
    with warnings.catch_warnings(), mpl.rc_context(svg):
        warnings.filterwarnings("ignore", "Glyph")  # a name may have signs that the font lacks
        if legend is not None:
            figure.set_figheight(_HEIGHT + legend.get_window_extent().height / figure.dpi)
        figure.savefig(file, format=format, metadata={"Date": None} if format == "svg" else None)


def label_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Labels the axes and writes the numbers of x as 20k and 1M."""
    from matplotlib.ticker import EngFormatter

    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if axes.get_xscale() == "log":
        axes.xaxis.set_minor_formatter(EngFormatter(sep=""))
        axes.tick_params(axis="x", which="minor", length=3.5, pad=3.5)  # as the major ones


def mark_solved(draw_line: Callable[..., object], threshold: float | None) -> None:
    """Marks the return that counts as solved, if there is one, with ``axhline`` or ``axvline``."""
    if threshold is not None:
        label = f"solved: mean of {EPISODES} episodes ≥ {threshold:g}"
        draw_line(threshold, color="black", linestyle="--", linewidth=0.8, label=label)


def line_style(index: int) -> dict[str, Any]:
    """A colour for each of eight lines, and another dash pattern for each eight more."""
    dashes, color = divmod(index, len(COLORS))
    return {"color": COLORS[color], "linestyle": _DASHES[dashes % len(_DASHES)]}


def band_alpha(among: int) -> float:
    """The opacity of a band, which decreases with their number so that lines stay visible."""
    return max(0.04, 0.2 / max(1.0, among / 3))


def draw_seeds(axes: Axes, x: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draws a thin line for each seed ``[S, P]`` and, for several, their interquartile mean."""
    many = len(values) > _MANY_SEEDS
    marker = "." if len(x) == 1 else None  # a line of one point would be invisible
    style: dict[str, Any] = {"color": BLUE, "linewidth": 0.7}
    axes.plot(x, values.T, alpha=0.1 if many else 0.25, marker=marker, rasterized=many, **style)
    axes.plot([], [], alpha=0.5, label=label, **style)
    if len(values) > 1:
        pooled = f"interquartile mean of {len(values)} seeds, 95 % interval"
        draw_pooled(axes, x, values, pooled, COLORS.index(ORANGE), 1)


def draw_pooled(
    axes: Axes, x: np.ndarray, values: np.ndarray, label: str, index: int, among: int
) -> None:
    """Draws the interquartile mean of ``[S, P]`` and, for several seeds, its 95 % band.

    The curve begins where every seed has a value. Seeds that have diverged are left out, and
    counted in the label. The curve is number ``index`` ``among`` all curves of the figure.
    """
    style = line_style(index)
    begun = np.isfinite(values)
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
        band = {"color": style["color"], "alpha": band_alpha(among), "linewidth": 0}
        axes.fill_between(x, low, high, zorder=2, **band)  # above seeds, below means
    marker, mean = "o" if len(x) == 1 else None, interquartile_mean(values)
    axes.plot(x, mean, linewidth=1.8, zorder=3, marker=marker, label=label, **style)
