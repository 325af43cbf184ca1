"""A run on disk: one folder with the configuration, metrics, summary and figures.

``config.json``
    every setting, the seeds, versions and device.
``metrics.npz``
    ``seeds [S]``, ``steps [U]`` and every field of :class:`a2c_jax.Metrics`, ``[S, U]``;
    ``episodes [U]`` in place of the steps for the article's loop.
``summary.json``
    what :func:`a2c_jax.experiment.statistics.summarize` gives, and the timings.
``learning_curve.png``
    the figure; ``rewards.png`` and ``lengths.png`` for the article's loop.
"""

from pathlib import Path
from typing import Any

import numpy as np

from a2c_jax.experiment.config import Job, TrainConfig
from a2c_jax.experiment.describe import describe_machine, describe_settings
from a2c_jax.experiment.figures import run_figures
from a2c_jax.experiment.files import json_writer, write_together
from a2c_jax.experiment.progress import environment_steps
from a2c_jax.experiment.statistics import solved_threshold, summarize
from a2c_jax.experiment.training import Outcome
from a2c_jax.parallel import seed_layout

FORMAT = 2


def write_run(
    folder: Path, config: TrainConfig, description: dict[str, Any], job: Job, outcome: Outcome
) -> dict[str, Any]:
    """Writes all of a run's files: first beside their places, then, all done, into them.

    Args:
        folder: from :func:`open_folder`.
        config: what the run was told.
        description: from :func:`describe_config`.
        job: what that came to.
        outcome: and what was trained.

    Returns:
        The summary.
    """
    summary = describe_outcome(job, outcome)
    write_together(
        folder,
        {
            "config.json": json_writer(description),
            "metrics.npz": lambda file: np.savez_compressed(file, **_arrays(job, outcome)),
            "summary.json": json_writer(summary),
            **run_figures(config, job, outcome),
        },
    )
    return summary


def describe_config(config: TrainConfig, job: Job) -> dict[str, Any]:
    """Every setting, the seeds, versions and device, as JSON can hold them."""
    layout = seed_layout(job.keys, config.batch_size)
    return {
        "format": FORMAT,
        "preset": config.preset,
        "settings": describe_settings(config.settings),
        "env": config.env,
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "batch_size": layout.batch_size,
        "num_updates": job.num_updates,
        f"{job.unit}_per_seed": job.units_per_seed,
        **describe_machine(layout.devices),
    }


def describe_outcome(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The statistics of a run, and how long it took."""
    return {
        **summarize(outcome.metrics, job.per_update, solved_threshold(job.env), job.unit),
        "finished": outcome.num_updates == job.num_updates,
        "num_updates": outcome.num_updates,
        "unit": job.unit,
        f"{job.unit}_per_seed": outcome.num_updates * job.per_update,
        "compile_seconds": outcome.compile_seconds,
        "train_seconds": outcome.train_seconds,
        "steps_per_second": environment_steps(job, outcome) / outcome.train_seconds,
    }


def _arrays(job: Job, outcome: Outcome) -> dict[str, Any]:
    updates = np.arange(1, outcome.num_updates + 1)
    return {
        "seeds": np.asarray(job.seeds),
        job.unit: updates * job.per_update,
        **outcome.metrics._asdict(),
    }
