"""Makes configurations from a preset or an algorithm of one's own, and changes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from a2c_jax.experiment.config.config import (
    OWN,
    ConfigT,
    TrainConfig,
    checked_name,
    default_config,
    starting_preset,
)
from a2c_jax.experiment.config.envs import env_name
from a2c_jax.experiment.config.settings import as_dict, replace, typed
from a2c_jax.presets import OwnAlgorithm
from a2c_jax.types import Algorithm


def configure(
    preset: str | None = None, algorithm: str | Algorithm | None = None, **changes: Any
) -> TrainConfig:
    """The configuration of a preset and a method, or of an algorithm of one's own, with changes.

    Args:
        preset: the preset's name; by default that of :func:`starting_preset`.
        algorithm: the method's name; by default the preset's own. Or an algorithm, which needs the
            fields ``env``, ``network`` and ``total_steps`` and takes those of
            :class:`TrainConfig`. No file imports it: to load or resume the run, configure it again.
        **changes: fields of :class:`TrainConfig`, or of its settings; the ``architecture``, by
            its name, is applied before them.

    Raises:
        ValueError: if there is no such preset, method, kind of network or field.
    """
    if isinstance(algorithm, Algorithm):
        return _configure_own(algorithm, preset, changes)
    env = changes.get("env")
    env = None if env is None else env_name(env)
    kind = changes.pop("architecture", None)
    names = {"preset": preset, "algorithm": algorithm, "architecture": kind, "env": env}
    preset, method, kind, env = (typed(name, value, str | None) for name, value in names.items())
    preset = preset or starting_preset(env, method)
    return changed(default_config(preset, method, kind), changes)


def changed(config: ConfigT, changes: Mapping[str, Any]) -> ConfigT:
    """The configuration with changes of its fields or of its settings.

    Raises:
        ValueError: if there is no such field.
    """
    fields = {field.name for field in dataclasses.fields(config)}
    fields -= {"settings", "preset", "algorithm", "architecture"}
    settings = set(as_dict(config.settings))
    for name in changes:
        checked_name("setting", name, sorted(fields | settings))
    own = {name: changes[name] for name in settings & changes.keys()}
    return dataclasses.replace(
        config,
        settings=replace(config.settings, **own),
        **{name: changes[name] for name in fields & changes.keys()},
    )


def _configure_own(algorithm: Algorithm, preset: str | None, fields: dict[str, Any]) -> TrainConfig:
    own = {"network", "total_steps"}
    known = {field.name for field in dataclasses.fields(TrainConfig)} | own
    known -= {"settings", "preset", "algorithm", "architecture", "max_episode_steps"}
    for name in [*(["preset"] if preset else []), *fields]:
        checked_name("setting of an algorithm of one's own", name, sorted(known))
    for name in ("env", *sorted(own)):
        if name not in fields:
            raise ValueError(f"{name} is missing; an algorithm of one's own needs it.")
    settings = OwnAlgorithm(algorithm=algorithm, **{name: fields[name] for name in own})
    others = {name: value for name, value in fields.items() if name not in own}
    return TrainConfig(settings, preset=OWN, **others)
