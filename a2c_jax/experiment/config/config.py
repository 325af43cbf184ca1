"""Configuration of a training run."""

import dataclasses
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    get_type_hints,
)

from tyro.conf import arg

from a2c_jax import presets
from a2c_jax.architectures import ARCHITECTURES
from a2c_jax.experiment.config.envs import EnvName, env_name
from a2c_jax.experiment.config.settings import (
    SettingsT as SettingsT,
    checked,
    typed_all,
)
from a2c_jax.methods import METHODS, method_name
from a2c_jax.presets import FOUND_ON, PRESETS, ArticlePreset, Preset
from a2c_jax.types import Environment

ConfigT = TypeVar("ConfigT", bound="TaskConfig")

PresetName: TypeAlias = str
MethodName: TypeAlias = str
NetworkName: TypeAlias = str
if not TYPE_CHECKING:  # for the command line, which offers these names
    PresetName = Literal[tuple(PRESETS)]
    MethodName = Literal[tuple(METHODS)]
    NetworkName = Literal[tuple(ARCHITECTURES)]

OWN = "own"
"""The name, in place of a preset's, of the settings of an algorithm of one's own."""

_NAMES = {"preset", "algorithm", "architecture"}
UNSAVED = "not in config.json"
FREE = "may change when a run is resumed"


def marked(kind: type, mark: str) -> set[str]:
    """The fields of a configuration whose annotation has a mark."""
    hints = get_type_hints(kind, include_extras=True)
    return {name for name, hint in hints.items() if mark in getattr(hint, "__metadata__", ())}


def saved_fields(kind: type) -> list[str]:
    """The fields that ``config.json`` holds under their own names."""
    unsaved = {"settings"} | marked(kind, UNSAVED)
    return [field.name for field in dataclasses.fields(kind) if field.name not in unsaved]


@dataclasses.dataclass(frozen=True)
class TaskConfig(Generic[SettingsT]):
    """The fields that training, sweeping and comparing share.

    Attributes:
        settings: settings that replace those of the preset.
        preset: the settings to start from, which are the defaults of the flags below; list them
            with --preset NAME --help. By default the preset for the environment, if there is one
            and it uses the algorithm, and otherwise general.
        architecture: the kind of network; by default the preset's own.
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

    settings: SettingsT = presets.default  # type: ignore[assignment]
    preset: PresetName = "default"
    architecture: Annotated[NetworkName | None, arg(name="network")] = None
    env: EnvName = "CartPole-v1"
    max_episode_steps: int | None = None
    num_seeds: int = 16
    seed: int = 0
    name: Annotated[str | None, UNSAVED] = None
    out: Annotated[Path | None, UNSAVED] = None

    def __post_init__(self) -> None:
        """Converts numbers to Python's own, so that whatever trains can be saved and loaded."""
        kinds = get_type_hints(type(self))
        plain = set(saved_fields(type(self))) - _NAMES  # checked by their names
        plain -= {"env"} if isinstance(self.env, Environment) else set()
        values = typed_all({name: getattr(self, name) for name in plain}, kinds)
        for name, value in {**values, "settings": checked(self.settings)}.items():
            object.__setattr__(self, name, value)

    def with_settings(self: ConfigT, settings: Any) -> ConfigT:
        """The same configuration with other settings."""
        return dataclasses.replace(self, settings=settings)


@dataclasses.dataclass(frozen=True)
class TrainConfig(TaskConfig[SettingsT], Generic[SettingsT]):
    """Trains many seeds at once and writes a run folder.

    Attributes:
        algorithm: the method; by default the preset's own.
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
    """

    algorithm: MethodName | None = None
    seeds: tuple[int, ...] | None = None
    init_from: str | None = None
    init_seed: int | None = None
    batch_size: int | None = None
    evaluate_every: int | None = None
    evaluate_episodes: int = 20
    checkpoint_every: Annotated[int, FREE] = 5
    tensorboard: Annotated[bool, FREE] = False
    wandb: Annotated[bool, FREE] = False
    config: Annotated[Path | None, UNSAVED] = None
    resume: Annotated[Path | None, UNSAVED, FREE] = None


