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
    captions = [f"P(better): a seed ends above a seed of {first}, with a 95 % interval"]
    captions += ["variance of the gradient, relative to reinforce's"]
    tables = zip([table_rows(result), gradient_rows(result)], captions, strict=True)
    plain: dict[str, Any] = {"no_wrap": True, "box": None, "padding": (0, 1, 0, 0)}
    return [text_table(rows, caption=text, **plain) for rows, text in tables if len(rows) > 1]


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
        solved = ["", ""]
        if summary["solved_threshold"] is not None:
            median = median_time(summary["median_steps_to_solve"])
            solved = [f"{summary['fraction_solved']:.0%}", median]
        rows.append([named, *_return(summary), *solved, better.get(name, "")])
    return rows


def gradient_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; variances relative to REINFORCE's ± their errors."""
    if not result.noise:
        return []
    stages = (f"after {one.steps:,} (return {one.mean_return:.0f})" for one in result.noise)
    rows = [["method", *stages]]
    return [*rows, *([name, *(_ratio(s, name) for s in result.noise)] for name in result.runs)]


def _return(summary: Mapping[str, Any]) -> list[str]:
    def text(value: float) -> str:
        # All digits before the point are kept: powers of ten are hard to compare.
        return f"{value:.4g}" if abs(round(value)) < 10**4 else f"{value:.0f}"

    value, interval = summary["final_return_iqm"], summary["final_return_interval_95"]
    return ["none" if value is None else text(value), " to ".join(map(text, interval or ()))]


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if max(abs(ratio - 1.0), error) < _ROUNDING:
        return "1"
    return f"{_short(ratio)} ± {error:.1g}" if math.isfinite(error) else _short(ratio)


def _short(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def write_comparison(folder: Path | str, config: CompareConfig, result: Comparison) -> None:
    """Writes ``table.md``, ``gradients.json`` and the files of :func:`plot_runs` into a folder.

    Raises:
        OSError: if a file could not be written.
    """
    noise = [
        stage._asdict() | {"ratios": _finite(stage.ratios), "errors": _finite(stage.errors)}
        for stage in result.noise
    ]
    tables = [rows for rows in (table_rows(result), gradient_rows(result)) if rows]
    text = "\n".join(map(markdown_table, tables))
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
