"""The command line: ``a2c-jax train``."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import tyro
from rich.console import Console

from a2c_jax import presets
from a2c_jax.experiment import runs
from a2c_jax.experiment.config import Job, TrainConfig, resolve
from a2c_jax.experiment.interrupts import deferred_interrupt
from a2c_jax.experiment.progress import Reporter, result_table
from a2c_jax.experiment.training import train_in_chunks

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


USAGE = """\
usage: a2c-jax COMMAND [FLAGS]

Advantage actor-critic in JAX: many seeds at once.

commands:
  train   train many seeds and write a run folder; a2c-jax train --help tells its flags
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
                if command != "train":
                    raise ValueError(f"There is no command {command!r}; the one there is: train.")
                config = parse_train(flags)
                _use_all_cores()
                job = resolve(config)
                folder = stack.enter_context(runs.open_folder(config))
            except ValueError as error:
                print(f"a2c-jax: {error}", file=sys.stderr)
                return EXIT_BAD_INPUT
            return train(config, job, folder)
    except KeyboardInterrupt:
        print("a2c-jax: interrupted; nothing was written.", file=sys.stderr)
        return EXIT_INTERRUPTED


def parse_train(flags: Sequence[str]) -> TrainConfig:
    """Reads the flags of ``train``; the preset they name gives the defaults of the others.

    Raises:
        ValueError: if there is no such preset.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    name = _preset_name(flags)
    if name not in presets.PRESETS:
        known = ", ".join(presets.PRESETS)
        raise ValueError(f"There is no preset {name!r}; choose one of: {known}.")
    return tyro.cli(
        TrainConfig,
        args=flags,
        default=TrainConfig(settings=presets.PRESETS[name], preset=name),  # type: ignore[arg-type]
        prog="a2c-jax train",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
    )


def train(config: TrainConfig, job: Job, folder: Path) -> int:
    """Trains, shows progress, writes the run folder; returns the exit code."""
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
        print(f"a2c-jax: the run could not be written: {error}.", file=sys.stderr)
        return EXIT_FAILED
    console.print(result_table(summary))
    console.print(f"Files: {folder}", soft_wrap=True, highlight=False)
    return 0 if summary["finished"] else EXIT_INTERRUPTED


def _preset_name(flags: Sequence[str]) -> str:
    parser = argparse.ArgumentParser("a2c-jax train", add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    return parser.parse_known_args(flags)[0].preset


def _use_all_cores() -> None:
    # One device for each core, before JAX's back end starts: seeds then train in parallel.
    # Only here, on behalf of a process of our own; a library must not decide that.
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # JAX has started: whoever started it has decided
        jax.config.update("jax_num_cpu_devices", cores)
