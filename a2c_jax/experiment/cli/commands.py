"""Commands, which parse flags, call public functions, print, and return an exit code."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from a2c_jax.experiment.cli.configs import EvaluateConfig, JoinConfig, PlotConfig, ReplayConfig
from a2c_jax.experiment.cli.flags import parse, parse_compare, parse_sweep, parse_train
from a2c_jax.experiment.comparison.compare import (
    CompareConfig,
    compare,
    measure_gradients,
    resolve_all,
)
from a2c_jax.experiment.comparison.report import (
    comparison_tables,
    write_comparison,
    write_config,
)
from a2c_jax.experiment.envs import env_label
from a2c_jax.experiment.errors import as_bad_input, as_write_error
from a2c_jax.experiment.files import locked, open_folder, remove_files
from a2c_jax.experiment.replay.replay import checked_seeds, record_run, write_replay
from a2c_jax.experiment.run.evaluate import (
    check_episodes,
    describe_evaluation,
    evaluate_run,
    write_evaluation,
)
from a2c_jax.experiment.run.folder import CONFIG, load_run
from a2c_jax.experiment.run.interrupts import EXIT, Interrupted, deferred_interrupt
from a2c_jax.experiment.run.join import join_runs
from a2c_jax.experiment.run.plot import load_runs, plot_runs
from a2c_jax.experiment.run.train import train_run
from a2c_jax.experiment.sweeps.points import parse_points
from a2c_jax.experiment.sweeps.report import sweep_table, write_sweep
from a2c_jax.experiment.sweeps.sweep import check_sweep, sweep
from a2c_jax.experiment.tables import evaluation_table, result_table, statistics_table


def train(flags: Sequence[str]) -> int:
    """Trains many seeds and writes a run folder, or resumes one."""
    console = _console()
    run = train_run(parse_train(flags), console, own_process=True)
    console.print(result_table(run.summary), soft_wrap=False)
    console.print(f"Files: {run.folder}")
    if run.summary["finished"]:
        return 0
    console.print(f"Resume with: a2c-jax train --resume {run.folder}")
    return EXIT + run.signal


def join(flags: Sequence[str]) -> int:
    """Joins runs of different seeds into one."""
    config = parse(JoinConfig, "join", flags)
    run = join_runs(config.runs, config.out, config.name, config.env)
    console = _console()
    console.print(result_table(run.summary), soft_wrap=False)
    console.print(f"Files: {run.folder}")
    return 0


def evaluate(flags: Sequence[str]) -> int:
    """Plays episodes with the newest policies of a run."""
    config = parse(EvaluateConfig, "evaluate", flags)
    with as_bad_input():
        check_episodes(config.num_episodes, config.seed)
        run = load_run(config.run, env=config.env)
    with open_folder(config.out or run.folder, True, "") as folder:
        evaluated = evaluate_run(run, config.num_episodes, not config.sampled, config.seed)
        with as_write_error("evaluation"):
            paths = write_evaluation(folder, evaluated)
    console = _console()
    console.print(evaluation_table(describe_evaluation(evaluated)), soft_wrap=False)
    print_files(console, paths)
    return 0


def plot(flags: Sequence[str]) -> int:
    """Draws runs over each other, with statistics of their differences."""
    config = parse(PlotConfig, "plot", flags)
    with as_bad_input():
        runs = load_runs(config.runs, config.env)
    out = config.out
    if len(runs) == 1 and out is None:
        out = next(iter(runs.values())).folder / "plots"
    with open_folder(out, True, "plots") as folder, as_write_error("pictures"):
        paths, figures = plot_runs(runs, folder, config.format)
    console = _console()
    console.print(statistics_table(figures), soft_wrap=False)
    print_files(console, paths)
    return 0


def replay(flags: Sequence[str]) -> int:
    """Writes a page that plays episodes of the newest policies of a run."""
    config = parse(ReplayConfig, "replay", flags)
    with as_bad_input():
        check_episodes(config.num_episodes, config.seed)
        run = load_run(config.run, env=config.env)
        seeds = checked_seeds(run, config.seeds)
    with open_folder(config.out or run.folder, True, "") as folder:
        greedy = not config.sampled
        recording = record_run(run, seeds, config.num_episodes, greedy, config.seed)
        with as_write_error("replay"):
            paths = write_replay(folder, run, recording, greedy=greedy)
    print_files(_console(), paths)
    return 0


def sweep_settings(flags: Sequence[str]) -> int:
    """Trains many seeds at many settings in one program."""
    config, shared = parse_sweep(flags)
    with as_bad_input():
        points = parse_points(config.over, config.draws, config.seed)
        job = check_sweep(shared, points)
    console = _console()
    with (
        open_folder(config.out, False, f"{env_label(config.env)}-sweep", config.name) as folder,
        deferred_interrupt(own_process=True) as interrupted,
    ):
        console.print(f"{len(points)} settings × {len(job.seeds)} seeds")
        result = sweep(shared, points, console, interrupted, job)
        stopped = 0 if result.finished else interrupted()
        with as_write_error("sweep"):
            paths = write_sweep(folder, result)
    console.print(sweep_table(result), soft_wrap=False)
    print_files(console, paths)
    # The best settings were chosen with these seeds: only held-out seeds show how good they are.
    fresh = max(result.job.seeds) + 1
    best = folder / "best.json"
    console.print(f"Train the best with: a2c-jax train --config {best} --seed {fresh}")
    return EXIT + stopped if stopped else 0


def compare_methods(flags: Sequence[str]) -> int:
    """Trains several methods at equal environment steps; one table, and figures."""
    config = parse_compare(flags)
    with as_bad_input():
        resolve_all(config)
    console = _console()
    with (
        _comparison_folder(config) as folder,
        deferred_interrupt(own_process=True) as interrupted,
    ):
        with as_write_error("comparison"):
            write_config(folder, config)
        try:
            result = compare(config, folder, console, interrupted)
        except Interrupted:
            if config.resume is None:
                remove_files(folder, [CONFIG])
            raise
        with as_write_error("comparison"):
            # Training results are written before the gradients are measured.
            if result.runs:
                write_comparison(folder, config, result)
            if config.gradient_episodes and result.finished and not interrupted():
                console.print("Measuring the variance of the gradients")
                result = result._replace(noise=measure_gradients(config, interrupted))
                write_comparison(folder, config, result)
        stopped = interrupted()
    for table in comparison_tables(result) if result.runs else ():
        console.print(table, soft_wrap=False)
    console.print(f"Files: {folder}")
    if not stopped:
        return 0
    console.print(f"Resume with: a2c-jax compare --resume {folder}")
    return EXIT + stopped


@contextlib.contextmanager
def _comparison_folder(config: CompareConfig) -> Iterator[Path]:
    if config.resume is not None:
        with locked(config.resume, "resume"):
            yield config.resume
    else:
        kind = f"{env_label(config.env)}-compare"
        with open_folder(config.out, False, kind, config.name) as folder:
            yield folder


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_files(console: Console, paths: Sequence[Path]) -> None:
    """Prints the names of files in one folder."""
    names = ", ".join(path.name for path in paths)
    console.print(f"Files: {paths[0].parent}: {names}")


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "train": (train, "train many seeds and write a run folder, or resume one"),
    "join": (join, "join runs of different seeds into one"),
    "evaluate": (evaluate, "play episodes with the policies of a run"),
    "plot": (plot, "draw runs over each other, with statistics of their differences"),
    "replay": (replay, "write a page that plays episodes of a run"),
    "sweep": (sweep_settings, "train many seeds at many settings in one program"),
    "compare": (compare_methods, "train several methods at equal environment steps"),
}
"""The function of each command, and its description in one line."""
