"""The results of a sweep: a table, a figure, and the best configuration."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.table import Table

from a2c_jax.experiment.figures.heat_maps import Labels, draw_heat_map, draw_scatter, short_number
from a2c_jax.experiment.files import Writer, json_writer, npz_writer, write_together
from a2c_jax.experiment.run.job import describe_job, make_job
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.experiment.sweeps.sweep import Sweep
from a2c_jax.experiment.tables import markdown_table, median_time, text_table

_SCORE = "mean return of the last 100 episodes"
_SHOWN = 10


def write_sweep(folder: Path | str, result: Sweep) -> list[Path]:
    """Writes ``best.json``, ``sweep.json``, ``sweep.npz``, ``table.md`` and ``heat_map.png``.

    Returns their paths. If a file cannot be written (OSError), none is.
    """
    folder, best, points, unit = Path(folder), result.best, result.points, result.job.unit
    description = {
        **describe_job(result.config, result.job),
        "over": {name: values.tolist() for name, values in points.values.items()},
        "grid": points.shape,
        **{k: getattr(result, k) for k in ("finished", "compile_seconds", "train_seconds")},
    }
    arrays = {
        "seeds": np.asarray(result.job.seeds),
        **{k: getattr(result, k) for k in ("final_returns", "mean_returns", "finite", "curves")},
        unit: result.position,
        **points.values,
    }
    if result.time_to_solve is not None:
        arrays[f"{unit}_to_solve"] = result.time_to_solve
    files: dict[str, Writer] = {
        "best.json": json_writer(describe_job(best, make_job(best))),
        "sweep.json": json_writer(description),
        "sweep.npz": npz_writer(arrays, compress=True),
        "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
        "heat_map.png": lambda file: draw_sweep(file, result),
    }
    write_together(folder, files)
    return [folder / name for name in files]


def sweep_table(result: Sweep) -> Table:
    """The ten best points as a table for a terminal."""
    rows = table_rows(result)[: _SHOWN + 1]
    return text_table(rows, title=f"The best {len(rows) - 1} of {len(result.points)} settings")


def table_rows(result: Sweep) -> list[list[str]]:
    """A header, and a row for each point, the best first."""
    header = [*result.points.names, "final return", "95 % interval", "mean return"]
    if result.time_to_solve is not None:
        header += ["solved", f"median {result.job.unit}"]
    return [header, *(_row(result, int(point)) for point in result.ranking)]


def _row(result: Sweep, point: int) -> list[str]:
    final, returns = result.final_returns[point], ["–"] * 3
    if np.isfinite(final).all():
        each = final, result.mean_returns[point]
        returns[0], returns[2] = (f"{interquartile_mean(values):.1f}" for values in each)
        if len(final) > 1:
            returns[1] = "{:.1f} to {:.1f}".format(*bootstrap_interval(final))
    if diverged := int((~result.finite[point]).sum()):
        returns[0] += f" ({diverged} diverged)"
    row = [*map(short_number, result.points.at(point).values()), *returns]
    if result.time_to_solve is not None:
        times = result.time_to_solve[point]
        median = float(np.median(times))
        row += [f"{np.isfinite(times).sum()} of {len(times)}"]
        row += [median_time(median if np.isfinite(median) else None)]
    return row


def draw_sweep(file: BinaryIO, result: Sweep) -> None:
    """Draws the scores over the first two settings, the mean over the others, as a PNG."""
    scores = np.where(np.isfinite(result.scores), result.scores, np.nan)
    best = int(result.ranking[0]) if np.isfinite(scores).any() else None
    title = f"{result.job.env.name}, {len(result.job.seeds)} seeds at each setting"
    names = [*result.points.names, _SCORE]
    first, second, *_ = (*result.points.values.values(), scores)
    if result.points.shape is None or len(result.points.shape) == 1:
        labels = Labels(title, names[0], names[1], _SCORE)
        return draw_scatter(file, scores, first, second, labels, best)
    if others := names[2:-1]:
        title, best = f"{title}; means over {', '.join(others)}", None
    shape = (*result.points.shape[:2], -1)
    rows, columns, cells = (each.reshape(shape) for each in (first, second, scores))
    labels = Labels(title, names[1], names[0], _SCORE)
    draw_heat_map(file, cells.mean(axis=2), columns[0, :, 0], rows[:, 0, 0], labels, best)
