"""The commands: each checks all that it is told, and returns a function that does the work."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from a2c_jax.experiment import comparison, parsing, sweeping
from a2c_jax.experiment.command_configs import EvaluateConfig, PlotConfig, ReplayConfig
from a2c_jax.experiment.comparison_report import comparison_table, write_comparison
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.interrupts import EXIT, Interrupted, deferred_interrupt
from a2c_jax.experiment.parts import prepare_part
from a2c_jax.experiment.preparing import prepare
from a2c_jax.experiment.progress import result_table
from a2c_jax.experiment.run_distributed import carry_out_part
from a2c_jax.experiment.run_evaluation import (
    check_episodes,
    describe_evaluation,
    evaluate_run,
    evaluation_table,
    write_evaluation,
)
from a2c_jax.experiment.run_pictures import load_runs, plot_runs, statistics_table
from a2c_jax.experiment.run_replay import check_gif, checked_seeds, record_run, write_replay
from a2c_jax.experiment.run_training import WriteError, carry_out
from a2c_jax.experiment.runs import load_run
from a2c_jax.experiment.sweep_points import parse_points
from a2c_jax.experiment.sweep_report import sweep_table, write_sweep

Work = Callable[[], int]
Prepare = Callable[[Sequence[str], contextlib.ExitStack], Work]


def prepare_train(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Trains many seeds and writes a run folder.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config = parsing.parse_train(flags)
    if config.distributed:
        return _prepare_distributed(config, stack)
    prepared = prepare(config, stack)

    def work() -> int:
        console = Console()
        with deferred_interrupt(own_process=True) as interrupted:
            run = carry_out(prepared, console, interrupted)
        console.print(result_table(run.summary))
        console.print(f"Files: {run.folder}", soft_wrap=True, highlight=False)
        if run.summary["finished"]:
            return 0
        console.print(
            f"Go on with: a2c-jax train --resume {run.folder}", soft_wrap=True, highlight=False
        )
        return EXIT + run.signal

    return work


def _prepare_distributed(config: TrainConfig, stack: contextlib.ExitStack) -> Work:
    part = prepare_part(config, stack)

    def work() -> int:
        console = Console(quiet=part.processes.number > 0)
        with deferred_interrupt(own_process=True) as interrupted:
            ending = carry_out_part(part, console, interrupted)
        if ending.run is not None:
            console.print(result_table(ending.run.summary))
        console.print(f"Files: {ending.folder}", soft_wrap=True, highlight=False)
        if not ending.signal:
            return 0
        again = f"a2c-jax train --resume {ending.folder} --distributed"
        console.print(f"Go on with: {again}", soft_wrap=True, highlight=False)
        return EXIT + ending.signal

    return work


def prepare_compare(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Trains several methods at equal environment steps; one table, one figure.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config, suited = parsing.parse_compare(flags)
    jobs = comparison.resolve_all(config, suited)
    name = f"{config.env}-compare"
    folder = stack.enter_context(open_folder(config.out, config.overwrite, name))

    def work() -> int:
        console = Console()
        for name, (_, job) in jobs.items():
            for notice in job.notices:
                console.print(f"{name}: {notice}", soft_wrap=True)
        with deferred_interrupt(own_process=True) as interrupted:
            result = comparison.compare(jobs, console, interrupted)
            if not result.summaries:
                raise Interrupted(interrupted())
            with written("comparison"):
                # What was trained is written before anything else is begun.
                write_comparison(folder, config, jobs, result)
                if config.gradient_episodes and result.finished and not interrupted():
                    console.print("Measuring the variance of the gradients")
                    noise = comparison.measure_gradients(config, jobs, interrupted)
                    result = result._replace(noise=noise)
                    write_comparison(folder, config, jobs, result)
            stopped = interrupted()
        console.print(comparison_table(result))
        console.print(f"Files: {folder}", soft_wrap=True, highlight=False)
        return EXIT + stopped if stopped else 0

    return work


def prepare_sweep(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Trains many seeds at many settings in one program.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config, shared = parsing.parse_sweep(flags)
    points = parse_points(config.over, config.draws, config.seed)
    prepared = sweeping.prepare_sweep(shared, points)
    folder = stack.enter_context(
        open_folder(config.out, config.overwrite, f"{config.env}-sweep", config.name)
    )

    def work() -> int:
        console = Console()
        console.print(f"{len(points)} settings × {len(prepared[2].seeds)} seeds")
        with deferred_interrupt(own_process=True) as interrupted:
            result = sweeping.run_sweep(*prepared, console, interrupted)
            finished = result.num_updates == result.job.num_updates
            stopped = 0 if finished else interrupted()
            with written("sweep"):
                paths = write_sweep(folder, result)
        console.print(sweep_table(result))
        print_files(console, paths)
        # The best was chosen by these seeds: others tell whether it is any good.
        fresh = max(prepared[2].seeds) + 1
        console.print(
            f"Go on with: a2c-jax train --config {folder / 'best.json'} --seed {fresh}",
            soft_wrap=True,
            highlight=False,
        )
        return EXIT + stopped if stopped else 0

    return work


def prepare_evaluate(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Plays episodes with the newest policies of a run.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config = parsing.parse(EvaluateConfig, "evaluate", flags)
    check_episodes(config.num_episodes, config.seed)
    run = load_run(config.run)
    folder = _derived_folder(config.out, run.folder, stack)

    def work() -> int:
        evaluated = evaluate_run(run, config.num_episodes, not config.sampled, config.seed)
        with written("evaluation"):
            paths = write_evaluation(folder, evaluated)
        console = Console()
        console.print(evaluation_table(describe_evaluation(evaluated)))
        print_files(console, paths)
        return 0

    return work


def prepare_plot(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Draws runs over each other, and tells the statistics between them.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config = parsing.parse(PlotConfig, "plot", flags)
    runs = load_runs(config.runs)
    if len(runs) == 1 and config.out is None:
        folder = _derived_folder(None, next(iter(runs.values())).folder / "plots", stack)
    else:
        folder = stack.enter_context(open_folder(config.out, True, "plots"))

    def work() -> int:
        with written("pictures"):
            paths, figures = plot_runs(runs, folder, config.format)
        console = Console()
        console.print(statistics_table(figures))
        print_files(console, paths)
        return 0

    return work


def prepare_replay(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Writes a page that plays episodes of the newest policies of a run.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config = parsing.parse(ReplayConfig, "replay", flags)
    check_episodes(config.num_episodes, config.seed)
    run = load_run(config.run)
    seeds = checked_seeds(run, config.seeds)
    if config.gif:
        check_gif(run)
    folder = _derived_folder(config.out, run.folder, stack)

    def work() -> int:
        greedy = not config.sampled
        recording = record_run(run, seeds, config.num_episodes, greedy, config.seed)
        with written("replay"):
            paths = write_replay(folder, run, recording, greedy=greedy, gif=config.gif)
        print_files(Console(), paths)
        return 0

    return work


def _derived_folder(out: Path | None, default: Path, stack: contextlib.ExitStack) -> Path:
    """The folder that files made from a run go to, locked; theirs are replaced, and no others."""
    return stack.enter_context(open_folder(out or default, True, ""))


@contextlib.contextmanager
def written(what: str) -> Iterator[None]:
    """Tells what could not be written.

    Raises:
        WriteError: instead of another OSError.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(f"the {what} could not be written: {error}.") from error


def print_files(console: Console, paths: Sequence[Path]) -> None:
    """Names the files that a command has written."""
    names = ", ".join(path.name for path in paths)
    console.print(f"Files: {paths[0].parent}: {names}", soft_wrap=True, highlight=False)


COMMANDS: dict[str, tuple[Prepare, str]] = {
    "train": (prepare_train, "train many seeds and write a run folder, or resume one"),
    "evaluate": (prepare_evaluate, "play episodes with the policies of a run"),
    "plot": (prepare_plot, "draw runs over each other, and tell the statistics"),
    "replay": (prepare_replay, "write a page that plays episodes of a run"),
    "sweep": (prepare_sweep, "train at many settings times seeds in one program"),
    "compare": (prepare_compare, "train several methods at equal environment steps"),
}
"""What prepares a command, and what it does in a line."""
