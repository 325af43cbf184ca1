"""Pictures and statistics of runs on disk, one or several over each other."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a2c_jax.experiment.envs import EnvName
from a2c_jax.experiment.figures.quantities import PlotRun, run_plot_writers
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run.folder import Run, load_run, run_title
from a2c_jax.experiment.statistics.inference import probability_of_improvement
from a2c_jax.experiment.statistics.learning import final_returns, solved_threshold, steps_to_solve


def load_runs(folders: Sequence[Path | str], env: EnvName | None = None) -> dict[str, Run]:
    """Loads runs under distinct names: their folders' names, with parents where needed.

    ``env`` is their environment, if it is custom. All must be counted in the same unit.
    """
    if not folders:
        raise ValueError("runs is empty; give the folder of at least one run.")
    paths = [Path(folder).resolve() for folder in folders]
    for path, folder in zip(paths, folders, strict=True):
        if paths.count(path) > 1:
            raise ValueError(f"runs holds {str(folder)!r} more than once; give every run once.")
    depth = next(n for n in itertools.count(1) if len({p.parts[-n:] for p in paths}) == len(paths))
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

    The names of ``runs`` are those in the legends. Pictures, "png" or "svg", and
    ``statistics.json`` in the folder are replaced. Returns the paths and the statistics.
    """
    if format not in ("png", "svg"):
        raise ValueError(f"format is {format!r}; give one of png and svg.")
    first, *others = runs.values()
    labels = runs if others else {run_title(first.config, first.job): first}
    thresholds = {solved_threshold(run.job.env) for run in runs.values()}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    plotted = [_to_plot(label, run) for label, run in labels.items()]
    writers = run_plot_writers(plotted, first.job.unit, threshold, format)  # type: ignore[arg-type]
    statistics = statistics_of(runs)
    files = {**writers, "statistics.json": json_writer(statistics)}
    return write_together(Path(folder), files), statistics


def statistics_of(runs: dict[str, Run]) -> dict[str, Any]:
    """Summaries of runs, and improvements between those of one task and the same length."""
    finals = {name: final_returns(run.metrics) for name, run in runs.items()}
    known = {name: values[np.isfinite(values)] for name, values in finals.items()}
    tasks = {
        name: (run.job.env.name, run.job.env.max_episode_steps, int(run.position[-1]))
        for name, run in runs.items()
    }
    improvement = []
    for one, other in itertools.combinations(runs, 2):
        if tasks[one] == tasks[other] and known[one].size and known[other].size:
            value, *interval = probability_of_improvement(known[one], known[other])
            pair = {"of": one, "over": other, "probability": value, "interval_95": interval}
            improvement.append(pair)
    summaries = {name: run.summary for name, run in runs.items()}
    return {"runs": summaries, "probability_of_improvement": improvement}


def _to_plot(label: str, run: Run) -> PlotRun:
    threshold, times = solved_threshold(run.job.env), None
    if threshold is not None:
        times = steps_to_solve(run.metrics, run.job.per_update, threshold)
    return PlotRun(label, run.position, run.metrics, times)
