"""Configurations of runs: made from a preset and changes, written as JSON, read and compared."""

import dataclasses
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_type_hints

import jax
import msgspec
from tyro.conf import Suppress

from a2c_jax import checks, presets
from a2c_jax.agents import AnyNetwork
from a2c_jax.experiment.envs import EnvName, env_name, resolve_saved_env
from a2c_jax.experiment.files import read_json
from a2c_jax.presets import DEFAULT_FOR, PRESETS, Settings, with_choices
from a2c_jax.settings import KINDS, Count, typed, unused_settings
from a2c_jax.types import Algorithm, Environment

ConfigT = TypeVar("ConfigT", bound="TaskConfig")

PresetName = str
if not TYPE_CHECKING:  # the command line offers these names
    PresetName = Literal[tuple(PRESETS)]

FORMAT = 6
CUSTOM = "custom"
"""The preset's name in the configuration of a custom algorithm."""

UNSAVED = "not in config.json"
FREE = "may change when a run is resumed"
_PACKAGES = ("a2c_jax", "jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy")


class Custom(NamedTuple):
    """An algorithm in place of the settings' own, and the network or agent that it trains.

    Its states have the fields ``agent`` and ``params``, as :class:`a2c_jax.LearnerState` has them.
    """

    algorithm: Algorithm
    network: AnyNetwork


def fields_of(kind: type[Any], *without: str) -> tuple[str, ...]:
    """The fields of a configuration, except its settings, that lack these marks."""
    hints = get_type_hints(kind, include_extras=True)
    marks = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    names = (field.name for field in dataclasses.fields(kind) if field.name != "settings")
    return tuple(name for name in names if not set(without) & {*map(str, marks[name])})


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """The fields that training, sweeping and comparing share.

    Attributes:
        settings: settings of the algorithm.
        preset: the settings to start from, which are the defaults of the flags below; list them
            with --preset NAME --help. By default the preset for the environment, if there is one
            and it uses the algorithm, and otherwise general.
        env: name of a gymnax environment, or of a suite's, such as brax/ant, or
            package.module:function, which returns an a2c_jax.Environment; by default the preset's.
            In Python, also an Environment.
        max_episode_steps: time limit in steps; by default the environment's own, or 200 for the
            article's loop.
        num_seeds: number of seeds, counting up from the first.
        seed: the first seed.
        name: name of the new folder under runs/; by default environment, kind and time.
        out: path of the folder, in place of a name; it must be empty or new.
    """

    settings: Settings = presets.default
    preset: PresetName = "default"
    env: EnvName = "CartPole-v1"
    max_episode_steps: int | None = None
    num_seeds: Annotated[int, msgspec.Meta(ge=1)] = 16
    seed: int = 0
    name: Annotated[str | None, UNSAVED] = None
    out: Annotated[Path | None, UNSAVED] = None

    def __post_init__(self) -> None:
        """Converts values to Python's own types, so that whatever trains can be saved."""
        kinds = get_type_hints(type(self), include_extras=True)
        for name in fields_of(type(self), UNSAVED):
            value = getattr(self, name)
            if name != "preset" and not isinstance(value, Environment):
                object.__setattr__(self, name, typed(name, value, kinds[name]))

    def with_settings(self: ConfigT, settings: Settings) -> ConfigT:
        """The same configuration with other settings."""
        return dataclasses.replace(self, settings=settings)

    @property
    def label(self) -> str:
        """The preset, or the method if it is not the preset's."""
        preset = PRESETS.get(self.preset)
        is_presets = preset is None or preset.method == self.settings.method
        return self.preset if is_presets else self.settings.method


@dataclasses.dataclass(frozen=True)
class TrainConfig(TaskConfig):
    """Trains many seeds at once and writes a run folder.

    Attributes:
        seeds: the list of seeds, in place of num_seeds and seed.
        init_from: the folder of a run whose parameters every seed starts from, with the network and
            the scales of that run; by default each seed draws its own.
        init_seed: the seed of that run; by default the one with the highest final return.
        batch_size: seeds that one call of the program trains on a device; by default 8 on a
            CPU, and elsewhere all of a device's seeds.
        evaluate_every: number of updates between evaluations of the greedy policy, with one more
            at the end; by default there are none. Training does not depend on them.
        evaluate_episodes: episodes of each seed in an evaluation.
        checkpoint_every: number of chunks, of a few seconds at most, between checkpoints; one
            is always saved at the end.
        tensorboard: also log in TensorBoard's format, into the run folder.
        wandb: also log to Weights & Biases.
        config: a JSON file to start from instead of a preset, such as a run's config.json or a
            sweep's best.json.
        resume: the folder of a run to resume, with its settings; total_steps (num_episodes) may
            be raised.
        custom: a custom algorithm in place of that of the settings.
    """

    seeds: tuple[int, ...] | None = None
    init_from: str | None = None
    init_seed: int | None = None
    batch_size: Count | None = None
    evaluate_every: Count | None = None
    evaluate_episodes: Count = 20
    checkpoint_every: Annotated[int, FREE, msgspec.Meta(ge=0)] = 5
    tensorboard: Annotated[bool, FREE] = False
    wandb: Annotated[bool, FREE] = False
    config: Annotated[Path | None, UNSAVED, FREE] = None
    resume: Annotated[Path | None, UNSAVED, FREE] = None
    custom: Suppress[Annotated[Custom | None, UNSAVED, FREE]] = None


