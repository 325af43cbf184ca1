"""What is logged of a run, and its loggers: JSON lines, TensorBoard and Weights & Biases."""

import contextlib
import functools
import itertools
import json
import math
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.files import json_writer, read_json, write_together
from a2c_jax.experiment.run.engine import Evaluations, Outcome
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.metrics import AVERAGED, finite_seeds
from a2c_jax.types import Metrics

LOG = "log.jsonl"

Figures = dict[str, float | None]
"""Figures by name: an update, its steps (or episodes) of each seed, and what was measured."""
_Report = Callable[[str], None]

_SUMS = ("episode_count", "episode_return_sum", "episode_length_sum")
# What a run's description contains besides settings; the seeds may be thousands.
_NO_HYPERPARAMETERS = {"format", "settings", "about", "seeds", "tensorboard", "wandb"}


def chunk_figures(
    job: Job, outcome: Outcome, evaluations: Evaluations, since: int
) -> list[Figures]:
    """The points after update ``since``: a hundredth of the run apart, and the end of the chunk.

    Each has means over all seeds and the updates since the point before, and the interquartile mean
    over seeds of their mean returns with its 95 % interval; None where there is none.
    """
    apart = max(1, job.num_updates // 100)
    inner = range(since // apart * apart + apart, outcome.num_updates, apart)
    parts = list(itertools.pairwise([since, *inner, outcome.num_updates]))
    chunks = [Metrics(*(field[:, a:b] for field in outcome.metrics)) for a, b in parts]
    seconds = {"train_seconds": outcome.train_seconds}
    points: list[dict[str, float]] = [
        {"update": end, job.unit: end * job.per_update, **seconds, **_means(chunk), **estimate}
        for (_, end), chunk, estimate in zip(parts, chunks, _over_seeds(chunks), strict=True)
    ]
    if max(evaluations.updates, default=0) > since:
        points[-1]["evaluation_return"] = float(np.mean(evaluations.returns[:, -1]))
        points[-1]["evaluation_length"] = float(np.mean(evaluations.lengths[:, -1]))
    return [{n: x if math.isfinite(x) else None for n, x in point.items()} for point in points]


def _means(chunk: Metrics) -> dict[str, float]:
    """Means over all seeds and updates; NaN where there are none."""
    episodes, *sums = (float(np.sum(getattr(chunk, name))) for name in _SUMS)
    return {
        "finished_episodes": episodes,
        "diverged_seeds": float((~finite_seeds(chunk)).sum()),
        "episode_return": sums[0] / (episodes or math.nan),
        "episode_length": sums[1] / (episodes or math.nan),
        **{name: float(np.mean(getattr(chunk, name), dtype=np.float64)) for name in AVERAGED},
    }


def _over_seeds(chunks: Sequence[Metrics]) -> list[dict[str, float]]:
    """The interquartile mean over seeds and its interval, at each point; NaN if there is none."""
    counts = np.stack([np.sum(chunk.episode_count, axis=1) for chunk in chunks], axis=1)
    sums = np.stack([np.sum(chunk.episode_return_sum, axis=1) for chunk in chunks], axis=1)
    with np.errstate(invalid="ignore"):  # a seed without an episode, or one that has diverged
        means = sums / counts
    known, estimates = np.isfinite(means), np.full((3, len(chunks)), np.nan)
    for seeds in np.unique(known, axis=1).T:  # one bootstrap for all points of the same seeds
        points = (known == seeds[:, None]).all(axis=0)
        values = means[np.ix_(seeds, points)]
        if len(values):
            estimates[0, points] = interquartile_mean(values)
        if len(values) > 1:
            # Always 200 would take 11 s in a run of 16,384 seeds.
            resamples = max(40, min(200, 200_000 // len(values)))
            estimates[1:, points] = bootstrap_interval(values, resamples=resamples)
    names = ("episode_return_iqm", "episode_return_low", "episode_return_high")
    return [dict(zip(names, each, strict=True)) for each in estimates.T.tolist()]


def _tagged(figures: Figures) -> tuple[dict[str, float], int]:
    """The figures that are not None, by tags in groups, and the steps (episodes) of each seed."""
    tags = {}
    for name, value in figures.items():
        tag = f"loss/{name}" if name in AVERAGED else f"train/{name}"
        if value is not None:
            tags[tag.replace("train/evaluation_", "evaluation/")] = value
    return tags, int(figures.get("steps", figures.get("episodes")) or 0)


class JsonLines:
    """Appends a JSON object in a line for each point, after dropping lines of later updates."""

    def __init__(self, path: Path, num_updates: int) -> None:
        kept = "".join(json.dumps(line) + "\n" for line in read_log(path, num_updates))
        write_together(path.parent, {path.name: lambda file: file.write(kept.encode())})
        self._file = path.open("a", buffering=1)  # flushed after each line
        self.close = self._file.close

    def log(self, figures: Figures) -> None:
        """Writes a line."""
        self._file.write(json.dumps(figures, allow_nan=False) + "\n")


def read_log(path: Path, num_updates: int) -> list[dict[str, Any]]:
    """Reads the lines of a log up to an update; skips those that a killed process cut short."""
    lines = []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, TypeError, KeyError):  # not JSON, or no object
            if (figures := json.loads(line))["update"] <= num_updates:
                lines.append(figures)
    return lines


class _TensorBoard:
    """Scalars and settings in TensorBoard's format, in the run's folder ``tensorboard``."""

    def __init__(self, folder: Path, description: Any) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self._open = functools.partial(SummaryWriter, str(folder / "tensorboard"))
        settings = {
            name: value if isinstance(value, int | float | str) else json.dumps(value)
            for name, value in {**description, **description.get("settings", {})}.items()
            if value is not None and name not in _NO_HYPERPARAMETERS
        }
        self._settings = hparams(settings, {"train/episode_return_iqm": 0.0})
        self._writer: Any = None

    def log(self, tags: dict[str, float], step: int) -> None:
        if self._writer is None:
            # A resumed run repeats the steps that a killed process logged after its checkpoint.
            self._writer = self._open(purge_step=step)
            for summary in self._settings:
                self._writer.file_writer.add_summary(summary)
        for tag, value in tags.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _weights_and_biases(folder: Path, description: Any) -> Any:
    """A run named like the folder; a resumed one continues in that of ``wandb/id.json``."""
    import wandb

    known = folder / "wandb" / "id.json"
    if not known.is_file():
        write_together(known.parent, {known.name: json_writer({"id": secrets.token_hex(8)})})
    return wandb.init(
        project="a2c_jax", name=folder.name, dir=str(folder), config=dict(description),
        id=read_json(known, "wandb")["id"], resume="allow",
    )  # fmt: skip


_EXTRAS: dict[str, tuple[str, Callable[..., Any]]] = {
    "tensorboard": ("TensorBoard", _TensorBoard),
    "wandb": ("Weights & Biases", _weights_and_biases),
}


class Guarded:
    """The logger of an extra, whose failure is reported once and never stops training."""

    def __init__(self, extra: str, folder: Path, description: Any, report: _Report) -> None:
        self._extra, self._report = extra, report
        self._logger = self._try(lambda: _EXTRAS[extra][1](folder, description))

    def log(self, figures: Figures) -> None:
        """Logs every figure that is not None, if the logger still works."""
        tags, step = _tagged(figures)
        self._try(lambda: self._logger and self._logger.log(tags, step=step))

    def close(self) -> None:
        """Closes the logger, if it still works."""
        self._try(lambda: self._logger and self._logger.finish())

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # training must not stop because of a log
            self._logger = None
            hint = f" (pip install -e '.[{self._extra}]')" if isinstance(error, ImportError) else ""
            self._report(f"{_EXTRAS[self._extra][0]} failed: {error}{hint}. Training continues.")


def open_loggers(
    config: TrainConfig, folder: Path, description: Any, num_updates: int, report: _Report
) -> list[JsonLines | Guarded]:
    """The loggers of a run with ``num_updates`` saved; OSError if JSON lines cannot be written."""
    extras = [extra for extra in _EXTRAS if getattr(config, extra)]
    lines = JsonLines(folder / LOG, num_updates)
    return [lines, *(Guarded(extra, folder, description, report) for extra in extras)]
