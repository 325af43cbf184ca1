"""A run by several processes, each of which trains a share of the seeds into a shard.

Process 0 chooses, locks and describes the folder, and joins the shards when all are at their end.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from a2c_jax.experiment import saving
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.config_files import describe_config
from a2c_jax.experiment.files import json_writer, locked, open_folder, read_json, write_together
from a2c_jax.experiment.interrupts import deferred_interrupt
from a2c_jax.experiment.jobs import Job, make_job, resolve
from a2c_jax.experiment.memory import check_joining, check_memory, fitted_layout
from a2c_jax.experiment.preparing import (
    check_length,
    check_run_settings,
    check_same,
    describe_resumed,
    prepare,
)
from a2c_jax.experiment.processes import Processes, connected
from a2c_jax.experiment.replacing import put_back, remove_run, set_aside
from a2c_jax.experiment.run_training import WriteError, carry_out
from a2c_jax.experiment.runs import CONFIG, Run, read_run_config
from a2c_jax.experiment.shards import (
    cut,
    find_shards,
    join,
    shard_config,
    share_of,
    updates_done,
    whole,
)

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
    def shards(self) -> list[Path]:
        """The shards that this process trains, one after another."""
        return find_shards(self.folder)[self.processes.number :: self.processes.count]


class Ending(NamedTuple):
    """What a run by several processes came to.

    Attributes:
        folder: of the run.
        run: joined; only in process 0, and if it is finished.
        signal: number of the signal that ended it early, or 0.
    """

    folder: Path
    run: Run | None
    signal: int


def train_distributed(config: TrainConfig, console: Console | None = None) -> Ending:
    """Trains a share of a run's seeds, as one of several processes that each call this.

    Args:
        config: see :func:`a2c_jax.experiment.configure`, with ``distributed=True``.
        console: where process 0 shows progress; by default nowhere.

    Raises:
        ValueError: one sentence, if the configuration of any process is bad; nothing has been
            written then.
        WriteError: if a process failed; the run can be resumed from what was saved.
    """
    with contextlib.ExitStack() as stack:
        part = prepare_part(config, stack)
        with deferred_interrupt() as interrupted:
            return carry_out_part(part, console or Console(quiet=True), interrupted)


def prepare_part(config: TrainConfig, stack: contextlib.ExitStack) -> Part:
    """Meets the other processes, checks, and opens the folder; trains nothing.

    Args:
        config: the configuration, the same in all processes but for ``process_id``.
        stack: keeps the connection, and in process 0 the lock, until it is closed.

    Raises:
        ValueError: one sentence, in every process, if one of them cannot take part.
    """
    check_run_settings(config)
    _check_logs(config)
    processes = stack.enter_context(
        connected(config.coordinator, config.num_processes, config.process_id)
    )
    with processes.together("checked"):
        job = _check(config, processes)
        told = saving.identity_of(describe_config(config, job)) | {"updates": job.num_updates}
        processes.tell("told", json.dumps(told))
    with processes.together("opened"):
        if processes.number == 0:
            batch_size = _shard_job(config, job, processes).layout.batch_size
            folder = _open(config, job, processes, batch_size, stack)
            processes.tell("place", json.dumps([str(folder.absolute()), batch_size]))
    place, batch_size = json.loads(processes.wait_for("place", [0])[0])
    # As process 0 was told it, for itself; the others may stand elsewhere.
    part = Part(processes, config, job, Path(place), batch_size)
    with processes.together("seen"):
        _check_told(told, json.loads(processes.heard("told")[0]))
        _check_seen(part.folder)
        for shard in part.shards:
            check_length(config, job, updates_done(shard))
    if processes.number == 0:
        _describe(part)
    return part


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
        job = resolve(config)
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
    stack.callback(_nothing_left_of_nothing, folder)
    if config.overwrite:
        set_aside(folder)
    cut(folder, config, job, processes.count, batch_size, None)
    return folder


def _nothing_left_of_nothing(folder: Path) -> None:
    """Takes the files of a new run away again if it ends before anything of it has been saved."""
    shards = find_shards(folder)
    if shards and not any(updates_done(shard) for shard in shards):
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


def carry_out_part(part: Part, console: Console, interrupted: Callable[[], int]) -> Ending:
    """Trains the shards of this process, waits for the others, and joins them in process 0.

    A signal to one process stops all, each after its chunk and with everything saved.

    Args:
        part: from :func:`prepare_part`.
        console: where progress is shown, if this is process 0.
        interrupted: gives the number of the first signal to this process, or 0.

    Raises:
        WriteError: if this process or another failed.
    """
    processes = part.processes
    report: dict[str, Any] = {"wrong": None, "finished": False, "seconds": (0.0, 0.0)}
    if processes.number:
        console = Console(quiet=True)
    try:
        report |= _train_shards(part, console, lambda: _stop(processes, interrupted))
    except BaseException as error:
        report["wrong"] = str(error) or type(error).__name__
        processes.tell("stop", "15")
        raise
    finally:
        processes.tell("report", json.dumps(report))
        run, verdict = _conclude(part) if processes.number == 0 else (None, None)
        verdict = verdict or json.loads(processes.wait_for("verdict", [0])[0])
    if verdict["wrong"]:
        raise WriteError(verdict["wrong"])
    return Ending(part.folder, run, verdict["signal"])


def _stop(processes: Processes, interrupted: Callable[[], int]) -> int:
    """The number of the first signal to any process, or 0."""
    if number := interrupted():
        processes.tell("stop", str(int(number)))
        return number
    return next((int(text) for text in processes.heard("stop").values()), 0)


def _train_shards(part: Part, console: Console, should_stop: Callable[[], int]) -> dict[str, Any]:
    compiling, training, finished = 0.0, 0.0, True
    for shard in part.shards:
        if should_stop():
            return {"finished": False}
        with contextlib.ExitStack() as stack:
            prepared = prepare(shard_config(part.config, part.job, shard, part.batch_size), stack)
            seeds = prepared.job.seeds
            console.print(
                f"Process {part.processes.number} of {part.processes.count} trains "
                f"{len(seeds)} of {len(part.job.seeds)} seeds; the figures are theirs.",
                highlight=False,
            )
            try:
                run = carry_out(prepared, console, should_stop)
            except KeyboardInterrupt:  # before there was anything to keep of this shard
                return {"finished": False}
        compiling += run.summary["compile_seconds"]
        training += run.summary["train_seconds"]
        finished &= run.summary["finished"]
    return {"finished": finished, "seconds": (compiling, training)}


def _conclude(part: Part) -> tuple[Run | None, dict[str, Any]]:
    """Waits for every process, joins what they have trained, and tells them what came of it."""
    processes, run = part.processes, None
    verdict: dict[str, Any] = {"wrong": None, "signal": 0}
    remedy = f"what is saved is safe: go on with --resume {part.folder} --distributed"
    reports = {n: json.loads(text) for n, text in processes.wait_for("report").items()}
    try:
        wrong = [f"process {n}: {r['wrong']}" for n, r in reports.items() if r["wrong"]]
        if wrong:
            verdict["wrong"] = f"The run was stopped by {'; '.join(wrong)}; {remedy}."
        elif all(report["finished"] for report in reports.values()):
            seconds = [max(report["seconds"][i] for report in reports.values()) for i in (0, 1)]
            run = join(part.folder, part.config, part.job, (seconds[0], seconds[1]))
        else:
            verdict["signal"] = _stop(processes, lambda: 0) or 15
    except (OSError, ValueError) as error:
        verdict["wrong"] = f"The shards could not be joined ({error}); {remedy}."
    except BaseException as error:
        verdict["wrong"] = f"Process 0 could not join the shards: {error!r}; {remedy}."
        raise
    finally:
        processes.tell("verdict", json.dumps(verdict))
    return run, verdict