def starting_preset(env: str | None, method: str | None) -> PresetName:
    """The preset for an environment, if there is one and it uses the method, or ``general``."""
    if method == "article":
        return "article"
    env = env or env_name(TrainConfig.env)
    preset = next((name for name, tasks in DEFAULT_FOR.items() if env in tasks), "general")
    return preset if method in (None, PRESETS[preset].method) else "general"


def default_config(
    preset: str, method: str | None = None, network: str | None = None
) -> TrainConfig:
    """The default configuration of a preset, a method and a kind of network."""
    settings = PRESETS[checks.known_name("preset", preset, PRESETS)]
    if "article" in (settings.method, method) and method not in (None, settings.method):
        raise ValueError(
            f"algorithm is {method!r}, but preset is {preset!r}, and only the presets article and "
            "article_as_printed are the article's own loop, for which there is no other "
            "algorithm; leave --algorithm out, or give --preset article_rollouts."
        )
    settings = with_choices(settings, method, network)
    if settings.method == "article":
        return TrainConfig(settings, preset, max_episode_steps=200, num_seeds=1)
    return TrainConfig(settings, preset, DEFAULT_FOR.get(preset, DEFAULT_FOR["default"])[0])


def configure(
    preset: str | None = None, algorithm: str | Algorithm | None = None, **changes: Any
) -> TrainConfig:
    """The configuration of a preset and a method, or of a custom algorithm, with changes.

    Args:
        preset: the preset's name; by default that for the environment and the method.
        algorithm: the method's name; by default the preset's own. Or an algorithm, which needs the
            fields ``env``, ``network`` and ``total_steps`` and takes those of
            :class:`TrainConfig`. No file imports it: to load or resume the run, configure it again.
        **changes: fields of :class:`TrainConfig` or :class:`a2c_jax.presets.Settings`; the kind
            of ``network`` is applied before them.
    """
    if isinstance(algorithm, Algorithm):
        return _configure_custom(algorithm, preset, changes)
    env, network = changes.get("env"), changes.pop("network", None)
    names = {"preset": preset, "algorithm": algorithm, "network": network}
    names["env"] = None if env is None else env_name(env)
    for name, value in names.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(
                f"{name} is {checks.shown(value)}; give a name, or a function to presets.build, "
                "and its result with algorithm=..., network=..., env=... and total_steps=..."
            )
    preset = names["preset"] or starting_preset(names["env"], algorithm)
    return changed(default_config(preset, algorithm, network), changes)


def changed(config: ConfigT, changes: Mapping[str, Any]) -> ConfigT:
    """The configuration with changes of its fields, or of settings that its method uses."""
    fields = {*fields_of(type(config))} - {"preset", "custom"}
    own = {name: changes[name] for name in changes if name in KINDS.keys() - {"method", "network"}}
    settings = dataclasses.replace(config.settings, **own)
    known = sorted(fields | used_settings(settings))
    others = {checks.known_name("setting", name, known): changes[name] for name in changes}
    others = {name: value for name, value in others.items() if name not in own}
    return dataclasses.replace(config, settings=settings, **others)


def used_settings(settings: Settings) -> set[str]:
    """The settings that a method and a kind of network use, without these two."""
    return KINDS.keys() - {"method", "network"} - unused_settings(settings)


def _configure_custom(
    algorithm: Algorithm, preset: str | None, changes: dict[str, Any]
) -> TrainConfig:
    known = {*fields_of(TrainConfig), "network", "total_steps"}
    known -= {"preset", "custom", "max_episode_steps"}
    for name in [*(["preset"] if preset else []), *changes]:
        checks.known_name("setting of a custom algorithm", name, sorted(known))
    for name in ("env", "network", "total_steps"):
        if name not in changes:
            raise ValueError(f"{name} is missing; a custom algorithm needs it.")
    custom = Custom(algorithm, changes.pop("network"))
    settings = Settings(total_steps=changes.pop("total_steps"))
    return TrainConfig(settings, CUSTOM, custom=custom, **changes)


