"""What all figures share: colours, curves of seeds, the place of the legend, the file.

matplotlib is imported where something is drawn: training comes first, and it takes a quarter of
a second.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]

# Colours that colour-blind readers can distinguish (Okabe & Ito).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BLUE, ORANGE = COLORS[:2]
_LINES = ("-", "--", ":", "-.")
_WIDTH, _HEIGHT = 7.0, 4.2  # inches
_LEGEND_WIDTH, _LEGEND_DROP = 6.0, 0.5  # inches; the drop leaves room for the axis's label
_MAX_CHARACTERS = 80  # of a title or an entry of a legend, in one line
_SHORT, _FEW = 48, 3  # of an entry among more than a few, so that two stand side by side
_MANY_SEEDS = 50  # thin lines of more are a picture inside an SVG, or it would be megabytes


def new_figure() -> tuple[Figure, Axes]:
    """An empty figure and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(
    file: BinaryIO, figure: Figure, axes: Axes, *, format: Format = "png", heading: str = ""
) -> None:
    """Puts a legend below the axes and writes the figure; the same figure, the same bytes.

    Args:
        file: where it goes.
        figure: as :func:`new_figure` gives it.
        axes: likewise, drawn on.
        format: "png" or "svg".
        heading: of the legend.
    """
    import matplotlib as mpl

    axes.margins(x=0.01)
    axes.set_title(textwrap.fill(axes.get_title(), _MAX_CHARACTERS))
    _place_legend(figure, axes, heading)
    # Text stays text: smaller, and searchable. By default an SVG holds random names and today's
    # date.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "a2c_jax"}):
        figure.savefig(file, format=format, metadata={"Date": None} if format == "svg" else None)


def line_style(index: int) -> dict[str, Any]:
    """The colour of a line among others, and after eight another way of drawing it."""
    again, color = divmod(index, len(COLORS))
    return {"color": COLORS[color], "linestyle": _LINES[again % len(_LINES)]}


def band_alpha(among: int) -> float:
    """How solid a band is among so many: over each other they must not hide the lines."""
    return max(0.04, 0.2 / max(1.0, among / 3))


def pooled_label(num_seeds: int) -> str:
    """What :func:`draw_pooled` shows, in words."""
    return f"interquartile mean of {num_seeds} seeds, 95 % interval"


def count_in_thousands(axis: Axis) -> None:
    """Writes the numbers of an axis as 20k and 1M."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(sep=""))


def mark_solved(axes: Axes, end: float, threshold: float | None) -> None:
    """Draws the return that counts as solved, if there is one, and says so right of the axes."""
    if threshold is None:
        return
    axes.axhline(threshold, color="black", linestyle="--", linewidth=0.8)
    axes.annotate(
        f"solved: {threshold:g}",
        (end, threshold),
        xytext=(10, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
    )


def draw_seeds(axes: Axes, x: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draws each seed ``[S, P]`` thin, the more so the more there are."""
    marker = "." if len(x) == 1 else None  # a line of one point would not be seen
    many = len(values) > _MANY_SEEDS
    axes.plot(
        x,
        values.T,
        color=BLUE,
        alpha=0.1 if many else 0.25,
        linewidth=0.7,
        marker=marker,
        rasterized=many,
    )
    axes.plot([], [], color=BLUE, alpha=0.5, linewidth=0.7, label=label)


def draw_pooled(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    label: str,
    *,
    color: str = ORANGE,
    linestyle: str = "-",
    among: int = 1,
) -> None:
    """Draws the interquartile mean of ``[S, P]`` and, of more than one seed, its 95 % band.

    Points where some seed has no value are left out: a mean over the others would rise or
    fall as seeds come and go. The band is the fainter, the more curves there are (``among``).
    """
    whole = np.isfinite(values).all(axis=0)
    if not whole.any():
        axes.plot([], [], color=color, linestyle=linestyle, label=f"{label} (no values)")
        return
    x, values = x[whole], values[:, whole]
    if len(values) > 1:
        low, high = bootstrap_interval(values, resamples=500)
        # Above many thin lines and below the thick ones, or it would not be seen.
        alpha = band_alpha(among)
        axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0, zorder=2)
    axes.plot(
        x,
        interquartile_mean(values),
        color=color,
        linestyle=linestyle,
        linewidth=1.8,
        zorder=3,
        marker="o" if len(x) == 1 else None,
        label=label,
    )


def carried_forward(returns: np.ndarray) -> np.ndarray:
    """Fills each gap with the seed's last known value."""
    known = np.isfinite(returns)
    last = np.maximum.accumulate(np.where(known, np.arange(returns.shape[1]), 0), axis=1)
    return np.take_along_axis(returns, last, axis=1)


def _place_legend(figure: Figure, axes: Axes, heading: str) -> None:
    """Below the axes, where it hides nothing, in as many columns as fit; makes room for it."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    from matplotlib.transforms import ScaledTranslation

    most = _MAX_CHARACTERS if len(labels) <= _FEW else _SHORT
    below = axes.transAxes + ScaledTranslation(0, -_LEGEND_DROP, figure.dpi_scale_trans)
    for columns in range(min(4, len(labels)), 0, -1):
        legend = axes.legend(
            handles,
            [textwrap.fill(label, most) for label in labels],
            ncols=columns,
            title=heading or None,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            bbox_transform=below,
            borderaxespad=0.0,
            frameon=False,
            fontsize="small",
            title_fontsize="small",
            handlelength=2.4,
        )
        extent = legend.get_window_extent()
        if extent.width <= _LEGEND_WIDTH * figure.dpi:
            break
    figure.set_figheight(_HEIGHT + extent.height / figure.dpi)
