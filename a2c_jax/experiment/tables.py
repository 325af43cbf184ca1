"""Tables of results, for a terminal and in Markdown."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table


def result_table(summary: dict[str, Any]) -> Table:
    """The table at the end of a run."""
    table = Table(show_header=False, title="Finished" if summary["finished"] else "Interrupted")
    table.add_row("Seeds", f"{summary['num_seeds']}")
    unit = summary["unit"]
    table.add_row(f"{unit.capitalize()} of each seed", f"{summary[f'{unit}_per_seed']:,}")
    table.add_row("Final return, interquartile mean", final_return(summary))
    if summary["solved_threshold"] is not None:
        solved = round(summary["fraction_solved"] * summary["num_seeds"])
        table.add_row(
            f"Solved (mean of 100 episodes ≥ {summary['solved_threshold']:g})",
            f"{solved} of {summary['num_seeds']} ({summary['fraction_solved']:.0%})",
        )
        median = summary[f"median_{unit}_to_solve"]
        table.add_row(
            f"Median {unit} to solve", "not reached" if median is None else f"{median:,.0f}"
        )
    table.add_row("Steps a second, all seeds", f"{summary['steps_per_second']:,.0f}")
    table.add_row("Compiling", f"{summary['compile_seconds']:.1f} s")
    table.add_row("Training", f"{summary['train_seconds']:.1f} s")
    return table


def final_return(summary: dict[str, Any]) -> str:
    """The interquartile mean of the final returns and its interval, in words."""
    if summary["final_return_iqm"] is None:
        return "no episode finished"
    text = f"{summary['final_return_iqm']:.1f}"
    if summary["final_return_interval_95"] is not None:
        low, high = summary["final_return_interval_95"]
        text += f"  (95 % interval {low:.1f} to {high:.1f})"
    return text


def evaluation_table(figures: dict[str, Any]) -> Table:
    """The figures of :func:`describe_evaluation` for a terminal."""
    table = Table(show_header=False, title="Greedy" if figures["greedy"] else "Sampled")
    table.add_row("Seeds", f"{figures['num_seeds']}")
    table.add_row("Episodes of each", f"{figures['num_episodes']}")
    text = f"{figures['return_iqm']:.1f}"
    if figures["return_interval_95"] is not None:
        low, high = figures["return_interval_95"]
        text += f"  (95 % interval {low:.1f} to {high:.1f})"
    table.add_row("Return, interquartile mean over seeds", text)
    table.add_row("Lowest and highest return of an episode",
                  f"{figures['lowest_return']:.1f}, {figures['highest_return']:.1f}")  # fmt: skip
    table.add_row("Mean length", f"{figures['mean_length']:.1f} steps")
    return table


def statistics_table(figures: dict[str, Any]) -> Table:
    """The statistics for a terminal."""
    table = Table(title="Runs")
    for name in ("run", "seeds", "final return", "solved", "median to solve"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for name, summary in figures["runs"].items():
        median = summary[f"median_{summary['unit']}_to_solve"]
        solved = summary["fraction_solved"]
        table.add_row(
            name,
            f"{summary['num_seeds']}",
            final_return(summary),
            "–" if solved is None else f"{solved:.0%}",
            "–" if solved is None else "not reached" if median is None else f"{median:,.0f}",
        )
    for pair in figures["probability_of_improvement"]:
        low, high = pair["interval_95"]
        table.add_row(
            f"P({pair['of']} > {pair['over']})",
            "",
            f"{pair['probability']:.2f}  ({low:.2f} to {high:.2f})",
        )
    return table


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first of them a header, as a table in Markdown."""
    header, *others = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "| " + " | ".join("---" for _ in rows[0]) + " |"
    return "\n".join([header, rule, *others]) + "\n"