def read_config(
    path: Path,
    argument: str = "config",
    env: EnvName | None = None,
    same: bool = False,
    custom: TrainConfig | None = None,
) -> TrainConfig:
    """Reads a configuration from a JSON file; settings that are missing are those of the preset.

    ``argument`` named the file. If ``env`` need not be the ``same``, it replaces the file's, and
    decides the preset if the file names none. ``custom`` configures a custom algorithm.
    """
    content = read_saved(path, argument)
    try:
        return _to_config(content, env, same, custom)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{argument} is {str(path)!r}, in which {error}") from error


def read_saved(path: Path, argument: str) -> dict[str, Any]:
    """Reads the JSON of a configuration, and checks its format."""
    content = read_json(path, argument)
    if (written := content.get("format", FORMAT)) != FORMAT:
        raise ValueError(
            f"{argument} is {str(path)!r}, in which format is {written}, but this version of "
            f"a2c_jax reads only {FORMAT}, and runs of another version cannot be read; train "
            "again, or use that version."
        )
    return content


def _to_config(
    content: dict[str, Any], env: EnvName | None, same: bool, custom: TrainConfig | None
) -> TrainConfig:
    if "algorithms" in content:
        raise ValueError("there is a comparison of methods; give a run or a sweep's best.json.")
    saved = fields_of(TrainConfig, UNSAVED)
    for key in content:
        checks.known_name("setting", key, (*saved, "settings", "format", "about"))
    settings = saved_settings(content)
    kinds = get_type_hints(TrainConfig, include_extras=True) | {"preset": str | None}
    values = {key: typed(key, content[key], kinds[key]) for key in saved if key in content}
    is_custom = values.get("preset") == CUSTOM
    if is_custom and (custom is None or custom.custom is None):
        raise ValueError(
            "the algorithm is custom, which no file imports; give load_run or resume_run "
            "config=configure(algorithm=..., network=..., env=..., total_steps=...)."
        )
    if "env" in values and (same or env is None):
        env = resolve_saved_env(values["env"], env)
    if env is not None:  # otherwise the preset's
        values["env"] = env
    method, network = (settings.get(name) for name in ("method", "network"))
    preset = values.pop("preset", None) or starting_preset(env and env_name(env), method)
    default = custom if is_custom and custom else default_config(preset, method, network)
    return dataclasses.replace(
        default, settings=dataclasses.replace(default.settings, **settings), **values
    )


def saved_settings(content: dict[str, Any]) -> dict[str, Any]:
    """The settings in the JSON of a configuration."""
    settings = typed("settings", content.get("settings", {}), dict)
    if settings.get("max_grad_norm", 0) is None:
        settings = {**settings, "max_grad_norm": math.inf}
    return {
        n: typed(n, x, KINDS[checks.known_name("setting", n, KINDS)]) for n, x in settings.items()
    }


def describe_config(config: TaskConfig) -> dict[str, Any]:
    """A configuration for JSON, which holds an infinite limit as null."""
    settings = dataclasses.asdict(config.settings)
    if config.preset == CUSTOM:
        settings = {"total_steps": settings["total_steps"]}
    saved = {name: getattr(config, name) for name in fields_of(type(config), UNSAVED)}
    return {"format": FORMAT, **saved, "env": env_name(config.env), "settings": settings}


def describe_machine(devices: Sequence[jax.Device]) -> dict[str, Any]:
    """Versions and devices."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    platform_, kind = devices[0].platform, devices[0].device_kind
    return {
        "versions": {"python": platform.python_version(), **versions},
        "device": {"platform": platform_, "kind": kind, "count": len(devices)},
    }


def identity(config: TrainConfig) -> dict[str, Any]:
    """Everything by name that decides a run's numbers, except its length, as JSON holds it."""
    content = describe_config(config)
    names = {*fields_of(TrainConfig, UNSAVED, FREE), *KINDS} - {"total_steps", "num_episodes"}
    values = {**content, **content.pop("settings")}
    return json.loads(json.dumps({n: value for n, value in values.items() if n in names}))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values by name in which two runs differ, of those that both of them have."""
    shared = [name for name in ours if name in theirs]
    return {n: (ours[n], theirs[n]) for n in shared if ours[n] != theirs[n]}
