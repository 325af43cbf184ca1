"""What ``bench`` leaves: tables on the screen, and ``bench.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_sides import OURS
from rich.console import Console
from rich.table import Table

from a2c_jax.experiment.files import json_writer, write_together

NAME = "bench.json"

_FORMAT = 1
_GIGA, _GIB = 1e9, 2**30


def write_bench(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    """Writes ``bench.json``, and returns where it is."""
    write_together(folder, {NAME: json_writer({"format": _FORMAT, **record})})
    return [folder / NAME]


def print_bench(console: Console, record: Mapping[str, Any]) -> None:
    """Prints a table for each thing that was measured, and what failed."""
    if record["sizes"]:
        console.print(speed_table(record), process_table(record))
    for module, seconds in record.get("import_seconds", {}).items():
        console.print(f"import {module}: {_spread(seconds)} s", highlight=False, markup=False)
    for part, table in (("scaling", scaling_table), ("solve", solve_table)):
        if record.get(part):
            console.print(table(record))
    if "failed" not in record.get("startup", {"failed": ""}):
        console.print(startup_table(record))
    for sentence in failures(record):
        console.print(f"Left out: {sentence}", soft_wrap=True, highlight=False, markup=False)


def failures(record: Mapping[str, Any]) -> list[str]:
    """What could not be measured, a sentence each."""
    sentences = [text for size in record["sizes"] for text in size["failed"].values()]
    tried = [size["process"] for size in record["sizes"]]
    tried += [*record.get("scaling", ()), *record.get("solve", {}).values()]
    tried.append(record.get("startup", {}))
    return sentences + [one["failed"] for one in tried if "failed" in one]


def speed_table(record: Mapping[str, Any]) -> Table:
    """Steady state of every side."""
    table = _table(
        f"Network: {record['network']}; {record['rounds']} rounds, median [least, most]",
        "S,N,T",
        "program",
        "steps a second",
        "ours faster by",
        "first run",
    )
    for size in record["sizes"]:
        name = _name(size)
        for side, figures in size["sides"].items():
            ratio = figures["ours_is_faster"]
            table.add_row(
                name,
                side,
                _spread(figures["steps_per_second"]),
                "" if ratio is None else _spread(ratio),
                f"{figures['first_seconds']:.1f} s",
            )
            name = ""
    return table


def process_table(record: Mapping[str, Any]) -> Table:
    """Compiling, arithmetic and memory of ours."""
    table = _table(
        f"{OURS}, in fresh processes",
        "S,N,T",
        "trace",
        "compile",
        "from cache",
        "first run",
        "memory",
        "GFLOP/s",
        "of a product's",
    )
    for size in record["sizes"]:
        table.add_row(
            _name(size),
            *_process_cells(size["process"]),
            f"{size['flops_per_second'] / _GIGA:.1f}",
            f"{size['fraction_of_matmul']:.0%}",
        )
    return table


def _process_cells(process: Mapping[str, Any]) -> list[str]:
    if "failed" in process:
        return [""] * 5
    stages = ("trace", "compile", "warm_compile", "first_run")
    seconds = [f"{process[f'{stage}_seconds']:.2f} s" for stage in stages]
    return [*seconds, f"{process['peak_memory_bytes'] / _GIB:.2f} GiB"]


def scaling_table(record: Mapping[str, Any]) -> Table:
    """The cost of a seed."""
    updates = record["scaling"][0]["num_updates"]
    table = _table(f"{updates} updates of so many seeds", "seeds", "seconds a seed", "memory")
    for row in record["scaling"]:
        if "failed" in row:
            continue
        seconds = sorted(row["seconds_per_seed"])
        table.add_row(
            f"{row['num_seeds']:,}",
            f"{seconds[0]:.4g} to {seconds[-1]:.4g}",
            f"{row['peak_memory_bytes'] / _GIB:.2f} GiB",
        )
    return table


def startup_table(record: Mapping[str, Any]) -> Table:
    """From launching to the first results."""
    startup = record["startup"]
    table = _table(" ".join(startup["command"]), "cache", "first results", "end")
    for state in ("cold", "warm"):
        rows = startup[state]
        table.add_row(
            state,
            *(
                ", ".join(f"{row[f'{moment}_seconds']:.1f}" for row in rows) + " s"
                for moment in ("first_chunk", "end")
            ),
        )
    return table


def solve_table(record: Mapping[str, Any]) -> Table:
    """Whole training runs."""
    table = _table("Solving CartPole-v1", "program", "seeds", "wall time", "solved", "steps")
    for name, row in record["solve"].items():
        if "failed" in row:
            continue
        steps = row.get("median_steps_to_solve") or row.get("steps_to_solve")
        solved = row.get("fraction_solved", float(steps is not None))
        table.add_row(
            name,
            str(row["num_seeds"]),
            f"{row['wall_seconds']:.1f} s",
            f"{solved:.0%}",
            "not reached" if steps is None else f"{steps:,.0f}",
        )
    return table


def _table(title: str, *headers: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for number, header in enumerate(headers):
        is_name = number == 0 or header in ("program", "cache")
        table.add_column(header, justify="left" if is_name else "right", no_wrap=True)
    return table


def _spread(figures: Mapping[str, Any]) -> str:
    median, least, most = (_short(figures[name]) for name in ("median", "min", "max"))
    return f"{median} [{least}, {most}]"


def _short(number: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _name(size: Mapping[str, Any]) -> str:
    return f"{size['num_seeds']},{size['num_envs']},{size['num_steps']}"
