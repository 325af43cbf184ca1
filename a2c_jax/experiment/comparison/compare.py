"""Several methods at equal environment steps over the same seeds, each an ordinary run."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import jax
import numpy as np
from rich.console import Console
from rich.table import Table
from tyro.conf import Suppress

from a2c_jax import checks
from a2c_jax.experiment import config as configs
from a2c_jax.experiment.comparison.gradients import STAGES, StageNoise, measure_stages
from a2c_jax.experiment.envs import EnvName, env_label, resolve_saved_env
from a2c_jax.experiment.files import (
    as_bad_input,
    as_write_error,
    json_writer,
    locked,
    open_folder,
    read_json,
    remove_files,
    write_together,
)
from a2c_jax.experiment.run.folder import CONFIG, Run
from a2c_jax.experiment.run.interrupts import Interrupted
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.plot import plot_runs
from a2c_jax.experiment.run.train import execute, prepare
from a2c_jax.experiment.statistics.inference import probability_of_improvement
from a2c_jax.experiment.statistics.learning import final_returns
from a2c_jax.experiment.tables import markdown_table, median_time, text_table
from a2c_jax.presets import METHODS, Settings, with_choices
from a2c_jax.settings import typed

_FEWEST = 3  # episodes: the deviations of two are equal, which gives a standard error of zero
_GRADIENTS, _BOTH = "gradients.json", ("ratios", "errors")
_ROUNDING = 1e-6  # the error of the reference's ratio to itself is smaller


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

    folder: Path
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
    saved = configs.fields_of(CompareConfig, configs.UNSAVED)
    for name in content:
        checks.known_name("setting", name, (*saved, "settings", "format"))
    values = {name: typed(name, content[name], kinds[name]) for name in saved if name in content}
    values["env"] = resolve_saved_env(values.get("env", CompareConfig.env), env)
    base = default_comparison(values.get("preset", CompareConfig.preset)).settings
    settings = dataclasses.replace(base, **configs.saved_settings(content))
    return CompareConfig(settings, **values, resume=folder)


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
    console: Console | None = None,
    should_stop: Callable[[], int] = lambda: 0,
) -> Comparison:
    """Trains the methods of a configuration in turn, and writes tables and figures.

    Each method is a run in a folder of its name. If the configuration resumes, runs continue from
    their checkpoints. ``should_stop`` is called before every chunk; once it returns a signal's
    number, training ends, with KeyboardInterrupt if nothing was trained.
    """
    with as_bad_input():
        resolve_all(config)
    console, kind = console or Console(quiet=True), f"{env_label(config.env)}-compare"
    opened: Any = open_folder(config.out, False, kind, config.name)
    if config.resume is not None:
        opened = locked(config.resume, "resume")
    with opened as made, as_write_error("comparison"):
        folder: Path = config.resume or made
        write_together(folder, {CONFIG: json_writer(configs.describe_config(config))})
        try:
            result = _train_all(config, folder, console, should_stop)
        except Interrupted:
            if config.resume is None:
                remove_files(folder, [CONFIG])
            raise
        if result.runs:  # written before the gradients are measured
            write_comparison(folder, result)
        is_measured = len(result.noise) == len(STAGES)
        if config.gradient_episodes and result.finished and not (is_measured or should_stop()):
            console.print("Measuring the variance of the gradients")
            result = result._replace(noise=measure_gradients(config, should_stop))
            write_comparison(folder, result)
    return result


def _train_all(
    config: CompareConfig, folder: Path, console: Console, should_stop: Callable[[], int]
) -> Comparison:
    runs: dict[str, Run] = {}
    for name, (configured, _) in resolve_all(config).items():
        place = folder / name
        is_begun = config.resume is not None and (place / CONFIG).exists()
        own: dict[str, Any] = {"resume" if is_begun else "out": place}
        with contextlib.ExitStack() as stack:
            with as_bad_input():
                prepared = prepare(dataclasses.replace(configured, **own), stack)
            try:
                run = execute(prepared, console, should_stop)
            except Interrupted:
                if not runs:
                    raise
                break
        if not run.summary["finished"]:
            break
        runs[name] = run
    noise: list[StageNoise] = []
    if (place := folder / _GRADIENTS).exists():  # of a comparison that resumes
        for one in read_json(place, "resume").get("gradient_variance", []):
            known = {n: {k: math.nan if v is None else v for k, v in one[n].items()} for n in _BOTH}
            noise.append(StageNoise(**{**one, **known}))
    return Comparison(folder, runs, tuple(noise), finished=len(runs) == len(config.algorithms))


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


def comparison_tables(result: Comparison) -> list[Table]:
    """The tables for a terminal, in 80 columns."""
    first = next(iter(result.runs))
    tables = {
        f"P(better): a seed ends above a seed of {first}, with a 95 % interval": table_rows(result),
        "variance of the gradient, relative to reinforce's": gradient_rows(result),
    }
    table = functools.partial(text_table, no_wrap=True, box=None, padding=(0, 1, 0, 0))
    return [table(rows, caption=caption) for caption, rows in tables.items() if rows]


def table_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; the probability is of ending above the first one."""
    finals = {name: final_returns(run.metrics) for name, run in result.runs.items()}
    known = {name: values[np.isfinite(values)] for name, values in finals.items()}
    better, (first, *others) = {}, known.values()
    for name, values in zip([*known][1:], others, strict=True):
        if first.size and values.size:
            better[name] = "{:.2f} ({:.2f} to {:.2f})".format(
                *probability_of_improvement(values, first)
            )
    rows = [["method", "return", "95 % interval", "solved", "median", "P(better)"]]
    return rows + [[*_row(name, run), better.get(name, "")] for name, run in result.runs.items()]


