"""What a comparison of methods leaves: a table on the screen, and files."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from a2c_jax.experiment.comparison.compare import CompareConfig, Comparison, Jobs
from a2c_jax.experiment.comparison.gradients import StageNoise
from a2c_jax.experiment.config.describe import describe_machine, describe_settings
from a2c_jax.experiment.config.reading import FORMAT
from a2c_jax.experiment.figures.curves import draw_methods
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics.learning import solved_threshold
from a2c_jax.experiment.tables import markdown_table

_CERTAIN = 1e-6  # an error below this is rounding: the reference compared with itself


def comparison_table(result: Comparison) -> Table:
    """The table on the screen, in 80 columns; the written one says more."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    stages = [f"var {stage.name}" for stage in result.noise]
    table.add_column("method", no_wrap=True)
    for header in ("return", "95 %", "solved", "median", *stages):
        table.add_column(header, justify="right", no_wrap=True)
    for name, summary in result.summaries.items():
        value, interval = _return(summary, digits=3)
        noise = [stage.ratios.get(name) for stage in result.noise]
        cells = ["a2c's" if ratio is None else _short(ratio) for ratio in noise]
        short = interval if "-" in interval else interval.replace(" to ", "-")
        table.add_row(name, value, short, *_solved(summary), *cells)
    return table


def table_rows(result: Comparison) -> list[list[str]]:
    """The table as text: a header, then a row for each method.

    The gradient's variance is relative to that of REINFORCE, ± its standard error.
    """
    stages = [
        f"gradient variance after {stage.steps:,} steps (return {stage.mean_return:.0f})"
        for stage in result.noise
    ]
    header = ["method", "final return", "95 % interval", "solved", "median steps", *stages]
    rows = [
        [
            name,
            *_return(summary, digits=4),
            *_solved(summary),
            *(_ratio(stage, name) for stage in result.noise),
        ]
        for name, summary in result.summaries.items()
    ]
    return [header, *rows]


def _return(summary: Mapping[str, Any], digits: int) -> list[str]:
    value, interval = summary["final_return_iqm"], summary["final_return_interval_95"]
    return [
        "none" if value is None else _significant(value, digits),
        "" if interval is None else " to ".join(_significant(end, digits) for end in interval),
    ]


def _significant(value: float, digits: int) -> str:
    # Whole digits are kept: returns of thousands in powers of ten could not be compared at sight.
    return f"{value:.{digits}g}" if abs(round(value)) < 10**digits else f"{value:.0f}"


def _solved(summary: Mapping[str, Any]) -> list[str]:
    if summary["solved_threshold"] is None:
        return ["", ""]
    median = summary["median_steps_to_solve"]
    return [f"{summary['fraction_solved']:.0%}", "none" if median is None else f"{median:,.0f}"]


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if abs(ratio - 1.0) < _CERTAIN and error < _CERTAIN:
        return "1"
    return f"{_short(ratio)} ± {error:.1g}" if math.isfinite(error) else _short(ratio)


def _short(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def write_comparison(folder: Path, config: CompareConfig, jobs: Jobs, result: Comparison) -> None:
    """Writes ``config.json``, ``summary.json``, ``curves.npz``, ``table.md`` and the figure."""
    job = next(iter(jobs.values()))[1]
    draw = functools.partial(
        draw_methods,
        curves=result.curves,
        title=f"{job.env.name}, {len(job.seeds)} seeds of each method",
        threshold=solved_threshold(job.env),
    )
    summary = {
        "finished": result.finished,
        "methods": result.summaries,
        "gradient_variance": [_describe_stage(stage) for stage in result.noise],
    }
    write_together(
        folder,
        {
            "config.json": json_writer(_describe(config, jobs, job)),
            "summary.json": json_writer(summary),
            "curves.npz": lambda file: np.savez_compressed(file, **_arrays(result)),
            "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
            "comparison.png": draw,
        },
    )


def _describe(config: CompareConfig, jobs: Jobs, job: Job) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "preset": config.preset,
        "env": config.env,
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "gradient_episodes": config.gradient_episodes,
        "methods": {name: describe_settings(one.settings) for name, (one, _) in jobs.items()},
        **describe_machine(job.layout.devices),
    }


def _describe_stage(stage: StageNoise) -> dict[str, Any]:
    def finite(values: Mapping[str, float]) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    return stage._asdict() | {"ratios": finite(stage.ratios), "errors": finite(stage.errors)}


def _arrays(result: Comparison) -> dict[str, Any]:
    arrays = {}
    for name, (steps, returns) in result.curves.items():
        arrays[f"{name}/steps"], arrays[f"{name}/returns"] = steps, returns
    return arrays
