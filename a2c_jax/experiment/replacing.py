"""The files of a run in its folder: removed, or moved aside until there is something newer."""

import shutil
from pathlib import Path

from a2c_jax.experiment import checkpoints
from a2c_jax.experiment.runs import CONFIG, SHARDS

ASIDE = ".replaced"
SHARDS_PART = f".{SHARDS}.part"  # being cut, or joined already
_FILES = (
    # The configuration before the checkpoints: without one, nothing half removed is resumed.
    "summary.json", "metrics.npz", "learning_curve.png", "rewards.png", "lengths.png", "log.jsonl",
    "evaluation.json", "evaluation.npz", "replay.html", "replay.gif", "plots", "tensorboard",
    "wandb", CONFIG, checkpoints.FOLDER, SHARDS,
)  # fmt: skip


def remove_run(folder: Path) -> None:
    """Removes the files of a run, and no others."""
    for path in _files_of_run(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def set_aside(folder: Path) -> None:
    """Moves the run in a folder aside until there is something of the new one to keep."""
    begun = [*folder.glob(checkpoints.FOLDER), *folder.glob(f"{SHARDS}/*/{checkpoints.FOLDER}/*")]
    if (folder / ASIDE).is_dir() and not begun:
        # The one before was killed with nothing saved: the run to keep is still the older one.
        remove_run(folder)
        put_back(folder)
    drop_aside(folder)
    (folder / ASIDE).mkdir()
    try:
        for path in _files_of_run(folder):
            path.rename(folder / ASIDE / path.name)
    except OSError:
        put_back(folder)
        raise


def put_back(folder: Path) -> None:
    """Moves what was set aside to where it was."""
    if (folder / ASIDE).is_dir():
        for path in (folder / ASIDE).iterdir():
            path.rename(folder / path.name)
        (folder / ASIDE).rmdir()


def drop_aside(folder: Path) -> None:
    """Removes what was set aside, and shards that have been joined: there is something newer."""
    for name in (ASIDE, SHARDS_PART):
        shutil.rmtree(folder / name, ignore_errors=True)


def _files_of_run(folder: Path) -> list[Path]:
    return [folder / name for name in _FILES if (folder / name).exists()]
