"""Trains a run on disk: starts it, saves it during training, resumes it, and finishes it."""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from a2c_jax.experiment.config.config import TrainConfig
from a2c_jax.experiment.config.configure import configure
from a2c_jax.experiment.config.envs import EnvName
from a2c_jax.experiment.errors import WriteError, refusals
from a2c_jax.experiment.files import json_writer, remove_files, write_together
from a2c_jax.experiment.run import saving
from a2c_jax.experiment.run.chunks import Outcome, train_in_chunks
from a2c_jax.experiment.run.evaluation import Evaluator, no_evaluations
from a2c_jax.experiment.run.folder import CONFIG, FILES, Run, read_run_config, write_results
from a2c_jax.experiment.run.interrupts import Interrupted, deferred_interrupt
from a2c_jax.experiment.run.log import Logger, chunk_figures
from a2c_jax.experiment.run.loggers import open_loggers
from a2c_jax.experiment.run.prepare import Prepared, length_setting, prepare
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.run.result_figures import run_title
from a2c_jax.experiment.run.saving import Saver
from a2c_jax.experiment.run.series import SeriesEnd


def train_run(
    config: TrainConfig | None = None,
    console: Console | None = None,
    own_process: bool = False,
    **settings: Any,
) -> Run:
    """Trains a configuration and writes a run folder, as ``a2c-jax train`` does.

    Ctrl-C and SIGTERM end training after the current chunk, with everything saved. A second
    signal ends it at once.

    Args:
        config: see :func:`a2c_jax.experiment.configure`; with ``resume``, resumes that run. By
            default, ``settings`` make one.
        console: where progress is shown; by default nowhere.
        own_process: whether a second signal may end the process.
        **settings: arguments of :func:`a2c_jax.experiment.configure`, in place of ``config``:
            ``train_run(algorithm=..., network=..., env=..., total_steps=...)``.

    Raises:
        BadInput: one sentence, if the configuration is bad; then nothing has been written.
        WriteError: if a file could not be written; the run resumes from what was saved.
        KeyboardInterrupt: if it was interrupted before anything was trained.
    """
    with contextlib.ExitStack() as stack:
        with refusals():
            if config is not None and settings:
                raise ValueError(f"config is given, and so is {next(iter(settings))}; give one.")
            prepared = prepare(config or configure(**settings), stack)
        interrupted = stack.enter_context(deferred_interrupt(own_process=own_process))
        return carry_out(prepared, console or Console(quiet=True), interrupted)


def resume_run(
    folder: Path | str,
    total: int | None = None,
    console: Console | None = None,
    env: EnvName | None = None,
    config: TrainConfig | None = None,
) -> Run:
    """Resumes a run to its end; the numbers are those of an uninterrupted run, bit for bit.

    With a greater ``total``, the schedules of learning rate and entropy coefficient follow the new
    length from here on; only if both are constant are the numbers those of a run of that length
    from the beginning.

    Args:
        folder: of the run.
        total: total environment steps of each seed (episodes, for the article's loop); by
            default as configured.
        console: where progress is shown; by default nowhere.
        env: its environment, if it is one's own.
        config: its configuration, if its algorithm is one's own; of this, only the algorithm, the
            network and the environment are used. Whether they are those of the run is not checked.

    Raises:
        BadInput, WriteError, KeyboardInterrupt: as :func:`train_run`.
    """
    with refusals():
        env = config.env if config is not None and env is None else env
        config = read_run_config(Path(folder), "resume", env, config)
        config = dataclasses.replace(config, resume=Path(folder))
    if total is not None:
        name = length_setting(config.settings)
        config = dataclasses.replace(
            config, settings=dataclasses.replace(config.settings, **{name: total})
        )
    return train_run(config, console)


def carry_out(prepared: Prepared, console: Console, should_stop: Callable[[], int]) -> Run:
    """Trains a prepared run, saves it during training, and writes its results.

    Args:
        prepared: from :func:`prepare`.
        console: where progress is shown.
        should_stop: called before every chunk; training ends if it returns a signal's number.

    Raises:
        WriteError: if a file could not be written.
        KeyboardInterrupt: if it stopped before anything was trained; its files are removed.
    """
    config, job, folder, description, restored = prepared
    for line in (run_title(config, job), *job.notices):
        console.print(line)
    end = restored.series_end if restored else SeriesEnd(0, 0)
    found = restored.evaluations if restored else no_evaluations(len(job.seeds))
    evaluator = Evaluator(job, config.evaluate_every, config.evaluate_episodes, found)
    saver = Saver(folder, job, saving.identity_of(description), config.checkpoint_every, end)
    with _naming_what_is_safe(folder, saver), contextlib.ExitStack() as stack:
        loggers = _open_files(prepared, console, stack)
        reporter = stack.enter_context(Reporter(console, job, end.num_updates))
        reported = end.num_updates

        def on_chunk(outcome: Outcome) -> None:
            nonlocal reported
            reporter.report(outcome)
            if outcome.num_updates == reported:
                return
            evaluator.after_chunk(outcome)
            for figures in chunk_figures(job, outcome, evaluator.found, reported):
                for logger in loggers:
                    logger.log(figures)
            reported = outcome.num_updates
            saver.after_chunk(outcome, evaluator.found)

        with _removed_unless_saved(prepared, saver, stack):
            outcome = train_in_chunks(
                job,
                earlier=restored.on_devices(job) if restored else None,
                pause_every=config.evaluate_every,
                meanwhile=_load_modules,
                on_chunk=on_chunk,
                should_stop=should_stop,
            )
            if outcome.num_updates == 0:
                raise Interrupted(should_stop())
        saver.save(outcome, evaluator.found)
        run = write_results(folder, config, job, outcome, evaluator.found)
    return run._replace(signal=should_stop())


def _load_modules() -> None:
    """Imports what the end of a run needs, which then takes 0.7 s instead of 2.5 s."""
    for name in ("scipy.stats", "orbax.checkpoint", "matplotlib.figure"):
        importlib.import_module(name)


def _open_files(prepared: Prepared, console: Console, stack: contextlib.ExitStack) -> list[Logger]:
    write_together(prepared.folder, {CONFIG: json_writer(prepared.description)})
    done = prepared.restored.outcome.num_updates if prepared.restored else 0
    loggers = open_loggers(
        prepared.config,
        prepared.folder,
        prepared.description,
        done,
        console.print,
    )
    for logger in loggers:
        stack.callback(logger.close)
    return loggers


@contextlib.contextmanager
def _naming_what_is_safe(folder: Path, saver: Saver) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        safe = (
            f"it is saved up to update {saver.num_updates:,}: make room or give permission, then "
            f"resume with --resume {folder}"
            if saver.num_updates
            else "nothing of it was saved yet"
        )
        raise WriteError(f"the run could not be written ({error}); {safe}.") from error


@contextlib.contextmanager
def _removed_unless_saved(
    prepared: Prepared, saver: Saver, stack: contextlib.ExitStack
) -> Iterator[None]:
    """Removes the files of a new run that ends before its first checkpoint."""
    try:
        yield
    except BaseException:
        if saver.num_updates == 0 and prepared.config.resume is None:
            with contextlib.suppress(OSError):  # a log that cannot be flushed
                stack.close()
            remove_files(prepared.folder, FILES)
        raise
