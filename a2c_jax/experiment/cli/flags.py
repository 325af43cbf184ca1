"""Flags of the command line, read into configurations."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from a2c_jax.experiment.cli.configs import SweepConfig
from a2c_jax.experiment.comparison.compare import CompareConfig, default_comparison, read_comparison
from a2c_jax.experiment.config import (
    TaskConfig,
    TrainConfig,
    default_config,
    read_config,
    starting_preset,
    used_settings,
)
from a2c_jax.experiment.errors import as_bad_input
from a2c_jax.experiment.run.folder import read_run_config
from a2c_jax.settings import KINDS, Method, Settings, typed

Settings.__annotations__["method"] = Annotated[Method, tyro.conf.arg(name="algorithm")]

EXAMPLES = {
    "train": "a2c-jax train --env Acrobot-v1 --num-seeds 32 --name acrobot",
    "join": "a2c-jax join runs/first runs/second --name both",
    "evaluate": "a2c-jax evaluate runs/acrobot --num-episodes 1000",
    "plot": "a2c-jax plot runs/acrobot runs/other --format svg",
    "replay": "a2c-jax replay runs/acrobot --seeds 0 5",
    "sweep": "a2c-jax sweep --over learning_rate=1e-4:1e-2:5:log optimizer=adam,rmsprop",
    "compare": "a2c-jax compare --env Acrobot-v1 --algorithms a2c reinforce --num-seeds 32",
}
"""An example of each command."""


@as_bad_input()
def parse_train(flags: Sequence[str]) -> TrainConfig:
    """Reads the flags of ``train``.

    The defaults are those of the preset and the algorithm, of a configuration file, or of the run
    to resume.

    Raises:
        BadInput: if there is no such preset, algorithm, file or run, or the algorithm or the
            network does not use a setting.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    default = _starting_from(flags, "--resume")
    config: TrainConfig = parse(TrainConfig, "train", flags, default)
    _check_used(flags, config.settings)
    return config


@as_bad_input()
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
    config: SweepConfig = parse(SweepConfig, "sweep", flags, SweepConfig(**shared))
    _check_used(flags, config.settings)
    return config, dataclasses.replace(start, **{name: getattr(config, name) for name in shared})


@as_bad_input()
def parse_compare(flags: Sequence[str]) -> CompareConfig:
    """Reads the flags of ``compare``.

    The preset gives the defaults; settings that suit a method replace them, and flags replace
    both, for every method that uses the setting.

    Raises:
        BadInput, SystemExit: as :func:`parse_train`.
    """
    names = given(flags, "--preset", "--network", "--env", "--resume")
    if names["resume"] is not None:
        return read_comparison(Path(names["resume"]), names["env"])
    default = default_comparison(names["preset"] or "general", names["network"])
    config: CompareConfig = parse(CompareConfig, "compare", flags, default)
    chosen = tuple(sorted(named_settings(flags) - {"method", "network"}))
    return dataclasses.replace(config, chosen=chosen)


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
                f"--{name} conflicts with --config {names['config']!r}, which sets it or leaves it "
                f"to the environment; leave --{name} out, or change the file."
            )
    path = Path(names["config"])
    start = dataclasses.replace(read_config(path, env=names["env"]), config=path)
    counted = any(value is not None for value in given(flags, "--num-seeds", "--seed").values())
    return dataclasses.replace(start, seeds=None) if counted else start


def named_settings(flags: Sequence[str]) -> set[str]:
    """The settings that flags name, such as ``--num-steps 5`` and ``--no-layer-norm``."""
    words = (flag[2:].partition("=")[0].replace("-", "_") for flag in flags if flag[:2] == "--")
    return {name for word in words for name in (word, word.removeprefix("no_")) if name in KINDS}


def _check_used(flags: Sequence[str], settings: Settings) -> None:
    unused = named_settings(flags) - used_settings(settings) - {"method", "network"}
    for name in sorted(unused):
        raise ValueError(
            f"--{name.replace('_', '-')} is given, but algorithm {settings.method} with network "
            f"{settings.network} does not use it; leave it out, or give another."
        )


def parse(kind: Any, command: str, flags: Sequence[str], default: Any = None) -> Any:
    """Reads flags into a dataclass; ``default`` has the values of flags that are not given.

    Raises:
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    return tyro.cli(
        kind,
        args=list(flags),
        description=_description(kind, command, flags),
        prog=f"a2c-jax {command}",
        config=(tyro.conf.OmitArgPrefixes,),
        registry=_NUMBERS,
        **({} if default is None else {"default": default}),
    )


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
            return typed("it", float(texts[0]), int)

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
