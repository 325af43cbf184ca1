"""Commands: parse flags, call functions, print, and return the signal that stopped them, if any."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from a2c_jax.experiment.cli.flags import (
    EvaluateConfig,
    JoinConfig,
    PlotConfig,
    ReplayConfig,
    parse,
    parse_compare,
    parse_sweep,
    parse_train,
)
from a2c_jax.experiment.comparison.compare import (
    compare,
    comparison_tables,
)
from a2c_jax.experiment.config import TaskConfig
from a2c_jax.experiment.envs import env_label
from a2c_jax.experiment.files import as_bad_input, as_write_error, open_folder
from a2c_jax.experiment.replay.page import write_replay
from a2c_jax.experiment.replay.recording import checked_seeds, record_run
from a2c_jax.experiment.run import evaluate as evaluation
from a2c_jax.experiment.run.evaluate import check_episodes, evaluate_run, write_evaluation
from a2c_jax.experiment.run.folder import load_run
from a2c_jax.experiment.run.interrupts import deferred_interrupt
from a2c_jax.experiment.run.join import join_runs
from a2c_jax.experiment.run.plot import load_runs, plot_runs
from a2c_jax.experiment.run.train import train_run
from a2c_jax.experiment.sweeps.points import parse_points
from a2c_jax.experiment.sweeps.sweep import check_sweep, sweep, sweep_table, write_sweep
from a2c_jax.experiment.tables import evaluation_table, result_table, statistics_table

_console = functools.partial(Console, markup=False, emoji=False, highlight=False, soft_wrap=True)


def train(flags: Sequence[str]) -> int:
    """Trains many seeds and writes a run folder, or resumes one."""
    console = _console()
    run = train_run(parse_train(flags), console, own_process=True)
    _show(console, run.folder, (), result_table(run.summary))
    if run.summary["finished"]:
        return 0
    console.print(f"Resume with: a2c-jax train --resume {run.folder}{_env(run.config)}")
    return run.signal


def join(flags: Sequence[str]) -> None:
    """Joins runs of different seeds into one."""
    config = parse(JoinConfig, "join", flags)
    run = join_runs(config.runs, config.out, config.name, config.env)
    _show(_console(), run.folder, (), result_table(run.summary))


def evaluate(flags: Sequence[str]) -> None:
    """Plays episodes with the newest policies of a run."""
    config = parse(EvaluateConfig, "evaluate", flags)
    with as_bad_input():
        check_episodes(config.num_episodes, config.seed)
        run = load_run(config.run, env=config.env)
    with open_folder(config.out or run.folder, True, "") as folder, as_write_error("evaluation"):
        evaluated = evaluate_run(run, config.num_episodes, not config.sampled, config.seed)
        paths = write_evaluation(folder, evaluated)
    _show(_console(), folder, paths, evaluation_table(evaluation.describe_evaluation(evaluated)))


def plot(flags: Sequence[str]) -> None:
    """Draws runs over each other, with statistics of their differences."""
    config = parse(PlotConfig, "plot", flags)
    with as_bad_input():
        runs = load_runs(config.runs, config.env)
    inside = next(iter(runs.values())).folder / "plots" if len(runs) == 1 else None
    with open_folder(config.out or inside, True, "plots") as folder, as_write_error("pictures"):
        paths, statistics = plot_runs(runs, folder, config.format)
    _show(_console(), folder, paths, statistics_table(statistics))


def replay(flags: Sequence[str]) -> None:
    """Writes a page that plays episodes of the newest policies of a run."""
    config = parse(ReplayConfig, "replay", flags)
    with as_bad_input():
        check_episodes(config.num_episodes, config.seed)
        run = load_run(config.run, env=config.env)
        seeds = checked_seeds(run, config.seeds)
    greedy = not config.sampled
    with open_folder(config.out or run.folder, True, "") as folder, as_write_error("replay"):
        recording = record_run(run, seeds, config.num_episodes, greedy, config.seed)
        paths = write_replay(folder, run, recording, greedy=greedy)
    _show(_console(), folder, paths)


def sweep_settings(flags: Sequence[str]) -> int:
    """Trains many seeds at many settings."""
    config, shared = parse_sweep(flags)
    with as_bad_input():
        points = parse_points(config.over, config.draws, config.seed)
        job = check_sweep(shared, points)
    console, kind = _console(), f"{env_label(config.env)}-sweep"
    opened = open_folder(config.out, False, kind, config.name)
    with opened as folder, deferred_interrupt(own_process=True) as interrupted:
        console.print(f"{len(points)} settings × {len(job.seeds)} seeds")
        result = sweep(shared, points, console, interrupted, job)
        stopped = 0 if result.finished else interrupted()
        with as_write_error("sweep"):
            paths = write_sweep(folder, result)
    _show(console, folder, paths, sweep_table(result))
    # The best settings were chosen with these seeds: only held-out seeds show how good they are.
    best = f"--config {folder / 'best.json'} --seed {max(job.seeds) + 1}{_env(config)}"
    console.print(f"Train the best with: a2c-jax train {best}")
    return stopped


def compare_methods(flags: Sequence[str]) -> int:
    """Trains several methods at equal environment steps; one table, and figures."""
    console, config = _console(), parse_compare(flags)
    with deferred_interrupt(own_process=True) as interrupted:
        result = compare(config, console, interrupted)
        stopped = interrupted()
    _show(console, result.folder, (), *(comparison_tables(result) if result.runs else ()))
    if stopped:
        console.print(f"Resume with: a2c-jax compare --resume {result.folder}{_env(config)}")
    return stopped


def _env(config: TaskConfig) -> str:
    """The flag that names a custom environment again."""
    return f" --env {config.env}" if ":" in str(config.env) else ""


def _show(console: Console, folder: Path, paths: Sequence[Path], *tables: Table) -> None:
    for table in tables:
        console.print(table, soft_wrap=False)
    names = ", ".join(path.name for path in paths)
    console.print(f"Files: {folder}: {names}" if names else f"Files: {folder}")


_FUNCTIONS: tuple[Callable[[Sequence[str]], int | None], ...]
_FUNCTIONS = (train, join, evaluate, plot, replay, sweep_settings, compare_methods)
COMMANDS = {each.__name__.partition("_")[0]: (each, str(each.__doc__)) for each in _FUNCTIONS}
"""The function of each command, and its description in one line."""
