"""The command line: ``a2c-jax train`` and ``a2c-jax compare``."""

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import tyro
from rich.console import Console

from a2c_jax.experiment import comparison, runs
from a2c_jax.experiment.comparison import CompareConfig
from a2c_jax.experiment.comparison_report import comparison_table, write_comparison
from a2c_jax.experiment.config import TrainConfig, default_config, resolve, with_method
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.interrupts import deferred_interrupt
from a2c_jax.experiment.progress import Reporter, result_table
from a2c_jax.experiment.training import train_in_chunks
from a2c_jax.presets import Preset

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

USAGE = """\
usage: a2c-jax COMMAND [FLAGS]

Advantage actor-critic in JAX: many seeds at once.

commands:
  train     train many seeds and write a run folder
  compare   train several methods at equal environment steps; one table, one figure

a2c-jax COMMAND --help tells the flags.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 is success, 1 a file that could not be written, 2 bad input, 130 Ctrl-C.
    """
    command, *flags = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    try:
        with contextlib.ExitStack() as stack:
            try:
                if command not in COMMANDS:
                    known = " and ".join(COMMANDS)
                    raise ValueError(f"There is no command {command!r}; there are: {known}.")
                work = COMMANDS[command](flags, stack)
            except ValueError as error:
                print(f"a2c-jax: {error}", file=sys.stderr)
                return EXIT_BAD_INPUT
            return work()
    except KeyboardInterrupt:
        print("a2c-jax: interrupted; nothing was written.", file=sys.stderr)
        return EXIT_INTERRUPTED


def prepare_train(flags: Sequence[str], stack: contextlib.ExitStack) -> Callable[[], int]:
    """Checks all that ``train`` is told and claims its folder; returns what does the work.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config = parse_train(flags)
    _use_all_cores()
    job = resolve(config)
    name = f"{config.env}-{config.algorithm or config.preset}"
    folder = stack.enter_context(open_folder(config.out, config.overwrite, name))

    def work() -> int:
        console = Console()
        for notice in job.notices:
            console.print(notice, soft_wrap=True)
        description = runs.describe_config(config, job)
        with deferred_interrupt() as interrupted, Reporter(console, job) as reporter:
            outcome = train_in_chunks(
                job.algorithm,
                job.keys,
                job.num_updates,
                batch_size=config.batch_size,
                on_chunk=reporter.report,
                should_stop=interrupted,
            )
        if outcome.num_updates == 0:
            raise KeyboardInterrupt
        try:
            summary = runs.write_run(folder, config, description, job, outcome)
        except OSError as error:
            return _not_written("run", error)
        console.print(result_table(summary))
        console.print(f"Files: {folder}", soft_wrap=True, highlight=False)
        return 0 if summary["finished"] else EXIT_INTERRUPTED

    return work


def prepare_compare(flags: Sequence[str], stack: contextlib.ExitStack) -> Callable[[], int]:
    """Checks all that ``compare`` is told and claims its folder; returns what does the work.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config, suited = parse_compare(flags)
    _use_all_cores()
    jobs = comparison.resolve_all(config, suited)
    name = f"{config.env}-compare"
    folder = stack.enter_context(open_folder(config.out, config.overwrite, name))

    def work() -> int:
        console = Console()
        for name, (_, job) in jobs.items():
            for notice in job.notices:
                console.print(f"{name}: {notice}", soft_wrap=True)
        with deferred_interrupt() as interrupted:
            result = comparison.compare(jobs, console, interrupted)
            if not result.summaries:
                raise KeyboardInterrupt
            try:
                # What was trained is written before anything else is begun.
                write_comparison(folder, config, jobs, result)
                if config.gradient_episodes and result.finished and not interrupted():
                    console.print("Measuring the variance of the gradients")
                    noise = comparison.measure_gradients(config, jobs, interrupted)
                    result = result._replace(noise=noise)
                    write_comparison(folder, config, jobs, result)
                stopped = interrupted()
            except OSError as error:
                return _not_written("comparison", error)
            except KeyboardInterrupt:  # a second Ctrl-C; the training has been written
                stopped = True
        console.print(comparison_table(result))
        console.print(f"Files: {folder}", soft_wrap=True, highlight=False)
        return EXIT_INTERRUPTED if stopped else 0

    return work


COMMANDS = {"train": prepare_train, "compare": prepare_compare}


def parse_train(flags: Sequence[str]) -> TrainConfig:
    """Reads the flags of ``train``; preset and algorithm give the defaults of the others.

    Raises:
        ValueError: if there is no such preset or algorithm.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    names = _given(flags, "--preset", "--algorithm")
    default = default_config(names["preset"] or "default", names["algorithm"])
    return _parse(TrainConfig[type(default.settings)], default, "train", flags)  # type: ignore[misc]


def parse_compare(flags: Sequence[str]) -> tuple[CompareConfig, dict[str, Preset]]:
    """Reads the flags of ``compare``: the configuration, and the settings of each method.

    The preset gives the defaults, a method's own settings come before them, and a flag before
    both.

    Raises:
        ValueError: if there is no such preset or method.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    default = comparison.default_comparison(_given(flags, "--preset")["preset"] or "default")
    config: CompareConfig = _parse(CompareConfig, default, "compare", flags)
    suited = {}
    for name in config.algorithms:
        own = dataclasses.replace(default, settings=with_method(default.settings, name))
        suited[name] = _parse(CompareConfig, own, "compare", flags).settings
    return config, suited


def _parse(kind: Any, default: Any, command: str, flags: Sequence[str]) -> Any:
    return tyro.cli(
        kind,
        args=flags,
        default=default,
        prog=f"a2c-jax {command}",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
    )


def _given(flags: Sequence[str], *names: str) -> dict[str, str | None]:
    parser = argparse.ArgumentParser("a2c-jax", add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(name, default=None)
    return vars(parser.parse_known_args(flags)[0])


def _not_written(what: str, error: OSError) -> int:
    print(f"a2c-jax: the {what} could not be written: {error}.", file=sys.stderr)
    return EXIT_FAILED


def _use_all_cores() -> None:
    # One device for each core, before JAX's back end starts: seeds then train in parallel.
    # Only here, on behalf of a process of our own; a library must not decide that.
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # JAX has started: whoever started it has decided
        jax.config.update("jax_num_cpu_devices", cores)
