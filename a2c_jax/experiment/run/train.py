"""Trains a run on disk: prepares it, saves it during training, resumes it, and finishes it."""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from a2c_jax.experiment import config as configs
from a2c_jax.experiment.config import TrainConfig, describe_machine, differences, identity
from a2c_jax.experiment.envs import EnvName, env_label
from a2c_jax.experiment.files import (
    WriteError,
    as_bad_input,
    json_writer,
    locked,
    open_folder,
    remove_files,
    write_together,
)
from a2c_jax.experiment.run import checkpoints, folder as folders
from a2c_jax.experiment.run.checkpoints import Saver
from a2c_jax.experiment.run.engine import (
    Evaluations,
    Evaluator,
    Outcome,
    no_evaluations,
    train_in_chunks,
)
from a2c_jax.experiment.run.folder import (
    CONFIG,
    Run,
    read_about,
    read_run_config,
    run_title,
    write_results,
)
from a2c_jax.experiment.run.interrupts import Interrupted, deferred_interrupt
from a2c_jax.experiment.run.job import Job, check_memory, describe_job, make_job, row_of
from a2c_jax.experiment.run.log import chunk_figures, open_loggers
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.statistics.learning import best_row
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import AgentState


class Prepared(NamedTuple):
    """A validated run whose folder is locked; ``outcome`` is that from which it resumes, if any."""

    config: TrainConfig
    job: Job
    folder: Path
    description: dict[str, Any]
    outcome: Outcome | None
    evaluations: Evaluations
    parts: checkpoints.Parts


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
        config: of :func:`a2c_jax.experiment.configure`, by default with these ``settings``; with
            ``resume``, resumes that run.
        console: where progress is shown; by default nowhere.
        own_process: whether a second signal ends the process.
        **settings: arguments of :func:`a2c_jax.experiment.configure`.

    Raises:
        BadInput: one sentence, if the configuration is bad; then nothing has been written.
        WriteError: if a file could not be written; the run resumes from what was saved.
        KeyboardInterrupt: if it was interrupted before anything was trained.
    """
    with contextlib.ExitStack() as stack:
        with as_bad_input():
            if config is not None and settings:
                raise ValueError(f"config is given, and so is {next(iter(settings))}; give one.")
            prepared = prepare(config or configs.configure(**settings), stack)
        interrupted = stack.enter_context(deferred_interrupt(own_process))
        return execute(prepared, console or Console(quiet=True), interrupted)


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
    from the beginning. Errors are those of :func:`train_run`.

    Args:
        folder: of the run.
        total: environment steps of each seed, or episodes of the article's loop; by default as
            configured.
        console: where progress is shown; by default nowhere.
        env: its environment, if it is custom.
        config: its configuration, if its algorithm is custom; of this, only the algorithm, the
            network and the environment are used. Whether they are those of the run is not checked.
    """
    with as_bad_input():
        env = config.env if config is not None and env is None else env
        config = read_run_config(Path(folder), "resume", env, config)
        settings = config.settings
        if total is not None:
            length: dict[str, Any] = {settings.length_setting: total}
            settings = dataclasses.replace(settings, **length)
        own: dict[str, Any] = {"settings": settings, "resume": Path(folder)}
        config = dataclasses.replace(config, **own, name=None, out=None)
    return train_run(config, console)


def prepare(config: TrainConfig, stack: contextlib.ExitStack) -> Prepared:
    """Checks a configuration and opens its folder until the stack closes; compiles nothing."""
    if jax.process_count() > 1:
        raise ValueError(
            f"JAX runs over {jax.process_count()} processes here, but a run has only one writer; "
            "train other seeds in each process, without jax.distributed.initialize(), and join "
            "the runs with a2c-jax join."
        )
    if config.init_seed is not None and config.init_from is None:
        raise ValueError(f"init_seed is {config.init_seed}, but init_from is missing; give a run.")
    if config.resume is not None:
        return _prepare_resumed(config, Path(config.resume), stack)
    job = make_job(config)
    check_memory(job)
    if config.init_from is not None:
        job = started_from(config, job)
        config = dataclasses.replace(config, init_from=str(Path(config.init_from).absolute()))
    kind = f"{env_label(config.env)}-{config.label}"
    folder = stack.enter_context(open_folder(config.out, False, kind, config.name))
    description = describe_job(config, job)
    return Prepared(config, job, folder, description, None, no_evaluations(len(job.seeds)), [])


