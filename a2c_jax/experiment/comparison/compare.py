"""Several methods at equal environment steps over the same seeds, each an ordinary run."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import jax
from rich.console import Console
from tyro.conf import Suppress

from a2c_jax import checks
from a2c_jax.experiment import config as configs
from a2c_jax.experiment.comparison.gradients import StageNoise, measure_stages
from a2c_jax.experiment.envs import EnvName, env_label, resolve_saved_env
from a2c_jax.experiment.errors import as_bad_input
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.run.folder import CONFIG, Run
from a2c_jax.experiment.run.interrupts import Interrupted
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.train import execute, prepare
from a2c_jax.presets import METHODS, Settings, with_choices
from a2c_jax.settings import typed

_FEWEST = 3  # episodes: the deviations of two are equal, which gives a standard error of zero


@dataclasses.dataclass(frozen=True)
class CompareConfig(configs.TaskConfig):
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

    preset: configs.PresetName = "general"
    algorithms: tuple[str, ...] = METHODS
    num_seeds: int = 64
    gradient_episodes: int = 200
    resume: Annotated[Path | None, configs.UNSAVED] = None
    chosen: Suppress[tuple[str, ...]] = ()


class Comparison(NamedTuple):
    """The finished runs by method, and the gradients' ``noise``, empty if it was not measured."""

    runs: dict[str, Run]
    noise: tuple[StageNoise, ...]
    finished: bool


def default_comparison(
    preset: str = "general", network: str | None = None, **changes: Any
) -> CompareConfig:
    """The configuration that a preset starts from, by default with the preset's kind of network.

    Changes are of fields of :class:`CompareConfig`, or of settings of all methods that use them.
    """
    default = configs.default_config(preset, None, network)
    if default.settings.method == "article":
        raise ValueError(
            f"preset is {preset!r}, an algorithm of its own; give --preset article_rollouts."
        )
    known = configs.fields_of(CompareConfig)
    settings = dataclasses.replace(default.settings, normalize_advantages=False)
    fields = {name: changes.pop(name) for name in known if name in changes}
    if not _is_plain(settings):
        plain = tuple(name for name in METHODS if name != "q-actor-critic")
        fields = {"algorithms": plain, "gradient_episodes": 0, **fields}
    for name in changes:
        checks.known_name("setting", name, sorted(_used(settings, METHODS) | {*known}))
    settings = dataclasses.replace(settings, **changes)
    fields = {"env": default.env, "chosen": tuple(changes), **fields}
    return CompareConfig(settings, preset, **fields)


def _used(settings: Settings, methods: Sequence[str]) -> set[str]:
    """The settings that any of these methods uses."""
    return set().union(*(configs.used_settings(with_choices(settings, each)) for each in methods))


def _is_plain(settings: Settings) -> bool:
    """Whether all methods, and the measurement of gradients, are for such settings."""
    normalized = settings.normalize_observations or settings.normalize_rewards
    return settings.network == "mlp" and not normalized


def read_comparison(folder: Path, env: EnvName | None = None) -> CompareConfig:
    """Reads the configuration of a comparison, to resume it."""
    content, kinds = configs.read_saved(folder / CONFIG, "resume"), get_type_hints(CompareConfig)
    if "algorithms" not in content:
        raise ValueError(f"resume is {str(folder)!r}, which holds no comparison; give one.")
    names = [name for name in configs.fields_of(CompareConfig, configs.UNSAVED) if name in content]
    values = {name: typed(name, content[name], kinds[name]) for name in names}
    values["env"] = resolve_saved_env(values["env"], env)
    return CompareConfig(Settings(**configs.saved_settings(content)), **values, resume=folder)


def resolve_all(config: CompareConfig) -> dict[str, tuple[configs.TrainConfig, Job]]:
    """Builds and validates the configuration and the job of every method; compiles nothing.

    What suits a method overrides the configuration's settings, except those that were chosen.
    """
    if not config.algorithms:
        raise ValueError("algorithms is empty; name at least one method.")
    for name in config.algorithms:
        checks.known_name("algorithm", name, METHODS)
        if config.algorithms.count(name) > 1:
            raise ValueError(f"algorithms holds {name} more than once; name every method once.")
    for name in config.chosen:
        used = sorted(_used(config.settings, config.algorithms))
        checks.known_name("setting of these algorithms", name, used)
    number = config.gradient_episodes
    if number and number < _FEWEST:
        raise ValueError(
            f"gradient_episodes is {number}; give at least {_FEWEST}, or 0 to skip the measurement."
        )
    if number and not _is_plain(config.settings):
        raise ValueError(
            f"gradient_episodes is {number}, but gradients are measured only of perceptrons "
            "(--network mlp) on observations and rewards as they are; give 0."
        )
    return {name: _resolve(config, name) for name in config.algorithms}


def _resolve(config: CompareConfig, method: str) -> tuple[configs.TrainConfig, Job]:
    settings = with_choices(config.settings, method)
    changes = {*config.chosen} & configs.used_settings(settings)
    chosen: Any = {name: getattr(config.settings, name) for name in changes}
    shared = configs.fields_of(configs.TaskConfig, configs.UNSAVED)
    fields: Any = {name: getattr(config, name) for name in shared}
    one = configs.TrainConfig(dataclasses.replace(settings, **chosen), **fields)
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

    The folder must be open; by default it is a new one under ``runs/``. ``should_stop`` is called
    before every chunk; once it returns a signal's number, training ends, with KeyboardInterrupt if
    no method has finished and nothing was trained.
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
        with contextlib.ExitStack() as stack:
            with as_bad_input():
                one = dataclasses.replace(configured, resume=resume, out=place)
                prepared = prepare(one, stack)
            try:
                run = execute(prepared, console or Console(quiet=True), should_stop)
            except Interrupted:
                if not runs:
                    raise
                break
        if not run.summary["finished"]:
            break
        runs[name] = run
    return Comparison(runs, (), finished=len(runs) == len(jobs))


def measure_gradients(
    config: CompareConfig, should_stop: Callable[[], object] = lambda: False
) -> tuple[StageNoise, ...]:
    """Measures the variance of the methods' gradients; see :func:`measure_stages`."""
    jobs = resolve_all(config)
    env = next(iter(jobs.values()))[1].env
    settings = {name: one.settings for name, (one, _) in jobs.items()}
    if "a2c" in settings:
        settings.pop("a3c", None)  # its gradients are those of A2C, and only arrive later
    key, episodes = jax.random.key(config.seed), config.gradient_episodes
    return measure_stages(key, env, settings, config.settings, episodes, should_stop)
