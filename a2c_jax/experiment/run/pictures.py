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
