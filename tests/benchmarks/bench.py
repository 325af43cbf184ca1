"""Measures this program, a plain one and its peers on one machine: ``bench.py --help``."""

import contextlib
import sys
from collections.abc import Sequence

import bench_measure
from bench_config import BenchConfig, make_plan
from bench_report import print_bench, write_bench
from rich.console import Console

from a2c_jax.experiment import cli, parsing
from a2c_jax.experiment.commands import COMMANDS, Work, print_files, written
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.interrupts import EXIT, Interrupted, deferred_interrupt


def prepare_bench(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Measures speed, memory and compiling, beside other programs.

    Raises:
        ValueError: one sentence, if the input is bad or a peer does not run.
    """
    config = parsing.parse(BenchConfig, "bench", flags)
    plan = make_plan(config)
    folder = stack.enter_context(open_folder(config.out, config.overwrite, "bench", config.name))
    versions = bench_measure.check_peers(plan)

    def work() -> int:
        console = Console()
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

    return work


def main(flags: Sequence[str]) -> int:
    """Measures, and returns the exit code of ``a2c-jax`` commands."""
    COMMANDS["bench"] = (prepare_bench, "measure speed, memory and compiling")
    return cli.main(["bench", *flags])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