def _prepare_resumed(config: TrainConfig, folder: Path, stack: contextlib.ExitStack) -> Prepared:
    read_run_config(folder, "resume", config.env, config)  # raises if there is no run to lock
    stack.enter_context(locked(folder, "resume"))
    configured = read_run_config(folder, "resume", config.env, config)
    earlier = read_about(folder, "resume")
    differing = differences(identity(config), identity(configured))
    for name in ("config", "name", "out"):
        if (given := getattr(config, name)) is not None:
            differing[name] = (str(given), None)
    if differing:
        named = (f"{name} is {now!r} and was {then!r}" for name, (now, then) in differing.items())
        raise ValueError(
            f"resume is {str(config.resume)!r}, but {', '.join(named)}; leave that out, or "
            "train again with --config and the run's config.json."
        )
    batch_size = earlier.get("seeds_in_a_call", config.batch_size)
    job = make_job(dataclasses.replace(config, batch_size=batch_size))
    check_memory(job)
    restored = checkpoints.restore(folder, config, job)
    if config.init_from is not None and restored is None:
        job = started_from(config, job)
    outcome, evaluations, parts = restored or (None, no_evaluations(len(job.seeds)), [])
    done = outcome.num_updates if outcome else 0
    if job.num_updates < done:
        name = config.settings.length_setting
        raise ValueError(
            f"{name} is {getattr(config.settings, name)}, but the run has done "
            f"{done * job.per_update} {job.unit}; give at least that many, or leave it out."
        )
    description = _describe_resumed(describe_job(config, job), earlier, job, done)
    notices = _resumed_notices(config, job, done, earlier)
    job = job._replace(notices=(*job.notices, *notices))
    return Prepared(config, job, folder, description, outcome, evaluations, parts)


def _describe_resumed(
    description: dict[str, Any], earlier: folders.About, job: Job, done: int
) -> dict[str, Any]:
    """The description of a resumed run: the machines that started and resumed it."""
    now = describe_machine(job.layout.devices)
    kept = {name: value for name, value in earlier.items() if name in (*now, "joined")}
    resumed, lengths = earlier.get("resumed", []), earlier.get("lengths", [])
    if done < job.num_updates:  # otherwise only the results are written again
        resumed = [*resumed, {"num_updates": done, **now}]
    if lengths[-1:] != [job.num_updates]:
        lengths = [*lengths, job.num_updates]
    about = description["about"] | kept | {"resumed": resumed, "lengths": lengths}
    return {**description, "about": about}


def _resumed_notices(
    config: TrainConfig, job: Job, done: int, earlier: folders.About
) -> Iterator[str]:
    position = f"{done * job.per_update:,} of {job.units_per_seed:,} {job.unit}"
    settings = config.settings
    if done < job.num_updates:
        yield f"Resuming {config.resume} after {position}."
    else:
        flag = settings.length_setting.replace("_", "-")
        yield f"{config.resume} is finished: {position}. Raise --{flag} to continue."
    is_constant = settings.learning_rate == settings.final_learning_rate
    is_constant &= settings.final_entropy_coef in (None, settings.entropy_coef)
    has_schedule = config.custom is None and settings.method != "article" and not is_constant
    if has_schedule and earlier.get("lengths", [0])[-1:] != [job.num_updates]:
        yield (
            "From here schedules follow the new length. Only with a constant learning rate and "
            "entropy coefficient would the result be that of an uninterrupted run."
        )
    differing = [
        f"{key} {then} then, {now} now"
        for kind, values in describe_machine(job.layout.devices).items()
        for key, (now, then) in differences(values, dict[str, Any](earlier).get(kind, {})).items()
    ]
    if differing:
        yield f"Numbers may differ in their last bits: {', '.join(differing)}."


_SAME_FUNCTION = (
    "network", "hidden_sizes", "activation", "layer_norm", "shared_torso", "conv_features",
    "conv_size", "memory_size", "observation_scale", "value_scale", "normalize_observations",
    "normalize_rewards",
)  # fmt: skip


