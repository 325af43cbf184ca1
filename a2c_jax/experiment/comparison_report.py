"""What a comparison of methods leaves: a table on the screen, and files."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from a2c_jax.experiment.comparison import CompareConfig, Comparison
from a2c_jax.experiment.config import Job, TrainConfig
from a2c_jax.experiment.describe import describe_machine, describe_settings
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.gradients import StageNoise
from a2c_jax.experiment.plotting import draw_methods
from a2c_jax.experiment.statistics import solved_threshold
from a2c_jax.parallel import seed_layout

_CERTAIN = 1e-6  # an error below this is rounding: the reference compared with itself


def comparison_table(result: Comparison) -> Table:
    """The table on the screen, in 80 columns; the written one has the errors too."""
    stages = [f"var. {stage.name}" for stage in result.noise]
    header = ["method", "return [95 %]", "solved", "median", *stages]
    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, summary in result.summaries.items():
        table.add_row(
            name,
            _with_interval(summary, digits=0),
            *_solved(summary),
            *(f"{stage.ratios[name]:.2g}" for stage in result.noise),
        )
    return table


def table_rows(result: Comparison) -> list[list[str]]:
    """The table as text: a header, then a row for each method.

    The gradient's variance is relative to that of REINFORCE, ± its standard error.
    """
    stages = [
        f"gradient variance after {stage.steps:,} steps (return {stage.mean_return:.0f})"
        for stage in result.noise
    ]
    header = ["method", "final return [95 % interval]", "solved", "median steps to solve", *stages]
    rows = [
        [
            name,
            _with_interval(summary, digits=1),
            *_solved(summary),
            *(_ratio(stage, name) for stage in result.noise),
        ]
        for name, summary in result.summaries.items()
    ]
    return [header, *rows]


def _with_interval(summary: Mapping[str, Any], digits: int) -> str:
    if summary["final_return_iqm"] is None:
        return "none"
    text, interval = (
        f"{summary['final_return_iqm']:.{digits}f}",
        summary["final_return_interval_95"],
    )
    if interval is None:
        return text
    return f"{text} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _solved(summary: Mapping[str, Any]) -> list[str]:
    if summary["solved_threshold"] is None:
        return ["", ""]
    median = summary["median_steps_to_solve"]
    return [f"{summary['fraction_solved']:.0%}", "none" if median is None else f"{median:,.0f}"]


def _ratio(stage: StageNoise, name: str) -> str:
    ratio, error = stage.ratios[name], stage.errors[name]
    return "1" if error < _CERTAIN else f"{ratio:.2g} ± {error:.1g}"


def write_comparison(
    folder: Path,
    config: CompareConfig,
    jobs: Mapping[str, tuple[TrainConfig, Job]],
    result: Comparison,
) -> None:
    """Writes ``config.json``, ``summary.json``, ``curves.npz``, ``table.md`` and the figure."""
    job = next(iter(jobs.values()))[1]
    draw = functools.partial(
        draw_methods,
        curves=result.curves,
        title=f"{job.env.name}, {len(job.seeds)} seeds of each method",
        threshold=solved_threshold(job.env),
    )
    description = {
        "preset": config.preset,
        "env": config.env,
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "methods": {name: describe_settings(one.settings) for name, (one, _) in jobs.items()},
        **describe_machine(seed_layout(job.keys).devices),
    }
    summary = {
        "finished": result.finished,
        "methods": result.summaries,
        "gradient_variance": [stage._asdict() for stage in result.noise],
    }
    write_together(
        folder,
        {
            "config.json": json_writer(description),
            "summary.json": json_writer(summary),
            "curves.npz": lambda file: np.savez_compressed(file, **_arrays(result)),
            "table.md": lambda file: file.write(_markdown(table_rows(result)).encode()),
            "comparison.png": draw,
        },
    )


def _arrays(result: Comparison) -> dict[str, Any]:
    arrays = {}
    for name, (steps, returns) in result.curves.items():
        arrays[f"{name}/steps"], arrays[f"{name}/returns"] = steps, returns
    return arrays


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "| " + " | ".join("---" for _ in rows[0]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"
