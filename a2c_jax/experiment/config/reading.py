"""Configurations from JSON."""

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from a2c_jax.algorithms.article import Defects
from a2c_jax.experiment.config.config import (
    OWN,
    TrainConfig,
    checked_name,
    default_config,
    saved_fields,
    starting_preset,
)
from a2c_jax.experiment.config.describe import describe_settings
from a2c_jax.experiment.config.envs import EnvName, env_name, named_again
from a2c_jax.experiment.config.settings import replace, setting_types, typed
from a2c_jax.experiment.files import read_json
from a2c_jax.networks import mlp_actor_critic
from a2c_jax.presets import Preset, Settings, decided_actor_critic, relu_actor_critic

FORMAT = 5
_MADE_BY_NAME = ("network", "q_network", "optimizer", "method", "architecture")
_GAUSSIAN: tuple[Callable[..., Any], ...] = (mlp_actor_critic, decided_actor_critic)


def read_config(
    path: Path,
    argument: str = "config",
    env: EnvName | None = None,
    same: bool = False,
    own: TrainConfig | None = None,
) -> TrainConfig:
    """Reads a configuration; settings that are missing are those of the preset.

    Args:
        path: a JSON file, such as the ``config.json`` of a run.
        argument: the argument that named the file, for error messages.
        env: environment in place of the file's, which decides the preset if the file names none.
        same: whether it has to be the file's.
        own: the configuration of a run whose algorithm is one's own.

    Raises:
        ValueError: one sentence, if it is missing, damaged, of another format, or holds an
            unknown name or a value of the wrong type.
    """
    content = read_json(path, argument)
    try:
        return _to_config(content, env, same, own)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{argument} is {str(path)!r}, in which {error}") from error


def _to_config(
    content: dict[str, Any], env: EnvName | None, same: bool, own: TrainConfig | None
) -> TrainConfig:
    written = content.get("format", FORMAT)
    if written != FORMAT:
        raise ValueError(f"format is {written}, but this version of a2c_jax reads only {FORMAT}.")
    if "methods" in content:
        raise ValueError("there is a comparison of methods; give a run or a sweep's best.json.")
    saved = saved_fields(TrainConfig)
    for key in content:
        checked_name("setting", key, (*saved, "settings", "format", "about"))
    # Checked below, with better messages.
    names = dict.fromkeys(("preset", "algorithm", "architecture"), str | None)
    kinds = get_type_hints(TrainConfig) | names
    values = {key: typed(key, content[key], kinds[key]) for key in saved if key in content}
    if values.get("preset") == OWN and (own is None or own.preset != OWN):
        raise ValueError(
            "the algorithm is one's own, which no file imports; give load_run or resume_run "
            "config=configure(algorithm=..., network=..., env=..., total_steps=...)."
        )
    if "env" in values and (same or env is None):
        env = named_again(values["env"], env)
    if env is not None:  # otherwise the preset's
        values["env"] = env
    algorithm, kind = (values.pop(name, None) for name in ("algorithm", "architecture"))
    preset = values.pop("preset", None) or starting_preset(env and env_name(env), algorithm)
    default = own if preset == OWN and own else default_config(preset, algorithm, kind)
    settings = typed("settings", content.get("settings", {}), dict)
    if "about" in content and isinstance(default.settings, Preset):
        settings = {**_class_defaults(), **settings}  # its version may have had fewer settings
    return dataclasses.replace(default, settings=_to_settings(settings, default.settings), **values)


def _class_defaults() -> dict[str, Any]:
    """The settings that every preset has by default: what versions did that lacked them."""
    fields = dataclasses.fields(Preset)
    return {one.name: one.default for one in fields if one.default is not dataclasses.MISSING}


def _to_settings(content: dict[str, Any], default: Settings) -> Settings:
    known, kinds = describe_settings(default), setting_types(default)
    changes: dict[str, Any] = {}
    for key, value in content.items():
        checked_name("setting", key, known)
        if key in _MADE_BY_NAME:
            if value == known[key]:
                continue
            network = _network(value) if key == "network" else None
            if network is None:
                raise ValueError(
                    f"{key} is {value!r}, but the preset has {known[key]!r}; resume or load the "
                    "run from Python with the settings that made it."
                )
            changes[key] = network
        elif key == "defects":
            switches = typed(key, value, dict[str, bool])
            changes[key] = Defects(**{**known[key], **switches})
        elif key == "max_grad_norm" and value is None:
            changes[key] = math.inf
        else:
            changes[key] = typed(key, value, kinds[key])
    return replace(default, **changes)


def _network(description: Any) -> Callable[..., Any] | None:
    """The network that the preset of another version had, or None if it is not a preset's."""
    rest = dict(description) if isinstance(description, dict) else {}
    name, log_std = rest.pop("name", None), rest.pop("log_std", None)
    gaussian = next((one for one in _GAUSSIAN if one.__name__ == name), None)
    if gaussian and isinstance(log_std, float) and not rest:
        return functools.partial(gaussian, log_std=log_std)
    if log_std is not None or rest:
        return None
    return relu_actor_critic if name == relu_actor_critic.__name__ else gaussian
