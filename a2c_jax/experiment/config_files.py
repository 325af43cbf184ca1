"""Configurations as JSON: what a run was told, so that it can be told again."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from a2c_jax.algorithms.article import Defects
from a2c_jax.environments import make_env
from a2c_jax.experiment.config import (
    TrainConfig,
    checked_name,
    default_config,
    starting_preset,
)
from a2c_jax.experiment.describe import describe_machine, describe_settings
from a2c_jax.experiment.files import read_json
from a2c_jax.experiment.jobs import Job
from a2c_jax.presets import ArticlePreset, Preset, get_setting, replace

FORMAT = 4
_NAMED_GENERAL = 4  # the format before which that preset was called default
_MADE_BY_NAME = ("network", "q_network", "optimizer", "method")
_KEYS = (
    "format", "preset", "algorithm", "settings", "env", "max_episode_steps", "seeds", "num_seeds",
    "seed", "batch_size", "evaluate_every", "evaluate_episodes", "checkpoint_every",
    "tensorboard", "wandb",
)  # fmt: skip
_ONLY_TOLD = (
    "num_updates", "steps_per_seed", "episodes_per_seed", "seeds_in_a_call", "versions", "device",
    "processes", "resumed",
)  # fmt: skip


def describe_config(config: TrainConfig, job: Job) -> dict[str, Any]:
    """Every setting, the seeds, versions and device, as JSON can hold them."""
    return {
        "format": FORMAT,
        "preset": config.preset,
        "algorithm": config.algorithm,
        "settings": describe_settings(config.settings),
        "env": config.env,
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "batch_size": config.batch_size,
        "seeds_in_a_call": job.layout.batch_size,
        "evaluate_every": config.evaluate_every,
        "evaluate_episodes": config.evaluate_episodes,
        "checkpoint_every": config.checkpoint_every,
        "tensorboard": config.tensorboard,
        "wandb": config.wandb,
        "num_updates": job.num_updates,
        f"{job.unit}_per_seed": job.units_per_seed,
        **describe_machine(job.layout.devices),
    }


def read_config(path: Path, argument: str = "config", env: str | None = None) -> TrainConfig:
    """Reads a configuration; what it does not hold is as the preset has it.

    Args:
        path: a JSON file, such as the ``config.json`` of a run.
        argument: what named it, for an error's sentence.
        env: the environment that is to be trained on in place of the file's.

    Raises:
        ValueError: one sentence, if it is missing, damaged, of a newer format, or names what
            is not known.
    """
    content = read_json(path, argument)
    try:
        return _to_config(content, env)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{argument} is {str(path)!r}, in which {error}") from error


def _to_config(content: dict[str, Any], env_name: str | None) -> TrainConfig:
    written = content.get("format", FORMAT)
    if not isinstance(written, int) or written > FORMAT:
        raise ValueError(
            f"format is {written}, and this version reads up to {FORMAT}; update a2c_jax."
        )
    for key in content:
        checked_name("setting", key, (*_KEYS, *_ONLY_TOLD))
    for key in ("preset", "algorithm", "env"):
        if not isinstance(content.get(key, ""), str | None):
            raise ValueError(f"{key} is {content[key]!r}; give a name.")
    if not isinstance(content.get("settings", {}), dict):
        raise ValueError(f"settings is {content['settings']!r}; give an object of settings.")
    algorithm = content.get("algorithm")
    preset = content.get("preset") or starting_preset(env_name or content.get("env"), algorithm)
    if preset == "default" and written < _NAMED_GENERAL:
        preset = "general"
    default = default_config(preset, algorithm)
    fields: dict[str, Any] = {
        key: _typed(key, content[key], getattr(default, key))
        for key in _KEYS
        if key in content and key not in ("format", "preset", "algorithm", "settings")
    }
    fields["settings"] = _to_settings(content.get("settings", {}), default.settings)
    seeds = fields.get("seeds")
    if seeds and seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        # So that another number of seeds, or another first one, can be given beside it.
        fields |= {"seeds": None, "num_seeds": len(seeds), "seed": seeds[0]}
    if "max_episode_steps" in fields:
        env = make_env(fields.get("env", default.env))
        if fields["max_episode_steps"] == env.max_episode_steps:
            fields["max_episode_steps"] = default.max_episode_steps and env.max_episode_steps
    return dataclasses.replace(default, **fields)


def _to_settings(
    content: dict[str, Any], default: Preset | ArticlePreset
) -> Preset | ArticlePreset:
    known = describe_settings(default)
    changes: dict[str, Any] = {}
    for key, value in content.items():
        checked_name("setting", key, known)
        if key in _MADE_BY_NAME:
            if value != known[key]:
                raise ValueError(
                    f"{key} is {value!r}, where the preset has {known[key]!r}; resume it from "
                    "Python with the settings that made it."
                )
        elif key == "defects" and isinstance(value, dict):
            changes[key] = Defects(**{**known[key], **value})
        elif key == "max_grad_norm" and value is None:
            changes[key] = math.inf
        else:
            changes[key] = _typed(key, value, get_setting(default, key))
    return replace(default, **changes)


def _typed(key: str, value: Any, default: Any) -> Any:
    """The value as the default's type, or as a whole number or several where that is None."""
    if value is None and default is None:
        return None
    if key == "observation_scale":
        return _numbers(key, value)
    if isinstance(default, tuple) or key == "seeds":
        return _whole_numbers(key, value)
    kinds: Any = (
        (int, float) if isinstance(default, float) else type(0 if default is None else default)
    )
    if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool):
        raise ValueError(
            f"{key} is {value!r}; give a value like {0 if default is None else default!r}."
        )
    return value if default is None else type(default)(value)


def _numbers(key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        raise ValueError(f"{key} is {value!r}; give numbers in a list, like [1, 0.5].")
    return tuple(map(float, value))


def _whole_numbers(key: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise ValueError(f"{key} is {value!r}; give whole numbers in a list, like [0, 1].")
    return tuple(value)
