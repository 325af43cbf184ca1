"""Tables of results, for a terminal and in Markdown."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text


def result_table(summary: dict[str, Any]) -> Table:
    """The summary of a run."""
    unit, threshold, seeds = summary["unit"], summary["solved_threshold"], summary["num_seeds"]
    rows = {
        "Seeds": _num_seeds(summary),
        f"{unit.capitalize()} of each seed": f"{summary[f'{unit}_per_seed']:,}",
        "Final return, interquartile mean": _estimate(summary, "final_return"),
    }
    if threshold is not None:
        fraction, mark = summary["fraction_solved"], f"mean of 100 episodes ≥ {threshold:g}"
        rows[f"Solved ({mark})"] = f"{round(fraction * seeds)} of {seeds} ({fraction:.0%})"
        rows[f"Median {unit} to solve"] = median_time(summary[f"median_{unit}_to_solve"])
    rows["Steps a second, all seeds"] = f"{summary['steps_per_second']:,.0f}"
    rows["Compiling"] = f"{summary['compile_seconds']:.1f} s"
    rows["Training"] = f"{summary['train_seconds']:.1f} s"
    title = "Finished" if summary["finished"] else "Interrupted"
    return text_table([("", ""), *rows.items()], show_header=False, title=title)


def evaluation_table(figures: dict[str, Any]) -> Table:
    """The result of an evaluation."""
    rows = {
        "Seeds": _num_seeds(figures),
        "Episodes of each": "{num_episodes}",
        "Return, interquartile mean over seeds": _estimate(figures, "return"),
        "Lowest and highest return of an episode": "{lowest_return:.1f}, {highest_return:.1f}",
        "Mean length": "{mean_length:.1f} steps",
    }
    filled = [("", ""), *((name, text.format(**figures)) for name, text in rows.items())]
    return text_table(filled, show_header=False, title="Greedy" if figures["greedy"] else "Sampled")


def statistics_table(figures: dict[str, Any]) -> Table:
    """Runs, and the probability that one improves on another."""
    rows = [["run", "seeds", "final return", "solved", "median to solve"]]
    for name, run in figures["runs"].items():
        solved, median = run["fraction_solved"], run[f"median_{run['unit']}_to_solve"]
        times = ["–", "–"] if solved is None else [f"{solved:.0%}", median_time(median)]
        rows.append([name, _num_seeds(run), _estimate(run, "final_return"), *times])
    for pair in figures["probability_of_improvement"]:
        estimate = "{:.2f}  ({:.2f} to {:.2f})".format(pair["probability"], *pair["interval_95"])
        rows.append([f"P({pair['of']} > {pair['over']})", "", estimate])
    return text_table(rows, title="Runs")


def median_time(median: float | None) -> str:
    """The median time to solve; None where fewer than half of the seeds solved the task."""
    return "not reached" if median is None else f"{median:,.0f}"


def text_table(rows: Sequence[Sequence[str]], no_wrap: bool = False, **options: Any) -> Table:
    """A table for a terminal, from rows of which the first is a header."""
    table = Table(**options)
    for column, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if column else "left", no_wrap=no_wrap)
    for row in rows[1:]:
        table.add_row(*map(Text, row))  # not markup: a name may have brackets
    return table


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, from rows of which the first is a header."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _num_seeds(summary: dict[str, Any]) -> str:
    diverged = summary["num_diverged"]
    return f"{summary['num_seeds']}" + (f", {diverged} diverged" if diverged else "")


def _estimate(summary: dict[str, Any], name: str) -> str:
    value, interval = summary[f"{name}_iqm"], summary[f"{name}_interval_95"]
    if interval is None:
        return "no episode finished" if value is None else f"{value:.1f}"
    return f"{value:.1f}  (95 % interval {interval[0]:.1f} to {interval[1]:.1f})"
