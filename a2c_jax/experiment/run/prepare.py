"""Validates the configuration of a run, new or resumed, before anything is compiled or written."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax

from a2c_jax import checks, presets
from a2c_jax.experiment.config.config import FREE, TrainConfig, marked
from a2c_jax.experiment.config.describe import describe_machine
from a2c_jax.experiment.config.envs import env_label
from a2c_jax.experiment.config.settings import as_dict
from a2c_jax.experiment.files import locked, open_folder
from a2c_jax.experiment.run import saving
from a2c_jax.experiment.run.folder import About, read_about, read_run_config
from a2c_jax.experiment.run.initial import started_from
from a2c_jax.experiment.run.job import Job, describe_config, make_job
from a2c_jax.experiment.run.memory import check_memory
from a2c_jax.experiment.run.saving import Restored
from a2c_jax.presets import ArticlePreset, Preset, Settings


class Prepared(NamedTuple):
    """A validated run whose folder is locked.

    Attributes:
        config: its configuration.
        job: built from it.
        folder: of the run.
        description: for its ``config.json``.
        restored: the checkpoint that it resumes from; None for a new run.
    """

    config: TrainConfig
    job: Job
    folder: Path
    description: dict[str, Any]
    restored: Restored | None


def prepare(config: TrainConfig, stack: contextlib.ExitStack) -> Prepared:
    """Checks a configuration and opens its folder; compiles and writes nothing.

    Args:
        config: the configuration.
        stack: keeps the folder locked until it is closed.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    check_run_settings(config)
    if jax.process_count() > 1:
        raise ValueError(
            f"JAX runs over {jax.process_count()} processes here, but a run has only one writer; "
            "train other seeds in each process, without jax.distributed.initialize(), and join "
            "the runs with a2c-jax join."
        )
    if config.resume is not None:
        return _prepare_resumed(config, Path(config.resume), stack)
    job = make_job(config)
    check_memory(job)
    if config.init_from is not None:
        job = started_from(config, job)
        config = dataclasses.replace(config, init_from=str(Path(config.init_from).absolute()))
    kind = f"{env_label(config.env)}-{config.algorithm or config.preset}"
    folder = stack.enter_context(open_folder(config.out, False, kind, config.name))
    return Prepared(config, job, folder, describe_config(config, job), None)


def _prepare_resumed(config: TrainConfig, folder: Path, stack: contextlib.ExitStack) -> Prepared:
    read_run_config(folder, "resume", config.env, config)  # raises if there is no run to lock
    stack.enter_context(locked(folder, "resume"))
    configured = read_run_config(folder, "resume", config.env, config)
    earlier = read_about(folder, "resume")
    check_same(config, configured)
    batch_size = earlier.get("seeds_in_a_call", config.batch_size)
    job = make_job(dataclasses.replace(config, batch_size=batch_size))
    check_memory(job)
    description = describe_config(config, job)
    restored = saving.restore(folder, job, saving.identity_of(description))
    if config.init_from is not None and restored is None:
        job = started_from(config, job)
    done = restored.outcome.num_updates if restored else 0
    check_length(config, job, done)
    notices = _resumed_notices(config, configured, job, done, earlier, description)
    job = job._replace(notices=(*job.notices, *notices))
    description = describe_resumed(description, earlier, job, done)
    return Prepared(config, job, folder, description, restored)


def describe_resumed(
    description: dict[str, Any], earlier: About, job: Job, done: int
) -> dict[str, Any]:
    """The description of a resumed run: the machines that started and resumed it."""
    now = describe_machine(job.layout.devices)
    kept = {name: value for name, value in earlier.items() if name in (*now, "joined")}
    resumed = earlier.get("resumed", [])
    if done < job.num_updates:  # otherwise only the results are written again
        resumed = [*resumed, {"num_updates": done, **now}]
    lengths = earlier.get("lengths", [])
    if lengths[-1:] != [job.num_updates]:
        lengths = [*lengths, job.num_updates]
    about = description["about"] | kept | {"resumed": resumed, "lengths": lengths}
    return {**description, "about": about}