def _row(name: str, run: Run) -> list[str]:
    summary, solved = run.summary, ["", ""]
    if diverged := summary["num_diverged"]:
        name += f" ({diverged} diverged)"
    if summary["solved_threshold"] is not None:
        median = median_time(summary["median_steps_to_solve"])
        solved = [f"{summary['fraction_solved']:.0%}", median]
    value, interval = summary["final_return_iqm"], summary["final_return_interval_95"] or ()
    mean = "none" if value is None else _digits(value)
    return [name, mean, " to ".join(map(_digits, interval)), *solved]


def _digits(value: float) -> str:
    # All digits before the point are kept: powers of ten are hard to compare.
    return f"{value:.4g}" if abs(round(value)) < 10**4 else f"{value:.0f}"


def gradient_rows(result: Comparison) -> list[list[str]]:
    """A header, then a row for each method; variances relative to REINFORCE's ± their errors."""
    if not result.noise:
        return []
    stages = (f"after {one.steps:,} (return {one.mean_return:.0f})" for one in result.noise)
    rows = ([name, *(_ratio(stage, name) for stage in result.noise)] for name in result.runs)
    return [["method", *stages], *rows]


def _ratio(stage: StageNoise, name: str) -> str:
    if name not in stage.ratios:
        return "as a2c"
    ratio, error = stage.ratios[name], stage.errors[name]
    if max(abs(ratio - 1.0), error) < _ROUNDING:
        return "1"
    short = f"{ratio:.2g}" if math.isfinite(ratio) else "–"
    return f"{short} ± {error:.1g}" if math.isfinite(error) else short


def write_comparison(folder: Path | str, result: Comparison) -> None:
    """Writes ``table.md``, ``gradients.json`` and the files of :func:`plot_runs` into a folder."""
    noise = [one._asdict() for one in result.noise]
    text = "\n".join(markdown_table(r) for r in (table_rows(result), gradient_rows(result)) if r)
    plot_runs(result.runs, folder)
    gradients = json_writer({"gradient_variance": noise})
    files = {"table.md": lambda file: file.write(text.encode()), _GRADIENTS: gradients}
    write_together(Path(folder), files)