_NO_BASELINE = {"normalize_advantages": False}  # subtracting the mean is a baseline

# These methods do not complete a return with a value where the rollout ends. If rollouts are as
# long as an episode, most returns are complete.
_LONG_ROLLOUTS = {"num_envs": 2, "num_steps": 500}

SUITED: dict[str, dict[str, Any]] = {
    "reinforce": {**_LONG_ROLLOUTS, **_NO_BASELINE},
    "reinforce-with-baseline": _LONG_ROLLOUTS,
    "q-actor-critic": {
        "num_steps": 16,
        "learning_rate": 5e-3,
        "final_learning_rate": 0.0,
        **_NO_BASELINE,
        # Q is near 1 / (1 - discount) for every action: with a smaller entropy bonus, the policy
        # becomes deterministic before the critic ranks actions.
        "entropy_coef": 1.0,
        "final_entropy_coef": None,
    },
}
"""Settings that suit a method on CartPole-v1; they replace the preset's."""


_SUITED_NETWORKS: dict[str, dict[str, Any]] = {
    "conv": {"hidden_sizes": (128,)},
    "gru": {"hidden_sizes": (64,)},
}


def starting_preset(env: str | None, algorithm: str | None) -> PresetName:
    """The default preset for an environment and a method.

    It is the preset for the environment (``default`` for CartPole-v1), if there is one and it uses
    the method, and otherwise ``general``.
    """
    env = env or env_name(TrainConfig.env)
    found = next((name for name, tasks in FOUND_ON.items() if env in tasks), None)
    if found is None or algorithm not in (None, method_name(PRESETS[found].method)):  # type: ignore[union-attr]
        return "general"
    return found


def default_config(
    preset: str, algorithm: str | None, architecture: str | None = None
) -> TrainConfig:
    """The default configuration of a preset, a method and a kind of network.

    Raises:
        ValueError: if there is none of that name, or they exclude each other.
    """
    settings = PRESETS[checked_name("preset", preset, PRESETS)]
    if isinstance(settings, ArticlePreset):
        for name, value in (("algorithm", algorithm), ("network architecture", architecture)):
            if value is not None:
                raise ValueError(
                    f"{name} is {value!r}, but preset {preset!r} is an algorithm of its own; "
                    f"leave --{name.split()[0]} out, or give --preset article_rollouts."
                )
        return TrainConfig(settings, preset=preset, max_episode_steps=200, num_seeds=1)
    if algorithm is not None:
        settings = with_method(settings, algorithm)
    if architecture is not None:
        settings = with_architecture(settings, architecture)
    env = FOUND_ON.get(preset, FOUND_ON["default"])[0]
    return TrainConfig(settings, preset, architecture, env, algorithm=algorithm)


def with_method(settings: Preset, algorithm: str) -> Preset:
    """The settings with another method, and with the settings that suit it.

    Raises:
        ValueError: if there is no method of that name.
    """
    method = METHODS[checked_name("algorithm", algorithm, METHODS)]
    return dataclasses.replace(settings, method=method, **SUITED.get(algorithm, {}))


def with_architecture(settings: Preset, architecture: str) -> Preset:
    """The settings with another kind of network, and with the settings that suit it.

    Raises:
        ValueError: if there is none of that name.
    """
    kind = ARCHITECTURES[checked_name("network architecture", architecture, ARCHITECTURES)]
    return dataclasses.replace(
        settings, architecture=kind, **_SUITED_NETWORKS.get(architecture, {})
    )


def checked_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns ``name``, or raises ValueError with the names nearest to it."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"There is no {kind} {name!r}; {hint}choose one of: {', '.join(known)}.")
    return name
