"""The results of a sweep: a table, a figure, and the best configuration."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.table import Table

from a2c_jax.experiment.figures.heat_maps import Labels, draw_heat_map, draw_scatter, short_number
from a2c_jax.experiment.files import Writer, json_writer, write_together
from a2c_jax.experiment.run.job import describe_job, make_job
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.experiment.sweeps.sweep import Sweep
from a2c_jax.experiment.tables import markdown_table, median_time, text_table

_SCORE = "mean return of the last 100 episodes"
_SHOWN = 10


def write_sweep(folder: Path | str, result: Sweep) -> list[Path]:
    """Writes ``best.json``, ``sweep.json``, ``sweep.npz``, ``table.md`` and ``heat_map.png``.

    Returns:
        Their paths.

    Raises:
        OSError: if a file could not be written; then none has been written.
    """
    folder, best, unit = Path(folder), result.best, result.job.unit
    description = {
        **describe_job(result.config, result.job),
        "over": {name: values.tolist() for name, values in result.points.values.items()},
        "grid": result.points.shape,
        "finished": result.finished,
        "compile_seconds": result.compile_seconds,
        "train_seconds": result.train_seconds,
    }
    arrays = {
        "seeds": np.asarray(result.job.seeds),
        "final_returns": result.final_returns,
        "mean_returns": result.mean_returns,
        "finite": result.finite,
        unit: result.position,
        "curves": result.curves,
        **result.points.values,
    }
    if result.time_to_solve is not None:
        arrays[f"{unit}_to_solve"] = result.time_to_solve
    files: dict[str, Writer] = {
        "best.json": json_writer(describe_job(best, make_job(best))),
        "sweep.json": json_writer(description),
        "sweep.npz": lambda file: np.savez_compressed(file, **arrays),  # type: ignore[arg-type]
        "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
        "heat_map.png": lambda file: draw_sweep(file, result),
    }
    write_together(folder, files)
    return [folder / name for name in files]


def sweep_table(result: Sweep) -> Table:
    """The ten best points as a table for a terminal."""
    rows, number = table_rows(result), len(result.points)
    title = f"The best {min(_SHOWN, number)} of {number} settings"
    return text_table(rows[: _SHOWN + 1], title=title)


def table_rows(result: Sweep) -> list[list[str]]:
    """A header, and a row for each point, the best first."""
    header = [*result.points.names, "final return", "95 % interval", "mean return"]
    if result.time_to_solve is not None:
        header += ["solved", f"median {result.job.unit}"]
    return [header, *(_row(result, int(point)) for point in result.ranking)]


def _row(result: Sweep, point: int) -> list[str]:
    final, mean = result.final_returns[point], result.mean_returns[point]
    returns = ["–"] * 3
    if np.isfinite(final).all():
        returns = [f"{interquartile_mean(final):.1f}", "–", f"{interquartile_mean(mean):.1f}"]
        if len(final) > 1:
            returns[1] = "{:.1f} to {:.1f}".format(*bootstrap_interval(final))
    if diverged := int((~result.finite[point]).sum()):
        returns[0] += f" ({diverged} diverged)"
    row = [*map(short_number, result.points.at(point).values()), *returns]
    if result.time_to_solve is not None:
        times = result.time_to_solve[point]
        median = float(np.median(times))
        row.append(f"{np.isfinite(times).sum()} of {len(times)}")
        row.append(median_time(median if np.isfinite(median) else None))
    return row


def draw_sweep(file: BinaryIO, result: Sweep) -> None:
    """Draws the scores of a sweep over its first two settings, averaged over the others, as a PNG.

    A grid is drawn as a heat map, and random draws or the values of a single setting as points.
    """
    scores = np.where(np.isfinite(result.scores), result.scores, np.nan)
    best = int(result.ranking[0]) if np.isfinite(scores).any() else None
    title = f"{result.job.env.name}, {len(result.job.seeds)} seeds at each setting"
    names = [*result.points.names, _SCORE]
    first, second, *_ = (*result.points.values.values(), scores)
    if result.points.shape is None or len(result.points.shape) == 1:
        labels = Labels(title, names[0], names[1], _SCORE)
        draw_scatter(file, scores, first, second, labels, best)
        return
    if others := names[2:-1]:
        title, best = f"{title}; means over {', '.join(others)}", None
    shape = (*result.points.shape[:2], -1)
    rows, columns, cells = (each.reshape(shape) for each in (first, second, scores))
    labels = Labels(title, names[1], names[0], _SCORE)
    draw_heat_map(file, cells.mean(axis=2), columns[0, :, 0], rows[:, 0, 0], labels, best)
