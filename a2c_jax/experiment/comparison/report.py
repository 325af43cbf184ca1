"""The results of a comparison: a table for a terminal, and files."""

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
from a2c_jax.experiment.config.envs import env_name
from a2c_jax.experiment.config.reading import FORMAT
from a2c_jax.experiment.figures.curves import draw_methods
from a2c_jax.experiment.files import Writer, json_writer, write_together
from a2c_jax.experiment.statistics.inference import Estimate, probability_of_improvement
from a2c_jax.experiment.statistics.learning import solved_threshold
from a2c_jax.experiment.tables import markdown_table, text_table

_ROUNDING = 1e-6  # the error of the reference's ratio to itself is smaller


def comparison_tables(result: Comparison) -> list[Table]:
    """The tables for a terminal, in 80 columns; :func:`table_rows` has more detail."""
    first, better = next(iter(result.summaries), ""), improvements(result)
    rows = [["method", "return", "95 %", "solved", "median", "P(better)"]]
    for name, summary in result.summaries.items():
        value, interval = _return(summary, digits=3)
        short = interval if "-" in interval else interval.replace(" to ", "-")
        rows.append([_name(name, summary), value, short, *_solved(summary), _better(better, name)])
    caption = f"P(better): a seed ends above a seed of {first}, with a 95 % interval"
    tables = [_plain_table(rows, caption if better else "")]
    if result.noise:
        rows = [["method", *(f"after {stage.name}" for stage in result.noise)]]
        rows += [
            [name, *(_ratio(stage, name) for stage in result.noise)] for name in result.summaries
        ]
        tables.append(_plain_table(rows, "variance of the gradient, relative to reinforce's"))
    return tables


def improvements(result: Comparison) -> dict[str, Estimate]:
    """The probability that a seed of a method ends above a seed of the first method."""
    scores = {
        name: np.array([each for each in summary["final_returns"] if each is not None])
        for name, summary in result.summaries.items()
    }
    first = next(iter(scores), "")
    return {
        name: probability_of_improvement(scores[name], scores[first])
        for name in scores
        if name != first and scores[name].size and scores[first].size
    }


def _better(better: Mapping[str, Estimate], name: str) -> str:
    if name not in better:
        return ""
    value, low, high = better[name]
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _plain_table(rows: list[list[str]], caption: str) -> Table:
    return text_table(rows, no_wrap=True, box=None, padding=(0, 1, 0, 0), caption=caption or None)


def table_rows(result: Comparison) -> list[list[str]]:
    """The table as text: a header, then a row for each method.

    The gradient's variance is relative to that of REINFORCE, ± its standard error.
    """
    stages = [
        f"gradient variance after {stage.steps:,} steps (return {stage.mean_return:.0f})"
        for stage in result.noise
    ]
    better, first = improvements(result), next(iter(result.summaries), "")
    rows = [["method", "final return", "95 % interval", "solved", "median steps"]]
    rows[0] += [f"probability of improvement on {first}", *stages]
    for name, summary in result.summaries.items():
        ratios = [_better(better, name), *(_ratio(stage, name) for stage in result.noise)]
        rows.append([_name(name, summary), *_return(summary, digits=4), *_solved(summary), *ratios])
    return rows


def _name(name: str, summary: Mapping[str, Any]) -> str:
    diverged = summary["num_diverged"]
    return f"{name} ({diverged} diverged)" if diverged else name


def _return(summary: Mapping[str, Any], digits: int) -> list[str]:
    def text(value: float) -> str:
        # All digits before the point are kept: powers of ten are hard to compare.
        few = abs(round(value)) < 10**digits
        return f"{value:.{digits}g}" if few else f"{value:.0f}"

    value, interval = summary["final_return_iqm"], summary["final_return_interval_95"]
    return ["none" if value is None else text(value), " to ".join(map(text, interval or ()))]


def _solved(summary: Mapping[str, Any]) -> list[str]:
    if summary["solved_threshold"] is None:
        return ["", ""]
    median = summary["median_steps_to_solve"]
    return [f"{summary['fraction_solved']:.0%}", "none" if median is None else f"{median:,.0f}"]


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if max(abs(ratio - 1.0), error) < _ROUNDING:
        return "1"
    return f"{_short(ratio)} ± {error:.1g}" if math.isfinite(error) else _short(ratio)


def _short(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def write_comparison(folder: Path, config: CompareConfig, jobs: Jobs, result: Comparison) -> None:
    """Writes ``config.json``, ``summary.json``, ``curves.npz``, ``table.md`` and the figure."""
    _, job = next(iter(jobs.values()))
    description = {
        "format": FORMAT,
        "preset": config.preset,
        "env": env_name(config.env),
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "gradient_episodes": config.gradient_episodes,
        "methods": {name: describe_settings(one.settings) for name, (one, _) in jobs.items()},
        **describe_machine(job.layout.devices),
    }
    summary = {
        "finished": result.finished,
        "methods": result.summaries,
        "probability_of_improvement": {
            name: estimate._asdict() for name, estimate in improvements(result).items()
        },
        "gradient_variance": [
            stage._asdict() | {"ratios": _finite(stage.ratios), "errors": _finite(stage.errors)}
            for stage in result.noise
        ],
    }
    arrays: dict[str, Any] = {}
    for name, (steps, returns) in result.curves.items():
        arrays |= {f"{name}/steps": steps, f"{name}/returns": returns}
    title = f"{job.env.name}, {len(job.seeds)} seeds of each method"
    files: dict[str, Writer] = {
        "config.json": json_writer(description),
        "summary.json": json_writer(summary),
        "curves.npz": lambda file: np.savez_compressed(file, **arrays),
        "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
        "comparison.png": functools.partial(
            draw_methods, curves=result.curves, title=title, threshold=solved_threshold(job.env)
        ),
    }
    write_together(folder, files)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
