"""What a sweep came to, as a table, a picture, and a configuration to go on with."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rich.table import Table

from a2c_jax.experiment.figures.heat_maps import draw_heat_map, draw_scatter, short_number
from a2c_jax.experiment.files import Writer, json_writer, write_together
from a2c_jax.experiment.run.job import describe_config, make_job
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.experiment.sweeps.sweep import Sweep
from a2c_jax.experiment.tables import markdown_table

_SCORE = "mean return of the last 100 episodes"
_SHOWN = 10


def write_sweep(folder: Path | str, result: Sweep) -> list[Path]:
    """Writes ``best.json``, ``sweep.json``, ``sweep.npz``, ``table.md`` and ``heat_map.png``.

    Returns:
        Their paths.

    Raises:
        OSError: if one could not be written; none is then there.
    """
    folder, best = Path(folder), result.best
    files: dict[str, Writer] = {
        "best.json": json_writer(describe_config(best, make_job(best))),
        "sweep.json": json_writer(_describe(result)),
        "sweep.npz": lambda file: np.savez_compressed(file, **_arrays(result)),
        "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
        "heat_map.png": lambda file: draw_sweep(file, result),
    }
    write_together(folder, files)
    return [folder / name for name in files]


def sweep_table(result: Sweep) -> Table:
    """The ten best points as a table for a terminal."""
    header, *rows = table_rows(result)
    table = Table(title=f"The best {min(_SHOWN, len(rows))} of {len(rows)} settings")
    for name in header:
        table.add_column(name, justify="right")
    for row in rows[:_SHOWN]:
        table.add_row(*row)
    return table


def table_rows(result: Sweep) -> list[list[str]]:
    """A header, and a row for each point, the best first."""
    names = [name.replace("_", " ") for name in result.points.values]
    header = [*names, "final return", "95 % interval", "mean return"]
    if result.time_to_solve is not None:
        header += ["solved", f"median {result.job.unit}"]
    return [header, *(_row(result, int(point)) for point in result.ranking)]


def _row(result: Sweep, point: int) -> list[str]:
    final = result.final_returns[point]
    seeds = len(final)
    row = [short_number(values[point]) for values in result.points.values.values()]
    if np.isfinite(final).all():
        row.append(f"{interquartile_mean(final):.1f}")
        low, high = bootstrap_interval(final) if seeds > 1 else (np.nan, np.nan)
        row.append(f"{low:.1f} to {high:.1f}" if seeds > 1 else "–")
        row.append(f"{interquartile_mean(result.mean_returns[point]):.1f}")
    else:
        row += ["–"] * 3
    if result.time_to_solve is not None:
        times = result.time_to_solve[point]
        median = np.median(times)
        row.append(f"{np.isfinite(times).sum()} of {len(times)}")
        row.append(f"{median:,.0f}" if np.isfinite(median) else "not reached")
    return row


def draw_sweep(file: BinaryIO, result: Sweep) -> None:
    """Draws a sweep's scores: a heat map of a grid, points of random draws.

    Of a grid over one setting, its learning curves, as a heat map too; over more than two, the
    first two, and the mean over the others.

    Args:
        file: where the PNG goes.
        result: the sweep.
    """
    scores = np.where(np.isfinite(result.scores), result.scores, np.nan)
    best = int(result.ranking[0]) if np.isfinite(result.scores).any() else None
    names = [name.replace("_", " ") for name in result.points.values]
    values = list(result.points.values.values())
    title = f"{result.job.env.name}, {len(result.job.seeds)} seeds at each setting"
    if result.points.shape is None:
        y = (names[1], values[1]) if len(values) > 1 else (_SCORE, scores)
        draw_scatter(
            file, values[0], y[1], scores,
            xlabel=names[0], ylabel=y[0], colorbar_label=_SCORE, title=title, best=best,
        )  # fmt: skip
    elif len(values) == 1:
        curves = interquartile_mean(result.curves, axis=1)
        draw_heat_map(
            file, curves, x=result.position, y=values[0],
            xlabel=f"environment {result.job.unit} of each seed", ylabel=names[0],
            colorbar_label="mean return", title=title, best=None,
        )  # fmt: skip
    else:
        others = tuple(range(2, len(values)))
        if others:
            title += f"; means over {', '.join(names[2:])}"
        shape = result.points.shape
        with np.errstate(invalid="ignore"):
            cells = scores.reshape(shape).mean(axis=others)
        first, second = (each.reshape(*shape[:2], -1) for each in values[:2])
        draw_heat_map(
            file, cells, x=second[0, :, 0], y=first[:, 0, 0],
            xlabel=names[1], ylabel=names[0], colorbar_label=_SCORE, title=title,
            best=None if others else best,
        )  # fmt: skip


def _describe(result: Sweep) -> dict[str, Any]:
    values = {name: each.tolist() for name, each in result.points.values.items()}
    return {
        **describe_config(result.config, result.job),
        "over": values,
        "grid": result.points.shape,
        "finished": result.finished,
        "compile_seconds": result.compile_seconds,
        "train_seconds": result.train_seconds,
    }


def _arrays(result: Sweep) -> dict[str, Any]:
    arrays = {
        "seeds": np.asarray(result.job.seeds),
        "final_returns": result.final_returns,
        "mean_returns": result.mean_returns,
        result.job.unit: result.position,
        "curves": result.curves,
        **result.points.values,
    }
    if result.time_to_solve is not None:
        arrays[f"{result.job.unit}_to_solve"] = result.time_to_solve
    return arrays
