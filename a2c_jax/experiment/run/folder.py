"""A run on disk: one folder with all that it was told and all that it came to.

``config.json``
    every setting, the seeds, versions and device; ``a2c-jax train --config`` takes it.
``checkpoints/``
    the last two, by updates done, and the metrics up to them; what ``--resume`` goes on from.
``log.jsonl``
    a line for each chunk of a second or two.
``metrics.npz``
    ``seeds [S]``, ``steps [U]`` and every field of :class:`a2c_jax.Metrics`, ``[S, U]``;
    ``episodes [U]`` in place of the steps for the article's loop. If the policy was evaluated
    on the way, ``evaluation_updates [E]``, ``evaluation_returns`` and ``_lengths [S, E]``.
``summary.json``
    what :func:`a2c_jax.experiment.statistics.learning.summarize` gives, and the timings.
``learning_curve.png``
    the figure; ``rewards.png`` and ``lengths.png`` for the article's loop.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from a2c_jax.experiment.config.config import TrainConfig
from a2c_jax.experiment.config.reading import read_config
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.run import saving
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.evaluation import Evaluations
from a2c_jax.experiment.run.job import Job, describe_config, make_job
from a2c_jax.experiment.run.progress import environment_steps
from a2c_jax.experiment.run.result_figures import run_figures
from a2c_jax.experiment.statistics.learning import solved_threshold, summarize
from a2c_jax.types import Metrics

CONFIG = "config.json"


class Run(NamedTuple):
    """A run, as far as it has come.

    Attributes:
        folder: where it is.
        config: what it was told.
        job: what that comes to: environment, network, algorithm, seeds.
        metrics: of all updates so far, in NumPy, each ``[S, U]``.
        evaluations: made on the way.
        state: the algorithm's, of every seed, ``[S, ...]``; ``state.params`` are the networks'.
        summary: the statistics and timings, as in ``summary.json``.
        signal: number of the signal that ended it early, or 0.
    """

    folder: Path
    config: TrainConfig
    job: Job
    metrics: Metrics
    evaluations: Evaluations
    state: Any
    summary: dict[str, Any]
    signal: int = 0

    @property
    def position(self) -> np.ndarray:
        """Environment steps (episodes, for the article's loop) of a seed after each update."""
        return np.arange(1, self.metrics.episode_count.shape[1] + 1) * self.job.per_update


def load_run(folder: Path | str, config: TrainConfig | None = None) -> Run:
    """Loads a run from its newest checkpoint, whether or not it has come to its end.

    Args:
        folder: of the run.
        config: what it was told; needed only where its ``config.json`` cannot say it: a network
            or an optimizer that no preset has.

    Raises:
        ValueError: if there is no run, nothing of it has been saved, or that is damaged.
    """
    folder = Path(folder)
    config = config or read_run_config(folder, "run")
    job = make_job(config)
    restored = saving.restore(folder, job, saving.identity_of(describe_config(config, job)))
    if restored is None:
        raise ValueError(
            f"run is {str(folder)!r}, which has no checkpoint yet; wait for the first, or give "
            "another run."
        )
    return Run(
        folder,
        config,
        job,
        restored.outcome.metrics,
        restored.evaluations,
        restored.state,
        describe_outcome(job, restored.outcome),
    )


def read_run_config(folder: Path, argument: str) -> TrainConfig:
    """Reads what a run was told.

    Raises:
        ValueError: if there is no run, or its configuration is damaged or of a newer format.
    """
    if not os.path.isfile(folder / CONFIG):  # False, too, where one may not look
        raise ValueError(
            f"{argument} is {str(folder)!r}, which holds no run (no {CONFIG}); give the folder of "
            "one."
        )
    return read_config(folder / CONFIG, argument)


def write_results(
    folder: Path, config: TrainConfig, job: Job, outcome: Outcome, evaluations: Evaluations
) -> dict[str, Any]:
    """Writes what a run came to: first beside their places, then, all done, into them.

    Args:
        folder: of the run.
        config: what it was told.
        job: what that came to.
        outcome: and what was trained.
        evaluations: made on the way.

    Returns:
        The summary.

    Raises:
        OSError: if a file could not be written; none is then changed.
    """
    summary = describe_outcome(job, outcome)
    arrays = _arrays(job, outcome, evaluations)
    write_together(
        folder,
        {
            "metrics.npz": lambda file: np.savez_compressed(file, **arrays),
            "summary.json": json_writer(summary),
            **run_figures(config, job, outcome),
        },
    )
    return summary


def describe_outcome(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The statistics of a run, and how long it took."""
    seconds = outcome.train_seconds
    return {
        **summarize(outcome.metrics, job.per_update, solved_threshold(job.env), job.unit),
        "finished": outcome.num_updates >= job.num_updates,
        "num_updates": outcome.num_updates,
        "unit": job.unit,
        f"{job.unit}_per_seed": outcome.num_updates * job.per_update,
        "compile_seconds": outcome.compile_seconds,
        "train_seconds": seconds,
        "steps_per_second": environment_steps(job, outcome) / seconds if seconds else 0.0,
    }


def _arrays(job: Job, outcome: Outcome, evaluations: Evaluations) -> dict[str, Any]:
    updates = np.arange(1, outcome.num_updates + 1)
    arrays = {
        "seeds": np.asarray(job.seeds),
        job.unit: updates * job.per_update,
        **{name: each for name, each in outcome.metrics._asdict().items() if name != "steps"},
    }
    if evaluations.updates.size:
        arrays |= {f"evaluation_{name}": value for name, value in evaluations._asdict().items()}
    return arrays
