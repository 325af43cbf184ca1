"""The figures of a run, and their data."""

import functools

from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.figures.curves import draw_episodes, draw_learning_curve
from a2c_jax.experiment.files import Writer
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics.learning import solved_threshold
from a2c_jax.metrics import learning_curve


def run_figures(config: TrainConfig, job: Job, outcome: Outcome) -> dict[str, Writer]:
    """The files of a run's figures by name, each a function that writes it."""
    if job.unit == "episodes":
        return _article_figures(config, job, outcome)
    steps, returns = learning_curve(outcome.metrics, job.algorithm, num_points(job, outcome))
    draw = functools.partial(
        draw_learning_curve,
        steps=steps,
        returns=returns,
        title=run_title(config, job),
        threshold=solved_threshold(job.env),
    )
    return {"learning_curve.png": draw}


def run_title(config: TrainConfig, job: Job) -> str:
    """The environment, the method, the preset and the number of seeds of a run."""
    method = config.settings.method
    of_run = "the article's loop" if method == "article" else method
    named = "custom algorithm" if config.custom else f"{of_run}, preset {config.preset}"
    number = len(job.seeds)
    return f"{job.env.name}: {named}, {number} seed{'s' if number > 1 else ''}"


def num_points(job: Job, outcome: Outcome) -> int:
    """The number of points of a learning curve, chosen so that few are empty.

    Every environment finishes an episode within its time limit. A short run has 20 points
    nevertheless.
    """
    steps = outcome.num_updates * job.algorithm.steps_per_update
    return max(20, min(100, steps // (job.env.max_episode_steps * job.num_envs)))


def _article_figures(config: TrainConfig, job: Job, outcome: Outcome) -> dict[str, Writer]:
    title = f"{run_title(config, job)}, {job.env.max_episode_steps} steps an episode"
    draw = functools.partial(draw_episodes, title=title)
    metrics = outcome.metrics
    return {
        "rewards.png": functools.partial(draw, values=metrics.episode_return_sum, label="reward"),
        "lengths.png": functools.partial(draw, values=metrics.episode_length_sum, label="length"),
    }
