"""A run by several processes, each of which trains a share of the seeds into a shard.

Process 0 joins the shards when all are at their end.
"""

import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.interrupts import Interrupted, deferred_interrupt
from a2c_jax.experiment.parts import Part, prepare_part
from a2c_jax.experiment.preparing import Prepared, prepare
from a2c_jax.experiment.processes import Processes
from a2c_jax.experiment.run_training import WriteError, carry_out
from a2c_jax.experiment.runs import Run
from a2c_jax.experiment.shards import join, shard_config


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


def carry_out_part(part: Part, console: Console, interrupted: Callable[[], int]) -> Ending:
    """Trains the shards of this process, waits for the others, and joins them in process 0.

    A signal to one process stops all, each after its chunk and with everything saved.

    Args:
        part: from :func:`a2c_jax.experiment.parts.prepare_part`.
        console: where progress is shown, if this is process 0.
        interrupted: gives the number of the first signal to this process, or 0.

    Raises:
        WriteError: if this process or another failed.
        KeyboardInterrupt: if it stopped before anything was trained; nothing is left of it.
    """
    processes = part.processes
    report: dict[str, Any] = {"wrong": None, "finished": False, "seconds": (0.0, 0.0)}
    run = None

    def should_stop() -> int:
        return _stop(processes, interrupted)

    try:
        quiet = Console(quiet=True) if processes.number else console
        report |= _train_shards(part, quiet, should_stop)
    except BaseException as error:
        report["wrong"] = str(error) or type(error).__name__
        processes.tell("stop", str(int(signal.SIGTERM)))
        raise
    finally:
        # Whatever happened here, the others are told, and nobody leaves before the last.
        processes.tell("report", json.dumps(report))
        if processes.number == 0:
            run = _conclude(part, should_stop)
        verdict = json.loads(processes.wait_for("verdict", [0], should_stop)[0])
    if verdict["wrong"]:
        raise WriteError(verdict["wrong"])
    if verdict["signal"] and not part.is_begun:
        raise Interrupted(verdict["signal"])
    return Ending(part.folder, run, verdict["signal"])


def _stop(processes: Processes, interrupted: Callable[[], int]) -> int:
    """The number of the first signal to any process, or 0."""
    if number := interrupted():
        processes.tell("stop", str(int(number)))
        return number
    return next((int(text) for text in processes.heard("stop").values()), 0)


def _train_shards(part: Part, console: Console, should_stop: Callable[[], int]) -> dict[str, Any]:
    """What to report: whether they are finished, and the seconds of compiling and training."""
    compiling, training, finished = 0.0, 0.0, True
    for shard in part.shards:
        if should_stop():
            return {"finished": False}
        with contextlib.ExitStack() as stack:
            prepared = _prepare_shard(part, shard, stack)
            console.print(
                f"Process {part.processes.number} of {part.processes.count} trains "
                f"{len(prepared.job.seeds)} of {len(part.job.seeds)} seeds; the figures are "
                "theirs.",
                highlight=False,
                soft_wrap=True,
            )
            try:
                run = carry_out(prepared, console, should_stop)
            except Interrupted:  # before there was anything to keep of this shard
                return {"finished": False}
            except WriteError as error:
                what = str(error).partition("; ")[0]
                raise WriteError(
                    f"{what}; when that is mended, go on with --resume {part.folder} --distributed."
                ) from error
        compiling += run.summary["compile_seconds"]
        training += run.summary["train_seconds"]
        finished &= run.summary["finished"]
    return {"finished": finished, "seconds": (compiling, training)}


def _prepare_shard(part: Part, shard: Path, stack: contextlib.ExitStack) -> Prepared:
    try:
        return prepare(shard_config(part.config, part.job, shard, part.batch_size), stack)
    except ValueError as error:  # a damaged checkpoint, or one that is at work there still
        raise WriteError(f"a shard could not be begun: {error}") from error


def _conclude(part: Part, should_stop: Callable[[], int]) -> Run | None:
    """Waits for every process, joins what they have trained, and tells them what came of it."""
    processes, run = part.processes, None
    verdict: dict[str, Any] = {"wrong": None, "signal": 0}
    notes = processes.wait_for("report", meanwhile=should_stop)
    reports = {number: json.loads(text) for number, text in sorted(notes.items())}
    safe = (
        f"what is saved is safe: go on with --resume {part.folder} --distributed"
        if part.is_begun
        else "nothing of it was saved yet"
    )
    try:
        wrong = [
            f"process {number}: {report['wrong'].rstrip('.')}"
            for number, report in reports.items()
            if report["wrong"]
        ]
        if wrong:
            verdict["wrong"] = f"the run was stopped by {'; '.join(wrong)}; {safe}."
        elif all(report["finished"] for report in reports.values()):
            seconds = [max(report["seconds"][i] for report in reports.values()) for i in (0, 1)]
            run = join(part.folder, part.config, part.job, (seconds[0], seconds[1]))
        else:
            verdict["signal"] = should_stop() or int(signal.SIGTERM)
    except BaseException as error:
        reason = str(error).rstrip(".") or type(error).__name__
        verdict["wrong"] = f"the shards could not be joined ({reason}); {safe}."
        if not isinstance(error, OSError | ValueError):
            raise
    finally:
        processes.tell("verdict", json.dumps(verdict))
    return run
