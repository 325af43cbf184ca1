"""Flags of the command line, read into configurations."""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from a2c_jax.experiment.cli.configs import SweepConfig
from a2c_jax.experiment.comparison.compare import CompareConfig, default_comparison
from a2c_jax.experiment.config import settings
from a2c_jax.experiment.config.config import (
    TaskConfig,
    TrainConfig,
    default_config,
    starting_preset,
    with_method,
)
from a2c_jax.experiment.config.reading import read_config
from a2c_jax.experiment.errors import refusals
from a2c_jax.experiment.run.folder import read_run_config
from a2c_jax.presets import Preset

EXAMPLES = {
    "train": "a2c-jax train --env Acrobot-v1 --num-seeds 32 --name acrobot",
    "join": "a2c-jax join runs/first runs/second --name both",
    "evaluate": "a2c-jax evaluate runs/acrobot --num-episodes 1000",
    "plot": "a2c-jax plot runs/acrobot runs/other --format svg",
    "replay": "a2c-jax replay runs/acrobot --seeds 0 5",
    "sweep": "a2c-jax sweep --over learning_rate=1e-4:1e-2:5:log num_steps=5,16 --num-seeds 8",
    "compare": "a2c-jax compare --env Acrobot-v1 --algorithms a2c reinforce --num-seeds 32",
}
"""An example of each command."""


@refusals()
def parse_train(flags: Sequence[str]) -> TrainConfig:
    """Reads the flags of ``train``.

    The defaults are those of the preset and the algorithm, of a configuration file, or of the run
    to resume.

    Raises:
        BadInput: if there is no such preset, algorithm, file or run.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    default = _starting_from(flags, "--resume")
    return parse(TrainConfig[type(default.settings)], "train", flags, default)  # type: ignore[misc]


@refusals()
def parse_sweep(flags: Sequence[str]) -> tuple[SweepConfig, TrainConfig]:
    """Reads the flags of ``sweep``: its configuration, and that of every run in it.

    Raises:
        BadInput, SystemExit: as :func:`parse_train`.
    """
    start = _starting_from(flags)
    shared = {
        field.name: getattr(start, field.name)
        for field in dataclasses.fields(SweepConfig)
        if field.name not in ("over", "draws", "name", "out")
    }
    default = SweepConfig(**shared)
    config: SweepConfig = parse(
        SweepConfig[type(start.settings)],  # type: ignore[misc]
        "sweep",
        flags,
        default,
    )
    changes = {name: getattr(config, name) for name in shared}
    return config, dataclasses.replace(start, **changes)


def _starting_from(flags: Sequence[str], *others: str) -> TrainConfig:
    names = given(flags, "--preset", "--algorithm", "--network", "--env", "--config", *others)
    if names.get("resume") is not None:
        path = Path(str(names["resume"]))
        return dataclasses.replace(read_run_config(path, "resume", names["env"]), resume=path)
    if names["config"] is None:
        preset = names["preset"] or starting_preset(names["env"], names["algorithm"])
        return default_config(preset, names["algorithm"], names["network"])
    for name in ("preset", "algorithm", "network"):
        if names[name] is not None:
            raise ValueError(
                f"{name} is {names[name]!r}, but config {names['config']!r} is given too, which "
                f"sets it or leaves it to the environment; leave --{name} out, or change the file."
            )
    path = Path(names["config"])
    start = dataclasses.replace(read_config(path, env=names["env"]), config=path)
    counted = any(value is not None for value in given(flags, "--num-seeds", "--seed").values())
    return dataclasses.replace(start, seeds=None) if counted else start


@refusals()
def parse_compare(flags: Sequence[str]) -> tuple[CompareConfig, dict[str, Preset]]:
    """Reads the flags of ``compare``: the configuration, and the settings of each method.

    The preset gives the defaults; settings that suit a method replace them, and flags replace
    both. A flag of one method's own settings applies only to that method.

    Raises:
        BadInput: if there is no such preset or method.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    names = given(flags, "--preset", "--network")
    default = default_comparison(names["preset"] or "general", names["network"])
    config, _ = _parse_known(CompareConfig, "compare", flags, default)
    suited, unknown = {}, []
    for name in config.algorithms:
        own = dataclasses.replace(default, settings=with_method(default.settings, name))
        config_of_method, left = _parse_known(CompareConfig, "compare", flags, own)
        suited[name] = config_of_method.settings
        unknown.append(set(itertools.pairwise(["", *left])))  # each value with its flag
    if unknown and set.intersection(*unknown):  # no method has the flag: the parser names it
        parse(CompareConfig, "compare", flags, default)
    return config, suited


def parse(kind: Any, command: str, flags: Sequence[str], default: Any = None) -> Any:
    """Reads flags into a dataclass; ``default`` has the values of flags that are not given.

    Raises:
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    return tyro.cli(kind, **_parser(kind, command, flags, default))


def _parse_known(kind: Any, command: str, flags: Sequence[str], default: Any) -> tuple[Any, Any]:
    """As :func:`parse`, but returns unknown flags too instead of refusing them."""
    return tyro.cli(kind, return_unknown_args=True, **_parser(kind, command, flags, default))


def _parser(kind: Any, command: str, flags: Sequence[str], default: Any) -> dict[str, Any]:
    return {
        "args": list(flags),
        "description": _description(get_origin(kind) or kind, command, flags),
        "prog": f"a2c-jax {command}",
        "config": (tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
        "registry": _NUMBERS,
        **({} if default is None else {"default": default}),
    }


def _description(kind: type, command: str, flags: Sequence[str]) -> str:
    paragraphs = [str(kind.__doc__).partition("\n\n")[0], f"Example: {EXAMPLES[command]}"]
    if issubclass(kind, TaskConfig) and {"-h", "--help"} & set(flags):
        import gymnax  # takes seconds

        paragraphs.append(f"Environments: {', '.join(gymnax.registered_envs)}")
    return "\n\n".join(paragraphs)


_NUMBERS = ConstructorRegistry()


@_NUMBERS.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    """Reads 1e6 as a whole number, as Python's functions do."""

    def read(texts: list[str]) -> int:
        try:
            return int(texts[0])
        except ValueError:
            return settings.typed("it", float(texts[0]), int)

    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        1, "INT", read, lambda x: isinstance(x, int), lambda x: [str(x)]
    )


def given(flags: Sequence[str], *names: str) -> dict[str, str | None]:
    """Reads some flags before the others can be parsed; None for a flag that is not given."""
    parser = argparse.ArgumentParser("a2c-jax", add_help=False, allow_abbrev=False)
    for name in names:
        # Like tyro, accept underscores too.
        parser.add_argument(name, "--" + name[2:].replace("-", "_"), default=None)
    return vars(parser.parse_known_args(flags)[0])
