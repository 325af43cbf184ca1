"""Pictures of a score over two settings: on a grid, or of random draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from a2c_jax.experiment.figures.canvas import Format, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axis import Axis

_COLORS = "viridis"  # as bright as it is high, to colour-blind readers too
_MISSING = (0.85, 0.85, 0.85)
_MIDDLE_LUMINANCE = 0.18
_MAX_NUMBERS = 100  # cells; in more, numbers could not be read
_MAX_TICKS = 12
_LOG_SPAN = 30.0
_MAX_CHARACTERS, _MAX_TICK_CHARACTERS = 60, 54  # side by side, of small and of larger letters
_LEAST_EXPONENT, _MOST_EXPONENT = -2, 3  # of a number that is written out

Best = Literal["highest", "lowest"] | int | None
Tick = float | str


def draw_heat_map(
    file: BinaryIO,
    values: np.ndarray,
    *,
    x: Sequence[Tick] | np.ndarray,
    y: Sequence[Tick] | np.ndarray,
    xlabel: str,
    ylabel: str,
    colorbar_label: str = "",
    title: str = "",
    format: Format = "png",
    best: Best = "highest",
) -> None:
    """Draws values on a grid as colours, the best framed; numbers too, where they fit.

    Cells are equally large, however far apart their settings. Up to 100 that are wide enough
    have their numbers in them. What is not finite is grey.

    Args:
        file: where the picture goes.
        values: ``[Y, X]``.
        x: the setting, or environment steps, of each column, ``[X]``: numbers or names.
        y: the setting of each row, ``[Y]``, the first at the bottom.
        xlabel: what ``x`` is.
        ylabel: what ``y`` is.
        colorbar_label: what the values are.
        title: of the figure.
        format: "png" or "svg".
        best: whether the "highest" or the "lowest" value is framed, or which (counted row by row),
            or none.

    Raises:
        ValueError: if the shapes do not fit together.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(y), len(x)) or not values.size:
        raise ValueError(
            f"values has shape {values.shape} where y and x have {(len(y), len(x))}; "
            "give a value for each pair."
        )
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    figure, axes = new_figure()
    axes.spines[:].set_visible(False)
    shown = np.ma.masked_invalid(values)
    low, high = _limits(values)
    image = axes.imshow(
        shown,
        origin="lower",
        aspect="auto",
        cmap=mpl.colormaps[_COLORS].with_extremes(bad=_MISSING),
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    _set_ticks(axes.xaxis, x, side_by_side=True)
    _set_ticks(axes.yaxis, y, side_by_side=False)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    figure.colorbar(image, label=colorbar_label)
    numbers = [short_number(value) if np.isfinite(value) else "–" for value in values.ravel()]
    if len(numbers) <= _MAX_NUMBERS and len(x) * max(map(len, numbers)) <= _MAX_CHARACTERS:
        for ((row, column), value), number in zip(np.ndenumerate(values), numbers, strict=True):
            axes.text(
                column,
                row,
                number,
                ha="center",
                va="center",
                color=_readable_on(image.to_rgba(value) if np.isfinite(value) else _MISSING),
                fontsize="small",
            )
    where = _best(values, best)
    if where is not None:
        row, column = np.unravel_index(where, values.shape)
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.5,
                clip_on=False, label=f"best: {short_number(values[row, column])}",
            )
        )  # fmt: skip
    save(file, figure, axes, format=format)


def draw_scatter(
    file: BinaryIO,
    x: np.ndarray,
    y: np.ndarray,
    scores: np.ndarray,
    *,
    xlabel: str,
    ylabel: str,
    colorbar_label: str = "",
    title: str = "",
    format: Format = "png",
    best: Best = "highest",
) -> None:
    """Draws random draws of two settings as points, coloured by their scores, the best ringed.

    An axis is logarithmic where its values are positive and span more than a factor of 30.

    Args:
        file: where the picture goes.
        x: of every draw, ``[D]``.
        y: of every draw, ``[D]``.
        scores: of every draw, ``[D]``; a cross where they are not finite.
        xlabel: what ``x`` is.
        ylabel: what ``y`` is.
        colorbar_label: what the scores are.
        title: of the figure.
        format: "png" or "svg".
        best: whether the "highest" or the "lowest" score is ringed, or which, or none.

    Raises:
        ValueError: if the shapes do not fit together.
    """
    x, y, scores = (np.asarray(values, np.float64) for values in (x, y, scores))
    if not x.shape == y.shape == scores.shape or x.ndim != 1 or not x.size:
        raise ValueError(
            f"scores has shape {scores.shape} where x has {x.shape} and y {y.shape}; "
            "give all three for each draw."
        )
    figure, axes = new_figure()
    known = np.isfinite(scores)
    if not known.all():
        axes.plot(x[~known], y[~known], "x", color="0.6", markersize=5, label="no score")
    low, high = _limits(scores)
    # The best last, on top of the others.
    order = np.argsort(-scores if best == "lowest" else scores)
    order = order[known[order]]
    points = axes.scatter(
        x[order], y[order], c=scores[order], cmap=_COLORS, vmin=low, vmax=high, s=28,
        edgecolors="white", linewidths=0.4,
    )  # fmt: skip
    figure.colorbar(points, label=colorbar_label)
    where = _best(scores, best)
    if where is not None:
        label = f"best: {short_number(scores[where])}"
        label += f" at ({short_number(x[where])}, {short_number(y[where], 4)})"
        axes.plot(
            x[where], y[where], "o", color="#D55E00", fillstyle="none", markersize=10,
            markeredgewidth=2.0, label=label,
        )  # fmt: skip
    for values, set_scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if values.min() > 0.0 and values.max() > _LOG_SPAN * values.min():
            set_scale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    save(file, figure, axes, format=format)


def short_number(value: float, digits: int = 3) -> str:
    """A number in few characters, to so many digits: 0.25, 500, 3e-4, 1.5e6."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or _LEAST_EXPONENT <= int(exponent) <= _MOST_EXPONENT:
        return f"{value:.{max(digits, int(exponent) + 1)}g}"
    return f"{float(mantissa):g}e{int(exponent)}"


def _set_ticks(axis: Axis, ticks: Sequence[Tick] | np.ndarray, *, side_by_side: bool) -> None:
    names = _tick_names(ticks, 3)
    if len(set(names)) < len(names):
        names = _tick_names(ticks, 5)
    across = sum(len(name) + 2 for name in names) if side_by_side else 0
    every = max(-(-len(names) // _MAX_TICKS), -(-across // _MAX_TICK_CHARACTERS))
    axis.set_ticks(range(0, len(names), every), names[::every])
    axis.set_tick_params(length=0)


def _tick_names(ticks: Sequence[Tick] | np.ndarray, digits: int) -> list[str]:
    return [t if isinstance(t, str) else short_number(float(t), digits) for t in ticks]


def _readable_on(color: Sequence[float] | np.ndarray) -> str:
    # Black and white stand out alike where the relative luminance is 0.18.
    red, green, blue = (part**2.2 for part in color[:3])
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _MIDDLE_LUMINANCE else "white"


def _limits(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _best(values: np.ndarray, best: Best) -> int | None:
    known = np.isfinite(values)
    if best is None or not known.any():
        return None
    if isinstance(best, int):
        return best
    score = values if best == "highest" else -values
    return int(np.argmax(np.where(known, score, -np.inf)))
