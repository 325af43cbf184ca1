"""Flags of the command line, read into configurations."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from a2c_jax.experiment import comparison
from a2c_jax.experiment.comparison import CompareConfig
from a2c_jax.experiment.config import TrainConfig, default_config, with_method
from a2c_jax.experiment.config_files import read_config
from a2c_jax.experiment.runs import read_run_config
from a2c_jax.presets import Preset


def parse_train(flags: Sequence[str]) -> TrainConfig:
    """Reads the flags of ``train``.

    The preset and the algorithm give the defaults of the others, or a configuration file does,
    or the run that is to be resumed.

    Raises:
        ValueError: if there is no such preset, algorithm, file or run.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    default = _default_training(given(flags, "--preset", "--algorithm", "--config", "--resume"))
    return parse(TrainConfig[type(default.settings)], default, "train", flags)  # type: ignore[misc]


def _default_training(names: dict[str, str | None]) -> TrainConfig:
    if names["resume"] is not None:
        path = Path(names["resume"])
        return dataclasses.replace(read_run_config(path, "resume"), resume=path)
    if names["config"] is None:
        return default_config(names["preset"] or "default", names["algorithm"])
    for name in ("preset", "algorithm"):
        if names[name] is not None:
            raise ValueError(
                f"{name} is {names[name]!r}, but config {names['config']!r} has one already; leave "
                f"--{name} out, or change it in the file."
            )
    path = Path(names["config"])
    return dataclasses.replace(read_config(path), config=path)


def parse_compare(flags: Sequence[str]) -> tuple[CompareConfig, dict[str, Preset]]:
    """Reads the flags of ``compare``: the configuration, and the settings of each method.

    The preset gives the defaults, a method's own settings come before them, and a flag before
    both.

    Raises:
        ValueError: if there is no such preset or method.
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    default = comparison.default_comparison(given(flags, "--preset")["preset"] or "default")
    config: CompareConfig = parse(CompareConfig, default, "compare", flags)
    suited = {}
    for name in config.algorithms:
        own = dataclasses.replace(default, settings=with_method(default.settings, name))
        suited[name] = parse(CompareConfig, own, "compare", flags).settings
    return config, suited


def parse(kind: Any, default: Any, command: str, flags: Sequence[str]) -> Any:
    """Reads flags into a dataclass of a kind, where a default says what is not given.

    Raises:
        SystemExit: with 2, as argparse does, if a flag is unknown or of the wrong type.
    """
    return tyro.cli(
        kind,
        args=flags,
        default=default,
        prog=f"a2c-jax {command}",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
    )


def given(flags: Sequence[str], *names: str) -> dict[str, str | None]:
    """What some flags are, before the others can be read; None where one is not given."""
    parser = argparse.ArgumentParser("a2c-jax", add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(name, default=None)
    return vars(parser.parse_known_args(flags)[0])
