"""The results of a comparison: tables, and files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from a2c_jax.experiment.comparison.compare import CompareConfig, Comparison
from a2c_jax.experiment.comparison.gradients import StageNoise
from a2c_jax.experiment.config import describe_config
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run.folder import CONFIG
from a2c_jax.experiment.run.plot import plot_runs, statistics_of
from a2c_jax.experiment.tables import markdown_table, median_time, text_table

_ROUNDING = 1e-6  # the error of the reference's ratio to itself is smaller


def comparison_tables(result: Comparison) -> list[Table]:
    """The tables for a terminal, in 80 columns."""
    first = next(iter(result.runs))
    tables = {
        f"P(better): a seed ends above a seed of {first}, with a 95 % interval": table_rows(result),
        "variance of the gradient, relative to reinforce's": gradient_rows(result),
    }
    plain: dict[str, Any] = {"no_wrap": True, "box": None, "padding": (0, 1, 0, 0)}
    return [text_table(rows, caption=caption, **plain) for caption, rows in tables.items() if rows]


def table_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; the probability is of ending above the first one."""
    first, better = next(iter(result.runs), ""), {}
    for pair in statistics_of(result.runs)["probability_of_improvement"]:
        if pair["of"] == first:  # of the other over the first, it is the complement
            value, (low, high) = 1 - pair["probability"], (1 - x for x in pair["interval_95"])
            better[pair["over"]] = f"{value:.2f} ({high:.2f} to {low:.2f})"
    rows = [["method", "return", "95 % interval", "solved", "median", "P(better)"]]
    for name, run in result.runs.items():
        summary, diverged = run.summary, run.summary["num_diverged"]
        named = f"{name} ({diverged} diverged)" if diverged else name
        solved, median = "", ""
        if summary["solved_threshold"] is not None:
            solved = f"{summary['fraction_solved']:.0%}"
            median = median_time(summary["median_steps_to_solve"])
        value, interval = summary["final_return_iqm"], summary["final_return_interval_95"]
        returns = ["none" if value is None else _digits(value)]
        returns += [" to ".join(map(_digits, interval or ()))]
        rows.append([named, *returns, solved, median, better.get(name, "")])
    return rows


def gradient_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; variances relative to REINFORCE's ± their errors."""
    if not result.noise:
        return []
    stages = (f"after {one.steps:,} (return {one.mean_return:.0f})" for one in result.noise)
    rows = ([name, *(_ratio(stage, name) for stage in result.noise)] for name in result.runs)
    return [["method", *stages], *rows]


def _digits(value: float) -> str:
    # All digits before the point are kept: powers of ten are hard to compare.
    return f"{value:.4g}" if abs(round(value)) < 10**4 else f"{value:.0f}"


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if max(abs(ratio - 1.0), error) < _ROUNDING:
        return "1"
    short = f"{ratio:.2g}" if math.isfinite(ratio) else "–"
    return f"{short} ± {error:.1g}" if math.isfinite(error) else short


def write_comparison(folder: Path | str, config: CompareConfig, result: Comparison) -> None:
    """Writes ``table.md``, ``gradients.json`` and the files of :func:`plot_runs` into a folder."""
    noise = [
        one._asdict() | {name: _finite(getattr(one, name)) for name in ("ratios", "errors")}
        for one in result.noise
    ]
    text = "\n".join(markdown_table(r) for r in (table_rows(result), gradient_rows(result)) if r)
    plot_runs(result.runs, folder)
    files = {
        "table.md": lambda file: file.write(text.encode()),
        "gradients.json": json_writer({"gradient_variance": noise}),
    }
    write_together(Path(folder), files)


def write_config(folder: Path, config: CompareConfig) -> None:
    """Writes ``config.json``, with which the comparison can be resumed."""
    write_together(folder, {CONFIG: json_writer(describe_config(config))})


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
