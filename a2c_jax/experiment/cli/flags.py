"""Flags of the command line, read into configurations."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from a2c_jax.experiment.comparison.compare import CompareConfig, default_comparison, read_comparison
from a2c_jax.experiment.config import (
    TaskConfig,
    TrainConfig,
    default_config,
    read_config,
    starting_preset,
)
from a2c_jax.experiment.files import as_bad_input
from a2c_jax.experiment.run.folder import read_run_config
from a2c_jax.settings import KINDS, Method, Settings, typed, unused_settings

# On the command line an algorithm is chosen by its method.
Settings.__annotations__["method"] = Annotated[Method, tyro.conf.arg(name="algorithm")]
_NUMBERS = ConstructorRegistry()
_OPTIONS: Any = {"config": (tyro.conf.OmitArgPrefixes,), "registry": _NUMBERS}


@dataclasses.dataclass(frozen=True)
class SweepConfig(TaskConfig):
    """Trains seeds at many settings; writes a table, a heat map and the best settings.

    Attributes:
        over: the settings: NAME=VALUE,VALUE,… of numbers or names, or NAME=LOW:HIGH:NUMBER, which
            may end in :log. With --draws, a range is NAME=LOW:HIGH or NAME=LOW:HIGH:log.
        draws: number of random draws, seeded by the first seed, in place of every combination.
        config: a JSON file to start from instead of a preset.
        batch_size: runs that one call of the program trains on a device.
    """

    over: tuple[str, ...] = ()
    draws: int | None = None
    config: Path | None = None
    batch_size: int | None = None


@dataclasses.dataclass(frozen=True)
class JoinConfig:
    """Joins runs that differ only in their seeds into a new run of all of them.

    Attributes:
        runs: the runs' folders; the runs are joined in the order of their first seeds.
        name: name of the new run folder under runs/; by default environment and time.
        out: path of the run folder, in place of a name.
        env: package.module:function, if the environment is custom.
    """

    runs: Positional[tuple[Path, ...]]
    name: str | None = None
    out: Path | None = None
    env: str | None = None


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Plays episodes with the newest policies of a run.

    Attributes:
        run: the run's folder.
        num_episodes: number of episodes of each seed.
        sampled: sample actions from the policy; by default, take the most probable ones.
        seed: seed of the episodes.
        out: a folder for evaluation.json and evaluation.npz; by default the run's.
        env: package.module:function, if the environment is custom.
    """

    run: Positional[Path]
    num_episodes: int = 100
    sampled: bool = False
    seed: int = 0
    out: Path | None = None
    env: str | None = None


@dataclasses.dataclass(frozen=True)
class PlotConfig:
    """Draws runs over each other, with statistics of their differences.

    Attributes:
        runs: the runs' folders.
        format: file format of the pictures.
        out: a folder for the files; by default plots/ in a single run's, or runs/plots-<time>.
        env: package.module:function, if the environment is custom.
    """

    runs: Positional[tuple[Path, ...]]
    format: Literal["png", "svg"] = "png"
    out: Path | None = None
    env: str | None = None


@dataclasses.dataclass(frozen=True)
class ReplayConfig(EvaluateConfig):
    """Writes a page that plays episodes of the newest policies of a run.

    Attributes:
        seeds: seeds of the run; by default the first eight.
        out: a folder for replay.html; by default the run's.
    """

    num_episodes: int = 2
    seeds: tuple[int, ...] | None = None


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
    """Reads the flags of ``train``; defaults are a preset's, a file's, or a resumed run's."""
    return _parse_used(TrainConfig, "train", flags, _starting_from(flags, "--resume"))


@as_bad_input()
def parse_sweep(flags: Sequence[str]) -> tuple[SweepConfig, TrainConfig]:
    """Reads the flags of ``sweep``: its configuration, and that of every run in it."""
    start = _starting_from(flags)
    names = SweepConfig.__dataclass_fields__.keys() - {"over", "draws", "name", "out"}
    default = SweepConfig(**{name: getattr(start, name) for name in names})
    config: SweepConfig = _parse_used(SweepConfig, "sweep", flags, default)
    return config, dataclasses.replace(start, **{name: getattr(config, name) for name in names})


