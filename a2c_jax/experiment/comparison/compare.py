"""Several methods at equal environment steps over the same seeds, each an ordinary run."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import jax
from rich.console import Console
from tyro.conf import Suppress

from a2c_jax import checks
from a2c_jax.experiment.comparison.gradients import StageNoise, measure_stages
from a2c_jax.experiment.config import (
    UNSAVED,
    PresetName,
    TaskConfig,
    TrainConfig,
    default_config,
    fields_of,
    read_saved,
    saved_settings,
    used_settings,
)
from a2c_jax.experiment.envs import EnvName, env_label, resolve_saved_env
from a2c_jax.experiment.errors import as_bad_input
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.run.folder import CONFIG, Run
from a2c_jax.experiment.run.interrupts import Interrupted
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.train import execute, prepare
from a2c_jax.presets import METHODS, Settings, with_choices
from a2c_jax.settings import typed

_FEWEST_EPISODES = 3  # the deviations of two are equal, which gives a standard error of zero


@dataclasses.dataclass(frozen=True)
class CompareConfig(TaskConfig):
    """Trains several methods at equal environment steps; writes one table and figures.

    The preset's normalisation of advantages is off, since it would give every method a baseline.
    Some methods have settings that suit them better; flags override them.

    Attributes:
        preset: the settings to start from.
        algorithms: the methods.
        num_seeds: number of seeds of each method, counting up from the first.
        gradient_episodes: episodes of each measurement of the gradients' variance; 0 skips
            it. It takes a few minutes, however long the training is.
        resume: the folder of a comparison to resume, with its settings.
        chosen: the settings that override those that suit a method.
    """

    preset: PresetName = "general"
    algorithms: tuple[str, ...] = METHODS
    num_seeds: int = 64
    gradient_episodes: int = 200
    resume: Annotated[Path | None, UNSAVED] = None
    chosen: Suppress[tuple[str, ...]] = ()


class Comparison(NamedTuple):
    """The result of a comparison: the runs by method.

    Methods that did not finish are omitted. ``noise`` is empty if it was not measured.
    """

    runs: dict[str, Run]
    noise: tuple[StageNoise, ...]
    finished: bool


Jobs = dict[str, tuple[TrainConfig, Job]]
"""The configuration and the job of each method, by name."""


def default_comparison(
    preset: str = "general", network: str | None = None, **changes: Any
) -> CompareConfig:
    """The configuration that a preset starts from, with changes.

    Args:
        preset: the preset's name.
        network: the kind of network; by default the preset's own.
        **changes: fields of :class:`CompareConfig`, or settings, of all methods that use them.

    Raises:
        ValueError: if a name is unknown, the preset is the article's own loop, or there is no such
            field.
    """
    default = default_config(preset, None, network)
    if default.settings.method == "article":
        raise ValueError(
            f"preset is {preset!r}, an algorithm of its own; give --preset article_rollouts."
        )
    settings = dataclasses.replace(default.settings, normalize_advantages=False)
    fields = {name: changes.pop(name) for name in fields_of(CompareConfig) if name in changes}
    if not _is_plain(settings):
        plain = tuple(name for name in METHODS if name != "q-actor-critic")
        fields = {"algorithms": plain, "gradient_episodes": 0, **fields}
    config = CompareConfig(settings, preset, default.env, chosen=tuple(changes))
    config = dataclasses.replace(
        config, settings=dataclasses.replace(settings, **_known(config, changes)), **fields
    )
    return config


def _known(config: CompareConfig, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    used = {name for method in METHODS for name in _used(config.settings, method)}
    for name in changes:
        checks.known_name("setting", name, sorted(used | {*fields_of(CompareConfig)}))
    return changes


def _used(settings: Settings, method: str) -> set[str]:
    changes: dict[str, Any] = {"method": method}
    return used_settings(dataclasses.replace(settings, **changes))


def read_comparison(folder: Path, env: EnvName | None = None) -> CompareConfig:
    """Reads the configuration of a comparison, to resume it.

    Raises:
        ValueError: one sentence, if it is missing, damaged, or of another version.
    """
    content, kinds = read_saved(folder / CONFIG, "resume"), get_type_hints(CompareConfig)
    if "algorithms" not in content:
        raise ValueError(f"resume is {str(folder)!r}, which holds no comparison; give one.")
    names = [name for name in fields_of(CompareConfig, UNSAVED) if name in content]
    values = {name: typed(name, content[name], kinds[name]) for name in names}
    values["env"] = resolve_saved_env(values["env"], env)
    return CompareConfig(Settings(**saved_settings(content)), **values, resume=folder)


def _is_plain(settings: Settings) -> bool:
    """Whether all methods, and the measurement of gradients, are for such settings."""
    normalized = settings.normalize_observations or settings.normalize_rewards
    return settings.network == "mlp" and not normalized


def resolve_all(config: CompareConfig) -> Jobs:
    """Builds and validates the job of every method; compiles and writes nothing.

    The settings of each method are those of the configuration, overridden by what suits the method,
    and that by what was chosen.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    if not config.algorithms:
        raise ValueError("algorithms is empty; name at least one method.")
    for name in config.algorithms:
        checks.known_name("algorithm", name, METHODS)
        if config.algorithms.count(name) > 1:
            raise ValueError(f"algorithms holds {name} more than once; name every method once.")
    used = {name for method in config.algorithms for name in _used(config.settings, method)}
    for name in config.chosen:
        checks.known_name("setting of these algorithms", name, sorted(used))
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
    return {name: _resolve(config, name) for name in config.algorithms}


