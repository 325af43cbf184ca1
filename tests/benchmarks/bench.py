"""Measures this program, a plain one and its peers on one machine: ``bench.py --help``."""

import sys
from collections.abc import Sequence

import bench_measure
from bench_config import BenchConfig, make_plan
from bench_report import print_bench, write_bench
from rich.console import Console

from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.cli.commands import COMMANDS, print_files
from a2c_jax.experiment.cli.flags import parse
from a2c_jax.experiment.errors import refusals, written
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.run.interrupts import EXIT, Interrupted, deferred_interrupt


def bench(flags: Sequence[str]) -> int:
    """Measures speed, memory and compiling of this program and of others.

    Raises:
        BadInput: one sentence, if the input is bad or a peer does not run.
    """
    config = parse(BenchConfig, "bench", flags)
    with refusals():
        plan = make_plan(config)
    console = Console()
    with open_folder(config.out, True, "bench", config.name) as folder:
        with refusals():
            versions = bench_measure.check_peers(plan)
        with deferred_interrupt(own_process=True) as interrupted:
            record = bench_measure.measure(plan, versions, console.print, interrupted)
            stopped = 0 if record["finished"] else interrupted()
            if not record["sizes"] and stopped:
                raise Interrupted(stopped)
            with written("measurements"):
                paths = write_bench(folder, record)
    print_bench(console, record)
    print_files(console, paths)
    return EXIT + stopped if stopped else 0


def main(flags: Sequence[str]) -> int:
    """Measures, and returns the exit code of ``a2c-jax`` commands."""
    COMMANDS["bench"] = (bench, "measure speed, memory and compiling")
    return cli.main(["bench", *flags])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
