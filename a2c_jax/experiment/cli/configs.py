"""Configurations of the smaller commands: sweep, join, evaluate, plot and replay."""

import dataclasses
from pathlib import Path
from typing import Generic, Literal

from tyro.conf import Positional

from a2c_jax.experiment.config.config import MethodName, SettingsT, TaskConfig


@dataclasses.dataclass(frozen=True)
class SweepConfig(TaskConfig[SettingsT], Generic[SettingsT]):
    """Trains many seeds at many settings in one program; a table, a heat map, the best settings.

    Attributes:
        over: what is swept, a text for each setting: NAME=VALUE,VALUE,… or a range
            NAME=LOW:HIGH:NUMBER, or NAME=LOW:HIGH:NUMBER:log; with --draws a range to draw from,
            NAME=LOW:HIGH or NAME=LOW:HIGH:log.
        draws: try so many random draws, of the seed, instead of every combination.
        algorithm: the method; by default the preset's own.
        config: a JSON file to start from instead of a preset.
        batch_size: runs that one call of the program trains on a device.
    """

    over: tuple[str, ...] = ()
    draws: int | None = None
    algorithm: MethodName | None = None
    config: Path | None = None
    batch_size: int | None = None


@dataclasses.dataclass(frozen=True)
class JoinConfig:
    """Joins runs that differ only in their seeds into a new run of all of them.

    Attributes:
        runs: the runs' folders; the joined run has their seeds in this order.
        name: of the new run folder under runs/; by default environment and time.
        out: the run folder, wherever it is.
    """

    runs: Positional[tuple[Path, ...]]
    name: str | None = None
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Plays episodes with the newest policies of a run.

    Attributes:
        run: the run's folder.
        num_episodes: of each seed.
        sampled: sample the actions; by default the most probable one is taken.
        seed: of the episodes.
        out: a folder for evaluation.json and evaluation.npz; by default the run's.
    """

    run: Positional[Path]
    num_episodes: int = 100
    sampled: bool = False
    seed: int = 0
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class PlotConfig:
    """Draws runs over each other, with statistics of their differences.

    Attributes:
        runs: the runs' folders.
        format: of the pictures.
        out: a folder for the pictures and statistics.json; by default plots/ in the run's folder,
            and runs/plots-<time> for several.
    """

    runs: Positional[tuple[Path, ...]]
    format: Literal["png", "svg"] = "png"
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Writes a page that plays episodes of the newest policies of a run.

    Attributes:
        run: the run's folder.
        seeds: which of its seeds; by default the first eight.
        num_episodes: of each.
        sampled: sample the actions; by default the most probable one is taken.
        seed: of the episodes.
        out: a folder for replay.html; by default the run's.
    """

    run: Positional[Path]
    seeds: tuple[int, ...] | None = None
    num_episodes: int = 2
    sampled: bool = False
    seed: int = 0
    out: Path | None = None
