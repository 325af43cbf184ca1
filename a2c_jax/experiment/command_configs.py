"""What the smaller commands are told: flags of ``sweep``, ``evaluate``, ``plot``, ``replay``."""

import dataclasses
from pathlib import Path
from typing import Generic, Literal

from tyro.conf import Positional

from a2c_jax.experiment.config import MethodName, PresetName, SettingsT


@dataclasses.dataclass(frozen=True)
class SweepConfig(Generic[SettingsT]):
    """Trains many seeds at many settings in one program; a table, a heat map, the best settings.

    Attributes:
        settings: single settings of the preset, to be changed for all points.
        over: what is swept, a text for each setting: NAME=VALUE,VALUE,… or a range
            NAME=LOW:HIGH:NUMBER, or NAME=LOW:HIGH:NUMBER:log; with --draws a range to draw from,
            NAME=LOW:HIGH or NAME=LOW:HIGH:log.
        draws: try so many random draws instead of every combination.
        preset: the settings to start from.
        algorithm: the method; by default the preset's own.
        config: a JSON file to start from instead of a preset.
        env: name of a gymnax environment.
        max_episode_steps: time limit in steps; by default the environment's own.
        num_seeds: how many seeds at each point, counting up from the first.
        seed: the first seed, and the seed of the draws.
        batch_size: runs that one call of the program trains on a device.
        name: of the new folder under runs/.
        out: the folder, wherever it is.
        overwrite: replace the files of the sweep in that folder, and no others.
    """

    settings: SettingsT
    over: tuple[str, ...]
    draws: int | None = None
    preset: PresetName = "default"
    algorithm: MethodName | None = None
    config: Path | None = None
    env: str = "CartPole-v1"
    max_episode_steps: int | None = None
    num_seeds: int = 16
    seed: int = 0
    batch_size: int | None = None
    name: str | None = None
    out: Path | None = None
    overwrite: bool = False


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
    """Draws runs over each other, and tells the statistics between them.

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
        gif: write replay.gif of the first seed too; of CartPole only.
        out: a folder for replay.html; by default the run's.
    """

    run: Positional[Path]
    seeds: tuple[int, ...] | None = None
    num_episodes: int = 2
    sampled: bool = False
    seed: int = 0
    gif: bool = False
    out: Path | None = None
