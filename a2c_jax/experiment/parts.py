"""A process's part in a run by several: met, checked and agreed upon before anything is trained.

Every stage is come through by all processes or by none; what one refuses, all refuse.
"""

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from a2c_jax.experiment import checkpoints, saving
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.config_files import describe_config
from a2c_jax.experiment.files import json_writer, locked, open_folder, read_json, write_together
from a2c_jax.experiment.jobs import Job, make_job
from a2c_jax.experiment.memory import check_joining, check_memory, fitted_layout
from a2c_jax.experiment.preparing import (
    check_length,
    check_run_settings,
    check_same,
    describe_resumed,
)
from a2c_jax.experiment.processes import Processes, connected
from a2c_jax.experiment.replacing import SHARDS_PART, put_back, remove_run, set_aside
from a2c_jax.experiment.run_training import WriteError
from a2c_jax.experiment.runs import CONFIG, read_run_config
from a2c_jax.experiment.shards import cut, find_shards, share_of, updates_done, whole

_SEEN_WITHIN = 30.0  # seconds that a disk may take to show another machine a new folder


class Part(NamedTuple):
    """A process's part in a run that has been checked by all of them.

    Attributes:
        processes: of the run.
        config: what it was told.
        job: what that comes to, of all seeds.
        folder: of the run.
        batch_size: of every shard that begins.
    """

    processes: Processes
    config: TrainConfig
    job: Job
    folder: Path
    batch_size: int

    @property
    def is_begun(self) -> bool:
        """Whether anything of the run has been saved."""
        return any(updates_done(shard) for shard in find_shards(self.folder))

    @property
    def shards(self) -> list[Path]:
        """The shards that this process trains, one after another."""
        return find_shards(self.folder)[self.processes.number :: self.processes.count]


def prepare_part(config: TrainConfig, stack: contextlib.ExitStack) -> Part:
    """Meets the other processes, checks, and opens the folder; trains nothing.

    Args:
        config: the configuration, the same in all processes but for ``process_id``.
        stack: keeps the connection, and in process 0 the lock, until it is closed.

    Raises:
        ValueError: one sentence, in every process, if one of them cannot take part.
        WriteError: if the folder could not be written to.
    """
    if config.resume is not None:
        config = dataclasses.replace(config, resume=Path(config.resume))
    processes = stack.enter_context(
        connected(config.coordinator, config.num_processes, config.process_id)
    )
    with processes.together("checked"):
        check_run_settings(config)
        _check_logs(config)
        job = _check(config, processes)
        told = saving.identity_of(describe_config(config, job)) | {"updates": job.num_updates}
        processes.tell("told", json.dumps(told))
    with processes.together("opened"), _no_write_error():
        if processes.number == 0:
            batch_size = _shard_job(config, job, processes).layout.batch_size
            folder = _open(config, job, processes, batch_size, stack)
            processes.tell("place", json.dumps([str(folder.absolute()), batch_size]))
    place, batch_size = json.loads(processes.wait_for("place", [0])[0])
    part = Part(processes, config, job, Path(place), batch_size)
    with processes.together("seen"):
        _check_told(told, json.loads(processes.heard("told")[0]))
        _check_seen(part.folder)
        for shard in part.shards:
            check_length(config, job, updates_done(shard))
    with processes.together("described"), _no_write_error():
        if processes.number == 0:
            _describe(part)
    return part


@contextlib.contextmanager
def _no_write_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"the run could not be begun ({error}); nothing was trained.") from error


def _check_logs(config: TrainConfig) -> None:
    for name in ("tensorboard", "wandb"):
        if getattr(config, name):
            raise ValueError(f"{name} is True, which --distributed does not have; leave it out.")


def _check(config: TrainConfig, processes: Processes) -> Job:
    if config.resume is not None:
        check_same(config, read_run_config(config.resume, "resume"))
        shards = find_shards(config.resume)
        if shards and len(shards) < processes.count:
            raise ValueError(
                f"num_processes is {processes.count}, and the run is in {len(shards)} shards; "
                "start at most so many processes."
            )
        job = make_job(config)
    else:
        job = make_job(config)
    if len(job.seeds) < processes.count:
        raise ValueError(
            f"num_seeds is {len(job.seeds)}, for {processes.count} processes; give at least one "
            "seed to each, or start fewer processes."
        )
    check_memory(_shard_job(config, job, processes))
    if processes.number == 0:
        check_joining(job)
    return job


def _shard_job(config: TrainConfig, job: Job, processes: Processes) -> Job:
    """The job of this process, if the seeds are shared out among those there are."""
    seeds = share_of(job.seeds, processes.number, processes.count)
    own = make_job(dataclasses.replace(config, seeds=seeds))
    if config.resume is not None or config.batch_size is not None:
        return own
    return own._replace(layout=fitted_layout(own))


def _open(
    config: TrainConfig,
    job: Job,
    processes: Processes,
    batch_size: int,
    stack: contextlib.ExitStack,
) -> Path:
    if config.resume is not None:
        folder = config.resume
        stack.enter_context(locked(folder, "resume"))
        if not find_shards(folder):
            identity = saving.identity_of(describe_config(config, job))
            found = saving.restore(folder, whole(job), identity)
            check_length(config, job, found.outcome.num_updates if found else 0)
            earlier = read_json(folder / CONFIG, "resume").get("seeds_in_a_call", batch_size)
            cut(folder, config, job, processes.count, earlier, found)
        return folder
    kind = f"{config.env}-{config.algorithm or config.preset}"
    folder = stack.enter_context(open_folder(config.out, config.overwrite, kind, config.name))
    stack.callback(_leave_nothing_of_nothing, folder)
    if config.overwrite:
        set_aside(folder)
    cut(folder, config, job, processes.count, batch_size, None)
    return folder


def _leave_nothing_of_nothing(folder: Path) -> None:
    """Takes the files of a new run away again if it ends before anything of it has been saved."""
    is_joined = (folder / checkpoints.FOLDER).is_dir()
    if not is_joined and not any(updates_done(shard) for shard in find_shards(folder)):
        shutil.rmtree(folder / SHARDS_PART, ignore_errors=True)
        remove_run(folder)
        put_back(folder)


def _check_told(told: dict[str, Any], first: dict[str, Any]) -> None:
    for name in sorted(told.keys() | first.keys()):
        if told.get(name) != first.get(name):
            raise ValueError(
                f"{name} is {told.get(name)!r} here and {first.get(name)!r} in process 0; give "
                "every process the same flags."
            )


def _check_seen(folder: Path) -> None:
    end = time.monotonic() + _SEEN_WITHIN
    while not find_shards(folder):
        if time.monotonic() > end:
            raise ValueError(
                f"out is {str(folder)!r}, where the shards that process 0 has made are not to be "
                "seen; give a folder on a disk that all processes share."
            )
        time.sleep(1.0)


def _describe(part: Part) -> None:
    config, job = part.config, part.job
    layout = job.layout._replace(batch_size=part.batch_size)
    description = describe_config(config, job._replace(layout=layout))
    if config.resume is not None:
        earlier = read_json(part.folder / CONFIG, "resume")
        done = min(updates_done(shard) for shard in find_shards(part.folder))
        description = describe_resumed(description, earlier, job, done)
        description["seeds_in_a_call"] = earlier.get("seeds_in_a_call", part.batch_size)
    description["processes"] = part.processes.count
    write_together(part.folder, {CONFIG: json_writer(description)})