def _resolve(config: CompareConfig, method: str) -> tuple[TrainConfig, Job]:
    used = _used(config.settings, method)
    chosen = {name: getattr(config.settings, name) for name in config.chosen if name in used}
    settings = dataclasses.replace(with_choices(config.settings, method), **chosen)
    shared = {name: getattr(config, name) for name in fields_of(TaskConfig, UNSAVED)}
    one = TrainConfig(settings, **shared)
    try:
        return one, make_job(one)
    except ValueError as error:
        raise ValueError(f"For {method}: {error}") from error


def compare(
    config: CompareConfig,
    folder: Path | str | None = None,
    console: Console | None = None,
    should_stop: Callable[[], int] = lambda: 0,
) -> Comparison:
    """Trains the methods of a configuration in turn, each as a run in a folder of its name.

    Args:
        config: the configuration; if it resumes, runs continue from their checkpoints.
        folder: an open folder for the runs; by default a new one under ``runs/``.
        console: where progress is shown; by default nowhere.
        should_stop: called before every chunk. Once it returns a signal's number, training ends,
            and the methods that have finished are returned.

    Raises:
        BadInput: one sentence, if a setting is bad; then nothing has been written.
        WriteError, KeyboardInterrupt: as :func:`a2c_jax.experiment.train_run`.
    """
    with as_bad_input():
        jobs = resolve_all(config)
    if folder is None:
        kind = f"{env_label(config.env)}-compare"
        with open_folder(config.out, False, kind, config.name) as made:
            return compare(config, made, console, should_stop)
    runs: dict[str, Run] = {}
    for name, (configured, _) in jobs.items():
        place = Path(folder) / name
        resume = place if config.resume and (place / CONFIG).exists() else None
        one = dataclasses.replace(configured, resume=resume, out=place)
        with contextlib.ExitStack() as stack:
            with as_bad_input():
                prepared = prepare(one, stack)
            try:
                run = execute(prepared, console or Console(quiet=True), should_stop)
            except Interrupted:
                if not runs:
                    raise
                return Comparison(runs, (), finished=False)
        if not run.summary["finished"]:
            return Comparison(runs, (), finished=False)
        runs[name] = run
    return Comparison(runs, (), finished=True)


def measure_gradients(
    config: CompareConfig, should_stop: Callable[[], object] = lambda: False
) -> tuple[StageNoise, ...]:
    """Measures the variance of the methods' gradients; see :func:`measure_stages`.

    A3C is omitted if A2C is among the methods: its gradients are the same, and only arrive later.
    """
    jobs = resolve_all(config)
    env = next(iter(jobs.values()))[1].env
    settings = {name: one.settings for name, (one, _) in jobs.items()}
    if "a2c" in settings:
        settings.pop("a3c", None)
    key, episodes = jax.random.key(config.seed), config.gradient_episodes
    return measure_stages(key, env, settings, config.settings, episodes, should_stop)