@as_bad_input()
def parse_compare(flags: Sequence[str]) -> CompareConfig:
    """Reads the flags of ``compare``, which override the settings that suit a method."""
    names = given(flags, "--preset", "--network", "--env", "--resume", "--algorithm")
    if "algorithm" in names:
        raise ValueError("--algorithm is given; give --algorithms, the methods to compare.")
    if "resume" in names:
        default = read_comparison(Path(names["resume"]), names.get("env"))
        if parse(CompareConfig, "compare", flags, default) != default:
            raise ValueError(
                f"resume is {names['resume']!r}, whose settings cannot be changed; leave the other "
                "flags out."
            )
        return default
    default = default_comparison(names.get("preset", "general"), names.get("network"))
    config: CompareConfig = parse(CompareConfig, "compare", flags, default)
    return dataclasses.replace(config, chosen=tuple(sorted(_named_settings(flags))))


def _starting_from(flags: Sequence[str], *others: str) -> TrainConfig:
    names = given(flags, "--preset", "--algorithm", "--network", "--env", "--config", *others)
    env, method, network = map(names.get, ("env", "algorithm", "network"))
    if "resume" in names:
        path = Path(names["resume"])
        return dataclasses.replace(read_run_config(path, "resume", env), resume=path)
    if "config" not in names:
        preset = names.get("preset") or starting_preset(env, method)
        return default_config(preset, method, network)
    for name in sorted(names.keys() - {"env", "config"}):
        raise ValueError(f"--{name} conflicts with --config {names['config']!r}; leave one out.")
    path = Path(names["config"])
    start = read_config(path, env=env)
    seeds = None if given(flags, "--num-seeds", "--seed") else start.seeds
    return dataclasses.replace(start, config=path, seeds=seeds)


def _named_settings(flags: Sequence[str]) -> set[str]:
    """The settings that flags name, such as ``--num-steps 5`` and ``--no-layer-norm``."""
    words = {flag[2:].partition("=")[0].replace("-", "_") for flag in flags if flag[:2] == "--"}
    words |= {word.removeprefix("no_") for word in words}
    return words & (KINDS.keys() - {"method", "network"})


def _parse_used(kind: type[Any], command: str, flags: Sequence[str], default: Any) -> Any:
    """Reads flags, which may only name settings that the algorithm and the network use."""
    config = parse(kind, command, flags, default)
    settings = config.settings
    for name in sorted(_named_settings(flags) & unused_settings(settings)):
        raise ValueError(
            f"--{name.replace('_', '-')} is given, but algorithm {settings.method} with network "
            f"{settings.network} and {settings.optimizer} does not use it; leave it out, or give "
            "another."
        )
    return config


def parse(kind: Any, command: str, flags: Sequence[str], default: Any = None) -> Any:
    """Reads flags into a dataclass; ``default`` has the values of flags that are not given."""
    paragraphs = [str(kind.__doc__).partition("\n\n")[0], f"Example: {EXAMPLES[command]}"]
    if command in ("train", "sweep", "compare") and {"-h", "--help"} & {*flags}:
        import gymnax  # takes seconds

        paragraphs.append(f"Environments: {', '.join(gymnax.registered_envs)}")
    text, program = "\n\n".join(paragraphs), f"a2c-jax {command}"
    given_default = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=program, description=text, args=flags, **given_default, **_OPTIONS)


@_NUMBERS.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    """Reads 1e6 as a whole number, as Python's functions do."""

    def read(texts: list[str]) -> int:
        is_plain = texts[0].lstrip("+-").isdecimal()
        return typed("it", int(texts[0]) if is_plain else float(texts[0]), int)

    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(1, "INT", read, lambda x: type(x) is int, lambda x: [str(x)])


def given(flags: Sequence[str], *names: str) -> dict[str, str]:
    """Reads some flags, if they are given, before the others can be parsed."""
    parser = argparse.ArgumentParser("a2c-jax", add_help=False, allow_abbrev=False)
    for name in names:
        # Like tyro, accept underscores too.
        parser.add_argument(name, "--" + name[2:].replace("-", "_"), default=argparse.SUPPRESS)
    return vars(parser.parse_known_args(flags)[0])
