"""A run on disk: one folder with its configuration and its results.

``config.json``
    every setting, the seeds, versions and device; ``a2c-jax train --config`` reads it.
``checkpoints/``, ``metrics/``
    the last two checkpoints, which ``--resume`` reads, and :class:`a2c_jax.Metrics` of every
    update; see :mod:`a2c_jax.experiment.run.checkpoints`.
``log.jsonl``
    a line for each hundredth of the run, or for each update of a run of fewer than 100.
``evaluations.npz``
    the arrays of :class:`a2c_jax.experiment.run.engine.Evaluations`, if the policy was
    evaluated during training.
``summary.json``
    the result of :func:`a2c_jax.experiment.statistics.learning.summarize`, and the timings.
``learning_curve.png``
    the figure; instead ``rewards.png`` and ``lengths.png`` for the article's loop.
"""

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import jax
import msgspec
import numpy as np

from a2c_jax.experiment.config import TrainConfig, read_config, read_saved
from a2c_jax.experiment.envs import EnvName
from a2c_jax.experiment.figures.curves import draw_episodes, draw_learning_curve
from a2c_jax.experiment.files import Writer, json_writer, npz_writer, write_together
from a2c_jax.experiment.run import checkpoints
from a2c_jax.experiment.run.engine import Evaluations, Outcome
from a2c_jax.experiment.run.job import Job, make_job, row_of
from a2c_jax.experiment.run.log import LOG
from a2c_jax.experiment.run.policy import Policy, make_policy
from a2c_jax.experiment.run.progress import environment_steps
from a2c_jax.experiment.statistics.learning import best_row, solved_threshold, summarize
from a2c_jax.metrics import finite_seeds, learning_curve
from a2c_jax.parallel import gather_groups
from a2c_jax.types import Metrics

CONFIG = "config.json"
FILES = (
    CONFIG, LOG, "evaluations.npz", "summary.json", "learning_curve.png", "rewards.png",
    "lengths.png", "tensorboard", "wandb", checkpoints.FOLDER, checkpoints.METRICS,
)  # fmt: skip
"""Everything that training writes into a run folder."""


class About(TypedDict, total=False):
    """The entry ``about`` of ``config.json``, on the training of a run.

    ``versions`` and ``device`` are those that started it; ``resumed`` has the updates done, the
    versions and the device each time it was resumed, and ``joined`` the runs that it consists of.
    A schedule depends on ``lengths``, the total numbers of updates as configured, in order.
    """

    versions: dict[str, Any]
    device: dict[str, Any]
    seeds: list[int]
    seeds_in_a_call: int
    lengths: list[int]
    resumed: list[dict[str, Any]]
    joined: list[dict[str, Any]]


class Run(NamedTuple):
    """A run, finished or not.

    Attributes:
        folder: where it is.
        config: its configuration.
        job: built from it: environment, network, algorithm, seeds.
        metrics: metrics of all updates so far, NumPy arrays ``[S, U]``.
        evaluations: evaluations during training.
        state: the algorithm's state for every seed, ``[S, ...]``, such as ``state.params``.
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
    def best_seed(self) -> int:
        """The seed with the highest final return, the first of several, unless it diverged."""
        finite = ~np.isin(self.job.seeds, self.summary["diverged_seeds"])
        return self.job.seeds[best_row(self.metrics, finite)]

    def policy(self, seed: int | None = None) -> Policy:
        """The newest policy of a seed, by default that of the best one."""
        seed = self.best_seed if seed is None else seed
        row = row_of("seed", seed, self.job.seeds)
        state = jax.tree.map(lambda leaf: leaf[row], self.state.agent)
        return make_policy(self.job.env, self.job.agent, state)

    @property
    def position(self) -> np.ndarray:
        """Environment steps (episodes, for the article's loop) of a seed after each update."""
        return np.arange(1, self.metrics.episode_count.shape[1] + 1) * self.job.per_update


def load_run(
    folder: Path | str, config: TrainConfig | None = None, env: EnvName | None = None
) -> Run:
    """Loads a run from its newest checkpoint, finished or not.

    Whoever trained a custom algorithm or environment gives ``config`` or ``env`` again.
    """
    folder = Path(folder)
    if config is None or config.custom:
        env = config.env if config and env is None else env
        config = read_run_config(folder, "run", env, config)
    job = make_job(config)
    restored = checkpoints.restore(folder, config, job)
    if restored is None:
        raise ValueError(
            f"run is {str(folder)!r}, which has no checkpoint yet; wait for the first, or give "
            "another run."
        )
    outcome, evaluations, _ = restored
    summary = describe_outcome(job, outcome, outcome.state)
    return Run(folder, config, job, outcome.metrics, evaluations, outcome.state, summary)


def read_run_config(
    folder: Path, argument: str, env: EnvName | None = None, custom: TrainConfig | None = None
) -> TrainConfig:
    """Reads the configuration of a run, as :func:`read_config` does."""
    if not os.path.isfile(folder / CONFIG):  # also False without permission
        raise ValueError(
            f"{argument} is {str(folder)!r}, which holds no run (no {CONFIG}); give the folder of "
            "a run."
        )
    return read_config(folder / CONFIG, argument, env, same=True, custom=custom)


def read_about(folder: Path, argument: str) -> About:
    """Reads the entry ``about`` of a run's ``config.json``."""
    content = read_saved(folder / CONFIG, argument).get("about", {})
    try:
        return msgspec.convert(content, About)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{argument} is {str(folder)!r}, whose {CONFIG} is damaged under 'about' ({error}); "
            "correct that, or remove 'about'."
        ) from error


