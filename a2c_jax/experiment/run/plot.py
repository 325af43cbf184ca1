"""Pictures and statistics of runs on disk, one or several over each other."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a2c_jax.experiment.envs import EnvName
from a2c_jax.experiment.figures.quantities import PlotRun, run_plot_writers
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.run.pictures import run_title
from a2c_jax.experiment.statistics.inference import probability_of_improvement
from a2c_jax.experiment.statistics.learning import final_returns, solved_threshold, steps_to_solve

FORMATS = ("png", "svg")


def load_runs(folders: Sequence[Path | str], env: EnvName | None = None) -> dict[str, Run]:
    """Loads runs under distinct names: their folders' names, with parents where needed.

    ``env`` is their environment, if it is custom.

    Raises:
        ValueError: if there is none, one is given twice, they are counted in different units,
            or one cannot be loaded.
    """
    if not folders:
        raise ValueError("runs is empty; give the folder of at least one run.")
    paths = [Path(folder).resolve() for folder in folders]
    for path, folder in zip(paths, folders, strict=True):
        if paths.count(path) > 1:
            raise ValueError(f"runs holds {str(folder)!r} more than once; give every run once.")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    names = ["/".join(path.parts[-depth:]) for path in paths]
    runs = {name: load_run(folder, env=env) for name, folder in zip(names, folders, strict=True)}
    units = {name: run.job.unit for name, run in runs.items()}
    if len(set(units.values())) > 1:
        raise ValueError(f"runs is counted in different units, {units}; plot them separately.")
    return runs


def plot_runs(
    runs: dict[str, Run], folder: Path | str, format: str = "png"
) -> tuple[list[Path], dict[str, Any]]:
    """Draws runs over each other, and writes statistics of their differences.

    Args:
        runs: runs by their names in the legends.
        folder: where the pictures and ``statistics.json`` go; files of these names are replaced.
        format: "png" or "svg".

    Returns:
        The paths, and the statistics.

    Raises:
        ValueError: if the format is neither.
        OSError: if a file could not be written; then none has changed.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; give one of {' and '.join(FORMATS)}.")
    first = next(iter(runs.values())).job
    thresholds = {solved_threshold(run.job.env) for run in runs.values()}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    titles = runs
    if len(runs) == 1:
        titles = {run_title(run.config, run.job): run for run in runs.values()}
    plotted = [_to_plot(name, run) for name, run in titles.items()]
    figures = statistics_of(runs)
    folder = Path(folder)
    writers = run_plot_writers(plotted, first.unit, threshold, format)  # type: ignore[arg-type]
    files = {**writers, "statistics.json": json_writer(figures)}
    write_together(folder, files)
    return [folder / name for name in files], figures


def statistics_of(runs: dict[str, Run]) -> dict[str, Any]:
    """Summaries of runs and, for each pair, the probability that one improves on the other.

    Only runs of the same environment and the same length are paired.
    """
    scores = {name: final_returns(run.metrics) for name, run in runs.items()}
    known = {name: values[np.isfinite(values)] for name, values in scores.items()}
    improvement = []
    for one, other in itertools.combinations(runs, 2):
        comparable = _task(runs[one]) == _task(runs[other])
        if comparable and known[one].size and known[other].size:
            estimate = probability_of_improvement(known[one], known[other])
            improvement.append(
                {
                    "of": one,
                    "over": other,
                    "probability": estimate.value,
                    "interval_95": [estimate.low, estimate.high],
                }
            )
    return {
        "runs": {name: run.summary for name, run in runs.items()},
        "probability_of_improvement": improvement,
    }


def _task(run: Run) -> tuple[str, int, int]:
    """What runs must share for their returns to be compared: environment, time limit and length."""
    return run.job.env.name, run.job.env.max_episode_steps, int(run.position[-1])


def _to_plot(name: str, run: Run) -> PlotRun:
    threshold = solved_threshold(run.job.env)
    times = None
    if threshold is not None:
        times = steps_to_solve(run.metrics, run.job.per_update, threshold)
    return PlotRun(name, run.position, run.metrics, times)
