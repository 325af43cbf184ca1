"""Figures of a score over two settings: on a grid, or of random draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from a2c_jax.experiment.figures.curves import BLUE, ORANGE, new_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_COLORS = "viridis"  # brightness increases with the value, for colour-blind readers too
_DARK = 0.43  # of the colour scale: black and white text have equal contrast there
_MAX_NUMBERS, _MAX_CHARACTERS = 100, 60  # in all cells, and in a row of them
_X_CHARACTERS, _Y_CHARACTERS = 54, 100  # of the labels of an axis
_LOG_SPAN = 30.0
_LEAST_EXPONENT, _MOST_EXPONENT = -2, 3  # of a number that is written without one


class Labels(NamedTuple):
    """The title of a figure, and the names of x, y and the colours."""

    title: str
    x: str
    y: str
    colors: str


def draw_heat_map(
    file: BinaryIO, z: np.ndarray, x: np.ndarray, y: np.ndarray, labels: Labels, best: int | None
) -> None:
    """Draws values ``z [Y, X]`` on a grid as colours, and as numbers if there is room, as a PNG.

    Columns have the settings ``x [X]``, and rows from the bottom ``y [Y]``. Cells have equal sizes,
    however far apart their settings are; those that are not finite are grey. The best, counted
    row by row, is framed.
    """
    import matplotlib as mpl

    axes = new_axes()
    axes.spines[:].set_visible(False)
    colors = mpl.colormaps[_COLORS].with_extremes(bad="0.85")
    shown = np.ma.masked_invalid(z)
    image = axes.imshow(shown, colors, origin="lower", aspect="auto", interpolation="nearest")
    _set_ticks(axes.xaxis, x, _X_CHARACTERS)
    _set_ticks(axes.yaxis, y, _Y_CHARACTERS)
    numbers = [short_number(value) if np.isfinite(value) else "–" for value in z.flat]
    if len(numbers) <= _MAX_NUMBERS and len(x) * max(map(len, numbers)) <= _MAX_CHARACTERS:
        shades: Any = image.norm(shown)
        cells = np.ndenumerate(shades.filled(1.0))
        for number, ((row, column), shade) in zip(numbers, cells, strict=True):
            color = "white" if shade < _DARK else "black"
            axes.text(column, row, number, ha="center", va="center", color=color, size="small")
    if best is not None:
        row, column = np.unravel_index(best, z.shape)
        frame: dict[str, Any] = {"fill": False, "edgecolor": ORANGE, "linewidth": 2.5}
        label = f"best: {numbers[best]}"
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, clip_on=False, label=label, **frame))
    _finish(file, axes, image, labels)


def draw_scatter(
    file: BinaryIO, z: np.ndarray, x: np.ndarray, y: np.ndarray, labels: Labels, best: int | None
) -> None:
    """Draws random draws ``[D]`` of two settings as points, coloured by their scores z, as a PNG.

    Draws without a finite score are crosses, and a ring marks the best. An axis is logarithmic
    where its values are positive and span more than a factor of 30. Where y is the score itself,
    its axis is linear, all points have one colour, and crosses are on the axis of x.
    """
    axes, single = new_axes(), labels.y == labels.colors
    known = np.isfinite(z)
    if not known.all():
        cross: dict[str, Any] = {"color": "0.6", "markersize": 5, "label": "no score"}
        if single:
            cross |= {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(x[~known], np.zeros((~known).sum()) if single else y[~known], "x", **cross)
    order = np.argsort(z)[: known.sum()]  # the best on top; NaN sorts last
    style: dict[str, Any] = {"s": 28, "edgecolors": "white", "linewidths": 0.4}
    style |= {"color": BLUE} if single else {"c": z[order], "cmap": _COLORS}
    points = axes.scatter(x[order], y[order], **style)
    if best is not None:
        score, *at = map(short_number, (z[best], x[best], y[best]))
        ring: dict[str, Any] = {"fillstyle": "none", "markersize": 10, "markeredgewidth": 2.0}
        label = f"best: {score} at " + (at[0] if single else f"({', '.join(at)})")
        axes.plot(x[best], y[best], "o", c=ORANGE, label=label, **ring)
    for values, set_scale in [(x, axes.set_xscale), (y, axes.set_yscale)][: 1 if single else 2]:
        least, most = (values.min(), values.max()) if values.dtype.kind in "if" else (0.0, 0.0)
        if least > 0.0 and most > _LOG_SPAN * least:
            set_scale("log")
    _finish(file, axes, None if single else points, labels)


def short_number(value: Any, digits: int = 3) -> str:
    """A number in few characters: 0.25, 500, 3e-4, 1.5e6; names and flags as they are."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or _LEAST_EXPONENT <= int(exponent) <= _MOST_EXPONENT:
        return f"{value:.{max(digits, int(exponent) + 1)}g}"
    return f"{float(mantissa):g}e{int(exponent)}"


def _set_ticks(axis: Axis, values: np.ndarray, characters: int) -> None:
    """Labels cells with their settings, or some of them where there is no room for all."""
    from matplotlib.ticker import MaxNLocator

    names = [short_number(value, 4) for value in values]
    most = characters // (2 + max(map(len, names)))
    axis.set_major_locator(MaxNLocator(most, integer=True))
    axis.set_major_formatter(lambda x, _: names[int(x)] if 0 <= x < len(names) else "")
    axis.set_tick_params(length=0)


def _finish(file: BinaryIO, axes: Axes, colors: Any, labels: Labels) -> None:
    axes.set(xlabel=labels.x, ylabel=labels.y)
    if colors is not None:
        axes.figure.colorbar(colors, label=labels.colors)
    save(file, axes, title=labels.title)