def write_results(
    folder: Path,
    config: TrainConfig,
    job: Job,
    outcome: Outcome,
    evaluations: Evaluations,
) -> Run:
    """Writes the results of a run, all of its files or none, and returns the run."""
    state = gather_groups(outcome.state, job.layout)
    summary = describe_outcome(job, outcome, state)
    files = {"summary.json": json_writer(summary), **run_figures(config, job, outcome)}
    if evaluations.updates.size:
        files["evaluations.npz"] = npz_writer(evaluations._asdict(), compress=True)
    write_together(folder, files)
    return Run(folder, config, job, outcome.metrics, evaluations, state, summary)


def describe_outcome(job: Job, outcome: Outcome, state: Any = None) -> dict[str, Any]:
    """The statistics of a run, and how long it took; also diverged parameters count."""
    seconds = outcome.train_seconds
    finite = np.asarray(finite_seeds((outcome.metrics, state and state.params)))
    threshold = solved_threshold(job.env)
    return {
        **summarize(outcome.metrics, job.per_update, threshold, job.unit, finite),
        "diverged_seeds": [job.seeds[i] for i in np.flatnonzero(~finite)],
        "finished": outcome.num_updates >= job.num_updates,
        "num_updates": outcome.num_updates,
        "unit": job.unit,
        f"{job.unit}_per_seed": outcome.num_updates * job.per_update,
        "compile_seconds": outcome.compile_seconds,
        "train_seconds": seconds,
        "steps_per_second": environment_steps(job, outcome) / seconds if seconds else 0.0,
    }


def run_figures(config: TrainConfig, job: Job, outcome: Outcome) -> dict[str, Writer]:
    """The files of a run's figures by name, each a function that writes it."""
    title, metrics = run_title(config, job), outcome.metrics
    if job.unit == "episodes":
        title += f", {job.env.max_episode_steps} steps an episode"
        draw = functools.partial(draw_episodes, title=title)
        values = {"reward": metrics.episode_return_sum, "length": metrics.episode_length_sum}
        return {f"{n}s.png": functools.partial(draw, values=x, label=n) for n, x in values.items()}
    steps, returns = learning_curve(metrics, job.algorithm, num_points(job, outcome))
    curve = functools.partial(draw_learning_curve, steps=steps, returns=returns, title=title)
    return {"learning_curve.png": functools.partial(curve, threshold=solved_threshold(job.env))}


def run_title(config: TrainConfig, job: Job) -> str:
    """The environment, the method, the preset and the number of seeds of a run."""
    method = "the article's loop" if job.unit == "episodes" else config.settings.method
    named = "custom algorithm" if config.custom else f"{method}, preset {config.preset}"
    number = len(job.seeds)
    return f"{job.env.name}: {named}, {number} seed{'s' if number > 1 else ''}"


def num_points(job: Job, outcome: Outcome) -> int:
    """The number of points of a learning curve, 20 to 100; few are empty in a long run."""
    steps = outcome.num_updates * job.algorithm.steps_per_update
    # Every environment finishes an episode within its time limit.
    return max(20, min(100, steps // (job.env.max_episode_steps * job.num_envs)))
