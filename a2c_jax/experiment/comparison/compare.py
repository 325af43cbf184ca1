"""Several methods at equal environment steps over the same seeds."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from a2c_jax.architectures import Architecture
from a2c_jax.experiment.comparison.gradients import StageNoise, measure_stages
from a2c_jax.experiment.config.config import (
    PresetName,
    TaskConfig,
    TrainConfig,
    checked_name,
    default_config,
    with_method,
)
from a2c_jax.experiment.config.configure import changed
from a2c_jax.experiment.run.chunks import train_in_chunks
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.run.result_figures import num_points
from a2c_jax.methods import METHODS
from a2c_jax.metrics import learning_curve
from a2c_jax.presets import ArticlePreset, Preset

_FEWEST_EPISODES = 3  # the deviations of two are equal, which gives a standard error of zero


@dataclasses.dataclass(frozen=True)
class CompareConfig(TaskConfig[Preset]):
    """Trains several methods at equal environment steps; writes one table and one figure.

    The preset's normalisation of advantages is off, since it would give every method a baseline.
    Some methods have settings that suit them better; flags override them.

    Attributes:
        preset: the settings to start from.
        algorithms: the methods.
        num_seeds: number of seeds of each method, counting up from the first.
        gradient_episodes: episodes of each measurement of the gradients' variance; 0 skips
            it. It takes a few minutes, however long the training is.
    """

    preset: PresetName = "general"
    algorithms: tuple[str, ...] = tuple(METHODS)
    num_seeds: int = 64
    gradient_episodes: int = 200


class Comparison(NamedTuple):
    """The result of a comparison: summaries and ``(steps [P], returns [S, P])`` by method.

    Methods that did not finish are omitted. ``noise`` is empty if it was not measured.
    """

    summaries: dict[str, dict[str, Any]]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    noise: tuple[StageNoise, ...]
    finished: bool


Jobs = dict[str, tuple[TrainConfig, Job]]
"""The configuration and the job of each method, by name."""


def default_comparison(
    preset: str = "general", architecture: str | None = None, **changes: Any
) -> CompareConfig:
    """The configuration that a preset starts from, with changes.

    Args:
        preset: the preset's name.
        architecture: the name of the kind of network; by default the preset's own.
        **changes: fields of :class:`CompareConfig`, or of its settings.

    Raises:
        ValueError: if a name is unknown, the preset is the article's own loop, or there is no such
            field.
    """
    default = default_config(preset, None, architecture)
    if isinstance(default.settings, ArticlePreset):
        raise ValueError(
            f"preset is {preset!r}, an algorithm of its own; give --preset article_rollouts."
        )
    settings = dataclasses.replace(default.settings, normalize_advantages=False)
    if not _is_plain(settings):
        names = (name for name, one in METHODS.items() if not one.values_actions)
        changes = {"algorithms": tuple(names), "gradient_episodes": 0, **changes}
    return changed(CompareConfig(settings, preset, architecture, default.env), changes)


def _is_plain(settings: Preset) -> bool:
    """Whether all methods, and the measurement of gradients, are for such settings."""
    normalized = settings.normalize_observations or settings.normalize_rewards
    return type(settings.architecture) is Architecture and not normalized


def resolve_all(config: CompareConfig, suited: Mapping[str, Preset] | None = None) -> Jobs:
    """Builds and validates the job of every method; compiles and writes nothing.

    The settings of each method are those in ``suited``, or by default those of the configuration,
    overridden by what suits the method.

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
            "or 0 to skip the measurement."
        )
    if config.gradient_episodes and not _is_plain(config.settings):
        raise ValueError(
            f"gradient_episodes is {config.gradient_episodes}, but gradients are measured only of "
            "perceptrons (--network mlp) on observations and rewards as they are; give 0."
        )
    if suited is None:
        suited = {name: with_method(config.settings, name) for name in config.algorithms}
    return {name: _resolve(config, name, suited[name]) for name in config.algorithms}


def _resolve(config: CompareConfig, name: str, settings: Preset) -> tuple[TrainConfig, Job]:
    shared = ("preset", "architecture", "env", "max_episode_steps", "num_seeds", "seed")
    one = TrainConfig(settings, algorithm=name, **{each: getattr(config, each) for each in shared})
    try:
        return one, make_job(one)
    except ValueError as error:
        raise ValueError(f"For {name}: {error}") from error


def compare(
    jobs: CompareConfig | Jobs,
    console: Console | None = None,
    should_stop: Callable[[], object] = lambda: False,
) -> Comparison:
    """Trains the methods of a configuration, or the jobs of :func:`resolve_all`, in turn.

    Progress is shown on the console, if there is one. ``should_stop`` is called before every chunk.
    Once it returns true, training ends, and the methods that have finished are kept.
    """
    jobs = resolve_all(jobs) if isinstance(jobs, CompareConfig) else jobs
    console = console or Console(quiet=True)
    result = Comparison({}, {}, (), finished=False)
    for name, (_, job) in jobs.items():
        console.print(f"{name}: {len(job.seeds)} seeds of {job.units_per_seed:,} steps")
        with Reporter(console, job) as reporter:
            outcome = train_in_chunks(job, on_chunk=reporter.report, should_stop=should_stop)
        if outcome.num_updates < job.num_updates:
            return result
        result.summaries[name] = describe_outcome(job, outcome)
        points = num_points(job, outcome)
        result.curves[name] = learning_curve(outcome.metrics, job.algorithm, points)
    return result._replace(finished=True)


def measure_gradients(
    config: CompareConfig, jobs: Jobs, should_stop: Callable[[], object] = lambda: False
) -> tuple[StageNoise, ...]:
    """Measures the variance of the methods' gradients; see :func:`measure_stages`.

    A3C is omitted if A2C is among the methods: its gradients are the same, and only arrive later.
    """
    env = next(iter(jobs.values()))[1].env
    settings = {name: one.settings for name, (one, _) in jobs.items()}
    if "a2c" in settings:
        settings.pop("a3c", None)
    key, episodes = jax.random.key(config.seed), config.gradient_episodes
    return measure_stages(key, env, settings, config.settings, episodes, should_stop)
