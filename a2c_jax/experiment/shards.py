"""The shards of a run: shares of its seeds, each in a run folder of its own, and their joining.

A shard is a run like any other, under ``shards/`` in the folder of the whole. When all are at the
end, they become a checkpoint of the whole, to the bit that of a run by one process.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from a2c_jax.experiment import checkpoints, saving
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.config_files import describe_config
from a2c_jax.experiment.evaluation import Evaluations
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.jobs import Job, make_job
from a2c_jax.experiment.loggers import LOG
from a2c_jax.experiment.replacing import SHARDS_PART, drop_aside
from a2c_jax.experiment.runs import CONFIG, SHARDS, Run, load_run, read_run_config, write_results
from a2c_jax.experiment.saving import Restored, Saver
from a2c_jax.experiment.series import SeriesEnd
from a2c_jax.experiment.training import Outcome
from a2c_jax.parallel import Group, SeedLayout
from a2c_jax.types import Metrics


def share_of(seeds: Sequence[int], number: int, count: int) -> tuple[int, ...]:
    """The seeds of one shard; the shards are contiguous, and the first ones the largest."""
    return tuple(np.array_split(np.asarray(seeds), count)[number].tolist())


def find_shards(folder: Path) -> list[Path]:
    """The folders of a run's shards in order; none if it has not been cut into any."""
    names = [path.name for path in (folder / SHARDS).glob("*-of-*")]
    if not names:
        return []
    count = int(names[0].rsplit("-", 1)[1])
    return [folder / SHARDS / f"{number}-of-{count}" for number in range(count)]


def shard_config(
    config: TrainConfig, job: Job, shard: Path, batch_size: int | None = None
) -> TrainConfig:
    """What a shard is told: to begin, or to go on if there is something of it.

    Args:
        config: of the whole run.
        job: of the whole run.
        shard: its folder.
        batch_size: to begin with.
    """
    if (shard / CONFIG).is_file():
        return dataclasses.replace(
            read_run_config(shard, "resume"),
            resume=shard,
            settings=config.settings,
            checkpoint_every=config.checkpoint_every,
        )
    return dataclasses.replace(
        _first_config(config, job, shard), batch_size=batch_size, out=shard, overwrite=True
    )


def _first_config(config: TrainConfig, job: Job, shard: Path) -> TrainConfig:
    """That of a run of its own, which a shard is; its folder tells which."""
    number, count = (int(word) for word in shard.name.split("-of-"))
    return dataclasses.replace(
        config,
        seeds=share_of(job.seeds, number, count),
        out=None,
        name=None,
        config=None,
        resume=None,
        distributed=False,
        coordinator=None,
        num_processes=None,
        process_id=None,
    )


def updates_done(shard: Path) -> int:
    """How far a shard has come."""
    return max(checkpoints.saved(shard / checkpoints.FOLDER), default=0)


def cut(
    folder: Path, config: TrainConfig, job: Job, count: int, batch_size: int, found: Restored | None
) -> None:
    """Makes the folders of the shards, with what has been trained already.

    Args:
        folder: of the run.
        config: what it was told.
        job: what that comes to.
        count: of the shards.
        batch_size: of each.
        found: where the run stands; None at the beginning.

    Raises:
        OSError: if they could not be written; the run is then as it was.
    """
    shutil.rmtree(folder / SHARDS_PART, ignore_errors=True)
    start = 0
    for number in range(count):
        shard = folder / SHARDS_PART / f"{number}-of-{count}"
        shard.mkdir(parents=True)
        if found is None:
            continue
        own = shard_config(config, job, shard, batch_size)
        own_job = make_job(own)
        description = describe_config(own, own_job)
        end = start + len(own_job.seeds)
        write_together(shard, {CONFIG: json_writer(description)})
        saver = Saver(shard, whole(own_job), saving.identity_of(description), 0, SeriesEnd(0, 0))
        saver.save(*_rows(found, slice(start, end)))
        start = end
    (folder / SHARDS_PART).rename(folder / SHARDS)


def join(folder: Path, config: TrainConfig, job: Job, seconds: tuple[float, float]) -> Run:
    """Joins the shards, all at the end, into the run that they are shares of.

    It can be killed at any moment, and begun again.

    Args:
        folder: of the run.
        config: what it was told.
        job: what that comes to.
        seconds: that compiling and training took.

    Raises:
        ValueError: if a shard is missing or damaged.
        OSError: if the disk gave out; the shards are then still there.
    """
    job = whole(job)
    identity = saving.identity_of(describe_config(config, job))
    found = saving.restore(folder, job, identity)
    end = found.series_end if found else SeriesEnd(0, 0)
    # With its configuration, since config.json cannot tell a network that no preset has.
    runs = [load_run(shard, _first_config(config, job, shard)) for shard in find_shards(folder)]
    groups = [_group(run.state, len(run.job.seeds)) for run in runs]
    fields: Any = zip(*(run.metrics for run in runs), strict=True)
    metrics = Metrics(*(np.concatenate(field) for field in fields))  # type: ignore[arg-type]
    outcome = Outcome(groups, metrics, *seconds)
    evaluations = Evaluations(
        runs[0].evaluations.updates,
        np.concatenate([run.evaluations.returns for run in runs]),
        np.concatenate([run.evaluations.lengths for run in runs]),
    )
    write_together(folder, {LOG: lambda file: file.write(_joined_log(folder, end).encode())})
    Saver(folder, job, identity, 0, end).save(outcome, evaluations)
    summary = write_results(folder, config, job, outcome, evaluations)
    shutil.rmtree(folder / SHARDS_PART, ignore_errors=True)
    (folder / SHARDS).rename(folder / SHARDS_PART)  # at once: half of the shards would be none
    drop_aside(folder)
    state = saving.joined_state(outcome, job)
    return Run(folder, config, job, outcome.metrics, evaluations, state, summary)


def whole(job: Job) -> Job:
    """The same with all seeds in a single group, as they are loaded and saved."""
    number = len(job.seeds)
    return job._replace(layout=SeedLayout(number, number, job.layout.devices[:1]))


def _group(state: Any, number: int) -> Group:
    numbers: Any = np.asarray([number])
    return Group(numbers, state)


def _rows(found: Restored, seeds: slice) -> tuple[Outcome, Evaluations]:
    state = jax.tree.map(lambda leaf: leaf[seeds], found.state)
    metrics = jax.tree.map(lambda field: field[seeds], found.outcome.metrics)
    updates, returns, lengths = found.evaluations
    return (
        found.outcome._replace(state=[_group(state, seeds.stop - seeds.start)], metrics=metrics),
        Evaluations(updates, returns[seeds], lengths[seeds]),
    )


def _joined_log(folder: Path, end: SeriesEnd) -> str:
    """The lines of the run up to where it had come, and those of the shards since."""
    lines = [line for line in _log_lines(folder) if line["update"] <= end.num_updates]
    for number, shard in enumerate(find_shards(folder)):
        later = (line for line in _log_lines(shard) if line["update"] > end.num_updates)
        lines += [{"shard": number, **line} for line in later]
    return "".join(json.dumps(line) + "\n" for line in lines)


def _log_lines(folder: Path) -> list[dict[str, Any]]:
    if not (folder / LOG).is_file():
        return []
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
