"""The results of a comparison: tables, and files."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from a2c_jax.experiment.comparison.compare import CompareConfig, Comparison
from a2c_jax.experiment.comparison.gradients import StageNoise
from a2c_jax.experiment.config import describe_config
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run.folder import CONFIG, Run
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
    table = functools.partial(text_table, no_wrap=True, box=None, padding=(0, 1, 0, 0))
    return [table(rows, caption=caption) for caption, rows in tables.items() if rows]


def table_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; the probability is of ending above the first one."""
    first, better = next(iter(result.runs), ""), {}
    for pair in statistics_of(result.runs)["probability_of_improvement"]:
        if pair["of"] == first:  # of the other over the first, it is the complement
            value, (low, high) = 1 - pair["probability"], (1 - x for x in pair["interval_95"])
            better[pair["over"]] = f"{value:.2f} ({high:.2f} to {low:.2f})"
    rows = [["method", "return", "95 % interval", "solved", "median", "P(better)"]]
    return rows + [[*_row(name, run), better.get(name, "")] for name, run in result.runs.items()]


def _row(name: str, run: Run) -> list[str]:
    summary, solved = run.summary, ["", ""]
    if diverged := summary["num_diverged"]:
        name += f" ({diverged} diverged)"
    if summary["solved_threshold"] is not None:
        median = median_time(summary["median_steps_to_solve"])
        solved = [f"{summary['fraction_solved']:.0%}", median]
    value, interval = summary["final_return_iqm"], summary["final_return_interval_95"] or ()
    mean = "none" if value is None else _digits(value)
    return [name, mean, " to ".join(map(_digits, interval)), *solved]


def _digits(value: float) -> str:
    # All digits before the point are kept: powers of ten are hard to compare.
    return f"{value:.4g}" if abs(round(value)) < 10**4 else f"{value:.0f}"


def gradient_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; variances relative to REINFORCE's ± their errors."""
    if not result.noise:
        return []
    stages = (f"after {one.steps:,} (return {one.mean_return:.0f})" for one in result.noise)
    rows = ([name, *(_ratio(stage, name) for stage in result.noise)] for name in result.runs)
    return [["method", *stages], *rows]


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if max(abs(ratio - 1.0), error) < _ROUNDING:
        return "1"
    short = f"{ratio:.2g}" if math.isfinite(ratio) else "–"
    return f"{short} ± {error:.1g}" if math.isfinite(error) else short


def write_comparison(folder: Path | str, result: Comparison) -> None:
    """Writes ``table.md``, ``gradients.json`` and the files of :func:`plot_runs` into a folder."""
    noise = [
        one._asdict() | {"ratios": _finite(one.ratios), "errors": _finite(one.errors)}
        for one in result.noise
    ]
    text = "\n".join(markdown_table(r) for r in (table_rows(result), gradient_rows(result)) if r)
    plot_runs(result.runs, folder)
    gradients = json_writer({"gradient_variance": noise})
    files = {"table.md": lambda file: file.write(text.encode()), "gradients.json": gradients}
    write_together(Path(folder), files)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def write_config(folder: Path, config: CompareConfig) -> None:
    """Writes ``config.json``, with which the comparison can be resumed."""
    write_together(folder, {CONFIG: json_writer(describe_config(config))})
