"""Configurations of the smaller commands: sweep, join, evaluate, plot and replay."""

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from a2c_jax.experiment.config import TaskConfig


@dataclasses.dataclass(frozen=True)
class SweepConfig(TaskConfig):
    """Trains seeds at many settings in one program; writes a table, a heat map, the best settings.

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
