"""Several methods at equal environment steps over the same seeds."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from a2c_jax.experiment.comparison.gradients import StageNoise, measure_stages
from a2c_jax.experiment.config.config import (
    PresetName,
    TaskConfig,
    TrainConfig,
    checked_name,
    with_method,
)
from a2c_jax.experiment.run.chunks import train_in_chunks
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.run.result_figures import num_points
from a2c_jax.methods import METHODS
from a2c_jax.metrics import learning_curve
from a2c_jax.presets import FOUND_ON, PRESETS, ArticlePreset, Preset

_FEWEST_EPISODES = 3  # two scatter by the same amount each, and tell nothing of the error


@dataclasses.dataclass(frozen=True)
class CompareConfig(TaskConfig[Preset]):
    """Trains several methods at equal environment steps; writes one table and one figure.

    The preset's normalisation of advantages is off, since it would give every method a baseline.
    Some methods have settings that suit them better, which flags replace.

    Attributes:
        preset: the settings to start from.
        algorithms: the methods.
        num_seeds: how many seeds of each method, counting up from the first.
        gradient_episodes: episodes of each measurement of the gradients' variance; 0 omits
            it. It takes a few minutes, however long the training is.
    """

    preset: PresetName = "general"
    algorithms: tuple[str, ...] = tuple(METHODS)
    num_seeds: int = 64
    gradient_episodes: int = 200


class Comparison(NamedTuple):
    """What a comparison has come to.

    Attributes:
        summaries: of each method that finished, by name.
        curves: ``(steps [P], returns [S, P])`` by name.
        noise: of the gradients, stage by stage; empty where it was not measured.
        finished: whether all methods were trained.
    """

    summaries: dict[str, dict[str, Any]]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    noise: tuple[StageNoise, ...]
    finished: bool


Jobs = dict[str, tuple[TrainConfig, Job]]
"""The configuration and the job of each method, by name."""


def default_comparison(preset: str) -> CompareConfig:
    """The configuration that a preset starts from.

    Raises:
        ValueError: if there is none of that name, or it is the article's own loop.
    """
    settings = PRESETS[checked_name("preset", preset, PRESETS)]
    if isinstance(settings, ArticlePreset):
        raise ValueError(
            f"preset is {preset!r}, an algorithm of its own; give --preset article_rollouts."
        )
    settings = dataclasses.replace(settings, normalize_advantages=False)
    env = FOUND_ON.get(preset, CompareConfig.env)
    return CompareConfig(settings, preset=preset, env=env)


def resolve_all(config: CompareConfig, suited: Mapping[str, Preset] | None = None) -> Jobs:
    """Checks the configuration of every method; compiles and writes nothing.

    Args:
        config: what the comparison was told.
        suited: the settings of each method; by default those of the configuration, with what
            suits the method in their place.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    if not config.algorithms:
        raise ValueError("algorithms is empty; name at least one method.")
    for name in config.algorithms:
        checked_name("algorithm", name, METHODS)
        if config.algorithms.count(name) > 1:
            raise ValueError(f"algorithms holds {name} more than once; name every method once.")
    if config.gradient_episodes != 0 and config.gradient_episodes < _FEWEST_EPISODES:
        raise ValueError(
            f"gradient_episodes is {config.gradient_episodes}; give at least {_FEWEST_EPISODES}, "
            "or 0 to leave the measurement out."
        )
    if suited is None:
        suited = {name: with_method(config.settings, name) for name in config.algorithms}
    settings = {name: suited[name] for name in config.algorithms}
    return {name: _resolve_one(config, name, one) for name, one in settings.items()}


def _resolve_one(config: CompareConfig, name: str, settings: Preset) -> tuple[TrainConfig, Job]:
    one = TrainConfig(
        settings=settings,
        preset=config.preset,
        algorithm=name,
        env=config.env,
        max_episode_steps=config.max_episode_steps,
        num_seeds=config.num_seeds,
        seed=config.seed,
    )
    try:
        return one, make_job(one)
    except ValueError as error:
        raise ValueError(f"For {name}: {error}") from error


def compare(
    jobs: Jobs, console: Console, should_stop: Callable[[], object] = lambda: False
) -> Comparison:
    """Trains every method in turn.

    Args:
        jobs: from :func:`resolve_all`.
        console: where progress is shown.
        should_stop: asked before every chunk; the methods done by then are kept.
    """
    summaries: dict[str, dict[str, Any]] = {}
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (_, job) in jobs.items():
        console.print(f"{name}: {len(job.seeds)} seeds of {job.units_per_seed:,} steps")
        with Reporter(console, job) as reporter:
            outcome = train_in_chunks(
                job.algorithm,
                job.keys,
                job.num_updates,
                job.layout,
                on_chunk=reporter.report,
                should_stop=should_stop,
            )
        if outcome.num_updates < job.num_updates:
            return Comparison(summaries, curves, (), finished=False)
        summaries[name] = describe_outcome(job, outcome)
        curves[name] = learning_curve(outcome.metrics, job.algorithm, num_points(job, outcome))
    return Comparison(summaries, curves, (), finished=True)


def measure_gradients(
    config: CompareConfig, jobs: Jobs, should_stop: Callable[[], object] = lambda: False
) -> tuple[StageNoise, ...]:
    """Measures the variance of the methods' gradients; see :func:`measure_stages`.

    A3C is left out beside A2C: its gradients are the same, and only arrive later.
    """
    _, job = next(iter(jobs.values()))
    settings = {name: one.settings for name, (one, _) in jobs.items()}
    if "a2c" in settings:
        settings.pop("a3c", None)
    return measure_stages(
        jax.random.key(config.seed),
        job.env,
        settings,
        config.settings,
        config.gradient_episodes,
        should_stop,
    )
