"""A run on disk: one folder with the configuration, metrics, summary and figure.

``config.json``
    every setting, the seeds, versions and device.
``metrics.npz``
    ``seeds [S]``, ``steps [U]`` and every field of :class:`a2c_jax.Metrics`, ``[S, U]``.
``summary.json``
    what :func:`a2c_jax.experiment.statistics.summarize` gives, and the timings.
``learning_curve.png``
    the figure.
"""

import contextlib
import dataclasses
import datetime
import functools
import importlib.metadata
import itertools
import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from a2c_jax.experiment.config import Job, TrainConfig
from a2c_jax.experiment.plotting import draw_learning_curve
from a2c_jax.experiment.statistics import solved_threshold, summarize
from a2c_jax.experiment.training import Outcome
from a2c_jax.metrics import learning_curve
from a2c_jax.parallel import seed_layout

FORMAT = 1
_PACKAGES = ("a2c_jax", "jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy")


@contextlib.contextmanager
def open_folder(config: TrainConfig) -> Iterator[Path]:
    """Claims the run's folder, and takes it away again if nothing was written to it.

    It is ``out``, or ``runs/<env>-<preset>-<timestamp>``.

    Raises:
        ValueError: if the folder holds something, another run included, and is not to be
            overwritten; or if it cannot be written to.
    """
    folder = config.out or _new_name(config)
    existed = os.path.isdir(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not config.overwrite:
            raise ValueError(
                f"out is {str(folder)!r}, which is not empty; give another folder, or "
                "--overwrite to replace the run in it."
            )
        # While it stands there, the folder is not empty for any other run.
        claim = tempfile.NamedTemporaryFile(dir=folder, prefix=".running-")  # noqa: SIM115
    except FileExistsError as error:
        raise ValueError(f"out is {str(folder)!r}, which is a file; give a folder.") from error
    except OSError as error:
        raise ValueError(
            f"out is {str(folder)!r}, which cannot be written to ({error.strerror}); give "
            "another folder."
        ) from error
    try:
        with claim:
            yield folder
    finally:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def _new_name(config: TrainConfig) -> Path:
    timestamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{config.env}-{config.preset}-{timestamp}"
    names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    return next(path for path in map(Path("runs").joinpath, names) if not path.exists())


def write_run(
    folder: Path, config: TrainConfig, description: dict[str, Any], job: Job, outcome: Outcome
) -> dict[str, Any]:
    """Writes all of a run's files: first beside their places, then, all done, into them.

    Args:
        folder: from :func:`open_folder`.
        config: what the run was told.
        description: from :func:`describe_config`.
        job: what that came to.
        outcome: and what was trained.

    Returns:
        The summary.
    """
    threshold = solved_threshold(job.env)
    summary = describe_outcome(job, outcome)
    num_points = _num_points(config, job, outcome)
    steps, returns = learning_curve(outcome.metrics, job.algorithm, num_points)
    title = f"{job.env.name}, preset {config.preset}"
    files: dict[str, Callable[[BinaryIO], None]] = {
        "config.json": lambda file: _write_json(file, description),
        "metrics.npz": lambda file: np.savez_compressed(file, **_arrays(job, outcome)),
        "summary.json": lambda file: _write_json(file, summary),
        "learning_curve.png": lambda file: draw_learning_curve(
            file, steps, returns, title=title, threshold=threshold
        ),
    }
    _write_together(folder, files)
    return summary


def describe_config(config: TrainConfig, job: Job) -> dict[str, Any]:
    """Every setting, the seeds, versions and device, as JSON can hold them."""
    layout = seed_layout(job.keys, config.batch_size)
    settings = dataclasses.asdict(config.settings)
    for function in ("network", "optimizer"):
        settings[function] = _describe_function(settings[function])
    if math.isinf(settings["max_grad_norm"]):
        settings["max_grad_norm"] = None
    return {
        "format": FORMAT,
        "preset": config.preset,
        "settings": settings,
        "env": config.env,
        "max_episode_steps": job.env.max_episode_steps,
        "seeds": list(job.seeds),
        "batch_size": layout.batch_size,
        "num_updates": job.num_updates,
        "steps_per_seed": job.steps_per_seed,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "device": {
            "platform": layout.devices[0].platform,
            "kind": layout.devices[0].device_kind,
            "count": len(layout.devices),
        },
    }


def _describe_function(function: Any) -> Any:
    if isinstance(function, functools.partial):
        return {"name": function.func.__name__, **function.keywords}
    return {"name": function.__name__}


def describe_outcome(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The statistics of a run, and how long it took."""
    per_update = job.algorithm.steps_per_update
    steps = outcome.num_updates * per_update
    return {
        **summarize(outcome.metrics, per_update, solved_threshold(job.env)),
        "finished": outcome.num_updates == job.num_updates,
        "num_updates": outcome.num_updates,
        "steps_per_seed": steps,
        "compile_seconds": outcome.compile_seconds,
        "train_seconds": outcome.train_seconds,
        "steps_per_second": steps * len(job.seeds) / outcome.train_seconds,
    }


def _num_points(config: TrainConfig, job: Job, outcome: Outcome) -> int:
    # In as many steps as its time limit, every environment finishes an episode: with so
    # many points, or 20 in a short run, few stretches of the curve are empty.
    steps = outcome.num_updates * job.algorithm.steps_per_update
    longest = job.env.max_episode_steps * config.settings.num_envs
    return max(20, min(100, steps // longest))


def _arrays(job: Job, outcome: Outcome) -> dict[str, Any]:
    updates = np.arange(1, outcome.num_updates + 1)
    return {
        "seeds": np.asarray(job.seeds),
        "steps": updates * job.algorithm.steps_per_update,
        **outcome.metrics._asdict(),
    }


def _write_json(file: BinaryIO, content: dict[str, Any]) -> None:
    file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _write_together(folder: Path, files: dict[str, Callable[[BinaryIO], None]]) -> None:
    staged: dict[str, Path] = {}
    try:
        for name, write in files.items():
            staged[name] = folder / f".{name}.part"
            with staged[name].open("wb") as file:
                write(file)
        for name, part in staged.items():
            os.replace(part, folder / name)
    finally:
        for part in staged.values():
            part.unlink(missing_ok=True)
