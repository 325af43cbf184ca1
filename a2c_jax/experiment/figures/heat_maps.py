"""Figures of a score over two settings: on a grid, or of random draws."""

from typing import Any, BinaryIO, NamedTuple

import numpy as np

from a2c_jax.experiment.figures.curves import BLUE, ORANGE, new_axes, save

_COLORS = "viridis"  # brightness increases with the value, for colour-blind readers too
_DARK = 0.43  # of the colour scale: black and white text have equal contrast there
_MAX_NUMBERS, _MAX_CHARACTERS = 100, 60  # in all cells, and in a row of them


class Labels(NamedTuple):
    """The title of a figure, and the names of x, y and the colours."""

    title: str
    x: str
    y: str
    colors: str


def draw_heat_map(
    file: BinaryIO, z: np.ndarray, x: np.ndarray, y: np.ndarray, labels: Labels, best: int | None
) -> None:
    """Draws ``z [Y, X]`` as a PNG: a colour for each cell, and a number in it if there is room."""
    import matplotlib as mpl

    axes = new_axes()
    axes.spines[:].set_visible(False)
    colors = mpl.colormaps[_COLORS].with_extremes(bad="0.85")
    shown = np.ma.masked_invalid(z)
    image = axes.imshow(shown, colors, origin="lower", aspect="auto", interpolation="nearest")
    for axis, values, room in [(axes.xaxis, x, 54), (axes.yaxis, y, 100)]:  # for characters
        names = {n: short_number(value, 4) for n, value in enumerate(values)}
        places = mpl.ticker.MaxNLocator(room // (2 + max(map(len, names.values()))), integer=True)
        at = [int(n) for n in places.tick_values(-0.5, len(names) - 0.5) if n in names]
        axis.set_ticks(at, [names[n] for n in at])
        axis.set_tick_params(length=0)
    numbers = [short_number(value) if np.isfinite(value) else "–" for value in z.flat]
    if len(numbers) <= _MAX_NUMBERS and len(x) * max(map(len, numbers)) <= _MAX_CHARACTERS:
        cells: Any = np.ndenumerate(np.ma.filled(image.norm(shown), 1.0))
        for number, ((row, column), shade) in zip(numbers, cells, strict=True):
            color = "white" if shade < _DARK else "black"
            axes.text(column, row, number, ha="center", va="center", color=color, size="small")
    if best is not None:
        row, column = np.unravel_index(best, z.shape)
        style: Any = {"fill": False, "ec": ORANGE, "lw": 2.5, "clip_on": False}
        frame = mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, **style)
        axes.add_patch(frame).set_label(f"best: {numbers[best]}")
    axes.set(xlabel=labels.x, ylabel=labels.y)
    axes.figure.colorbar(image, label=labels.colors)
    save(file, axes, labels.title)


def draw_scatter(
    file: BinaryIO, z: np.ndarray, x: np.ndarray, y: np.ndarray, labels: Labels, best: int | None
) -> None:
    """Draws random draws ``[D]`` as points of a PNG, coloured by their scores z unless z is y."""
    axes, single, known = new_axes(), labels.y == labels.colors, np.isfinite(z)
    if not known.all():
        place: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False} if single else {}
        heights = (np.zeros(len(y)) if single else y)[~known]
        axes.plot(x[~known], heights, "x", c="0.6", markersize=5, label="no score", **place)
    order = np.argsort(z)[: known.sum()]  # the best on top; NaN sorts last
    style: Any = {"color": BLUE} if single else {"c": z[order], "cmap": _COLORS}
    points = axes.scatter(x[order], y[order], s=28, edgecolors="white", linewidths=0.4, **style)
    if best is not None:
        score, *at = map(short_number, (z[best], x[best], y[best]))
        label = f"best: {score} at " + (at[0] if single else f"({', '.join(at)})")
        axes.plot(x[best], y[best], "o", c=ORANGE, label=label, fillstyle="none", ms=10, mew=2.0)
    for values, set_scale in [(x, axes.set_xscale), (y, axes.set_yscale)][: 2 - single]:
        if values.dtype.kind in "if" and 0.0 < 30.0 * values.min() < values.max():
            set_scale("log")
    axes.set(xlabel=labels.x, ylabel=labels.y)
    if not single:
        axes.figure.colorbar(points, label=labels.colors)
    save(file, axes, labels.title)


def short_number(value: Any, digits: int = 3) -> str:
    """A number in few characters: 0.25, 500, 3e-4, 1.5e6; names and flags as they are."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or int(exponent) in range(-2, 4):
        return f"{value:.{max(digits, int(exponent) + 1)}g}"
    return f"{float(mantissa):g}e{int(exponent)}"