def check_run_settings(config: TrainConfig) -> None:
    """Checks the settings of a run that are not the algorithm's.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    if config.checkpoint_every < 0:
        raise ValueError(
            f"checkpoint_every is {config.checkpoint_every}; give a whole number of chunks, or 0 "
            "to save only at the end."
        )
    if config.init_seed is not None and config.init_from is None:
        raise ValueError(f"init_seed is {config.init_seed}, but init_from is missing; give a run.")
    checks.positive_int("evaluate_episodes", config.evaluate_episodes)
    if config.evaluate_every is not None and config.evaluate_every < 2:  # noqa: PLR2004
        raise ValueError(
            f"evaluate_every is {config.evaluate_every}; give a whole number of updates of at "
            "least 2."
        )


def check_same(config: TrainConfig, earlier: TrainConfig) -> None:
    """Refuses to resume with settings other than the run's; only its length may grow.

    Raises:
        ValueError: if settings differ; the message names them.
    """
    free = {"settings"} | marked(TrainConfig, FREE)
    fixed = [field.name for field in dataclasses.fields(earlier) if field.name not in free]
    pairs = [(name, getattr(config, name), getattr(earlier, name)) for name in fixed]
    if type(config.settings) is type(earlier.settings):
        ours, theirs = as_dict(config.settings), as_dict(earlier.settings)
        pairs += [(name, ours.get(name), theirs[name]) for name in theirs]
    differing = [
        f"{name} is {now!r} and was {before!r}"
        for name, now, before in pairs
        if now != before and name != length_setting(earlier.settings)
    ]
    if differing:
        raise ValueError(
            f"resume is {str(config.resume)!r}, but {', '.join(differing)}; leave that out, or "
            "train again with --config and the run's config.json."
        )


def check_length(config: TrainConfig, job: Job, done: int) -> None:
    """Refuses a length below the number of updates done, or only one above it.

    Raises:
        ValueError: if the length is refused; the message says what has been done.
    """
    if job.num_updates < done or job.num_updates == done + 1:
        name = length_setting(config.settings)
        raise ValueError(
            f"{name} is {getattr(config.settings, name)}, but the run has done "
            f"{done * job.per_update} {job.unit}; give at least {(done + 2) * job.per_update}, or "
            "leave it out."
        )


def length_setting(settings: Settings) -> str:
    """The name of the setting for the length of a run."""
    return "num_episodes" if isinstance(settings, ArticlePreset) else "total_steps"


def _resumed_notices(
    config: TrainConfig,
    configured: TrainConfig,
    job: Job,
    done: int,
    earlier: About,
    description: dict[str, Any],
) -> list[str]:
    position = f"{done * job.per_update:,} of {job.units_per_seed:,} {job.unit}"
    notices = [f"Resuming {config.resume} after {position}."]
    if done >= job.num_updates:
        flag = length_setting(config.settings).replace("_", "-")
        notices = [f"{config.resume} is finished: {position}. Raise --{flag} to continue."]
    settings = config.settings
    if (
        isinstance(settings, Preset)
        and _has_schedule(settings)
        and presets.num_updates(settings) != presets.num_updates(configured.settings)
    ):
        notices.append(
            "From here schedules follow the new length. Only with a constant learning rate and "
            "entropy coefficient would the result be that of an uninterrupted run."
        )
    differing = [
        f"{key} {then.get(key)} then, {value} now"
        for kind, then in (("versions", earlier.get("versions")), ("device", earlier.get("device")))
        for key, value in description["about"][kind].items()
        if then is not None and then.get(key) != value
    ]
    if differing:
        notices.append(f"Numbers may differ in their last bits: {', '.join(differing)}.")
    return notices


def _has_schedule(settings: Preset) -> bool:
    rates = settings.learning_rate, settings.final_learning_rate
    return rates[0] != rates[1] or settings.final_entropy_coef not in (None, settings.entropy_coef)