def started_from(config: TrainConfig, job: Job) -> Job:
    """The job with seeds that start from the parameters of the run ``config.init_from``."""
    folder = Path(str(config.init_from))
    # With other scales or activations, the same parameters would silently be another function.
    theirs = configs.read_saved(folder / CONFIG, "init_from").get("settings", {})
    ours = {n: value for n, value in identity(config).items() if n in _SAME_FUNCTION}
    for name, (here, there) in differences(ours, theirs).items():
        raise ValueError(
            f"init_from is {str(folder)!r}, where {name} is {there!r}, and here it is {here!r}; "
            "give its preset and network settings, or start from them with "
            f"--config {folder / CONFIG}."
        )
    try:
        state = _agent_state(folder, config.init_seed, job)
    except ValueError as error:
        raise ValueError(
            f"init_from is {str(folder)!r}, which cannot be used: {str(error).rstrip('.')}."
        ) from error
    plain = job.algorithm.init

    def init(key: Any, params: Any = None) -> Any:
        return plain(key, state if params is None else params)

    try:
        jax.eval_shape(init, job.keys[0])
    except TypeError as error:
        raise ValueError(
            "init_from is given, but the init of the algorithm takes only a key; give it a second "
            "argument, params=None."
        ) from error
    return job._replace(algorithm=job.algorithm._replace(init=init))


def _agent_state(folder: Path, seed: int | None, job: Job) -> AgentState:
    seeds = read_about(folder, "init_from").get("seeds", [])
    numbers = checkpoints.saved_numbers(folder)
    if not numbers:
        raise ValueError("it has no checkpoint yet")
    template = jax.eval_shape(job.agent.init, job.keys[0])
    arrays = checkpoints.read_agents(folder, numbers[-1], template, len(seeds))
    finite = np.asarray(finite_seeds(arrays))
    if seed is None:
        about = checkpoints.read_description(folder, numbers[-1])
        row = best_row(checkpoints.read_metrics(folder, about, len(seeds)), finite)
    else:
        row = row_of("init_seed", seed, seeds)
    if not finite[row]:
        raise ValueError(f"the parameters of its seed {seeds[row]} have diverged")
    return checkpoints.from_arrays({name: array[row] for name, array in arrays.items()}, template)


def execute(prepared: Prepared, console: Console, should_stop: Callable[[], int]) -> Run:
    """Trains a prepared run, saves it during training, and writes its results.

    Training ends when ``should_stop``, called before every chunk, returns a signal's number. If it
    stopped before anything was trained, the files of the run are removed.
    """
    config, job, folder, description, earlier, evaluations, parts = prepared
    for line in (run_title(config, job), *job.notices):
        console.print(line)
    evaluator = Evaluator(job, config.evaluate_every, config.evaluate_episodes, evaluations)
    saver = Saver(folder, config, job, parts)
    reported = saver.num_updates
    with _nothing_lost(prepared, saver), contextlib.ExitStack() as stack:
        write_together(folder, {CONFIG: json_writer(description)})
        loggers = open_loggers(config, folder, description, reported, console.print)
        for logger in loggers:
            stack.callback(logger.close)
        reporter = stack.enter_context(Reporter(console, job, reported))

        def on_chunk(outcome: Outcome) -> None:
            nonlocal reported
            reporter.report(outcome)
            if outcome.num_updates == reported:
                return
            evaluator.after_chunk(outcome)
            for figures in chunk_figures(job, outcome, evaluator.results, reported):
                for logger in loggers:
                    logger.log(figures)
            reported = outcome.num_updates
            saver.after_chunk(outcome, evaluator.results)

        outcome = train_in_chunks(
            job,
            earlier=earlier,
            pause_every=config.evaluate_every,
            meanwhile=_load_modules,
            on_chunk=on_chunk,
            should_stop=should_stop,
        )
        if outcome.num_updates == 0:
            raise Interrupted(should_stop())
        saver.save(outcome, evaluator.results)
        run = write_results(folder, config, job, outcome, evaluator.results)
    return run._replace(signal=should_stop())


def _load_modules() -> None:
    """Imports what the end of a run needs, which then takes 0.7 s instead of 1.5 s."""
    for name in ("scipy.stats", "matplotlib.figure"):
        importlib.import_module(name)


@contextlib.contextmanager
def _nothing_lost(prepared: Prepared, saver: Saver) -> Iterator[None]:
    """Says what is saved if a write fails, and removes a new run of which nothing is saved."""
    try:
        yield
    except BaseException as error:
        folder, done = prepared.folder, saver.num_updates
        if done == 0 and prepared.config.resume is None:
            remove_files(folder, folders.FILES)
        if not isinstance(error, OSError):
            raise
        safe = "nothing of it was saved yet"
        if done:
            safe = (
                f"it is saved up to update {done:,}: make room or give permission, then resume "
                f"with --resume {folder}"
            )
        raise WriteError(f"the run could not be written ({error}); {safe}.") from error
