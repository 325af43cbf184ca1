"""What is logged of a run, at 100 points or every update, and its log of JSON lines."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from a2c_jax.experiment.files import write_together
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.evaluations import Evaluations
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import Metrics

LOG = "log.jsonl"

Figures = dict[str, float | None]
"""Figures by name: an update, its steps (or episodes) of each seed, and what was measured."""

_POINTS = 100  # of a run
_LOSSES = ("policy_loss", "value_loss", "entropy", "grad_norm", "explained_variance")


def grouped(figures: Figures) -> dict[str, float]:
    """The figures that are not None, by tags in groups: ``train/``, ``loss/``, ``evaluation/``."""
    tags = {}
    for name, value in figures.items():
        kind, _, rest = name.partition("_")
        tag = f"loss/{name}" if name in _LOSSES else f"train/{name}"
        if value is not None:
            tags[f"evaluation/{rest}" if kind == "evaluation" else tag] = value
    return tags


def position(figures: Figures) -> int:
    """Environment steps, or episodes, of each seed."""
    return int(figures.get("steps", figures.get("episodes")) or 0)


class Logger(Protocol):
    """Logs the figures of one point after another."""

    def log(self, figures: Figures) -> None:
        """Logs the figures of a point."""

    def close(self) -> None:
        """Closes the log."""


def chunk_figures(
    job: Job, outcome: Outcome, evaluations: Evaluations, since: int
) -> list[Figures]:
    """The points after ``since``: a hundredth of the run apart, and one at the end of the chunk.

    Each has means over all seeds and over the updates since the point before, and the
    interquartile mean over seeds of their mean returns with its 95 % interval; None where there is
    none.

    Args:
        job: gives the unit of progress.
        outcome: the result of training so far.
        evaluations: the last one is included if it was made after ``since``.
        since: the number of updates logged already.
    """
    apart = max(1, job.num_updates // _POINTS)
    inner = range(since // apart * apart + apart, outcome.num_updates, apart)
    ends = [since, *inner, outcome.num_updates]
    chunks = [
        jax.tree.map(lambda field, a=a, b=b: field[:, a:b], outcome.metrics)
        for a, b in itertools.pairwise(ends)
    ]
    over_seeds = _over_seeds(chunks)
    points: list[Figures] = []
    for end, chunk, estimate in zip(ends[1:], chunks, over_seeds, strict=True):
        figures: Figures = {
            "update": end,
            job.unit: end * job.per_update,
            "train_seconds": outcome.train_seconds,
        }
        points.append({**figures, **_means(chunk), **estimate})
    if len(evaluations.updates) and evaluations.updates[-1] > since:
        points[-1]["evaluation_return"] = float(np.mean(evaluations.returns[:, -1]))
        points[-1]["evaluation_length"] = float(np.mean(evaluations.lengths[:, -1]))
    return points


def _means(chunk: Metrics) -> Figures:
    episodes = float(np.sum(chunk.episode_count))
    figures: Figures = {
        "finished_episodes": episodes,
        "diverged_seeds": float((~finite_seeds(chunk)).sum()),
        "episode_return": _mean(np.sum(chunk.episode_return_sum), episodes),
        "episode_length": _mean(np.sum(chunk.episode_length_sum), episodes),
    }
    for name in _LOSSES:
        figures[name] = _known(np.mean(np.asarray(getattr(chunk, name)), dtype=np.float64))
    return figures


def _over_seeds(chunks: Sequence[Metrics]) -> list[Figures]:
    """The interquartile mean over seeds and its interval, at each point."""
    counts, sums = (
        np.stack([np.sum(getattr(chunk, name), axis=1) for chunk in chunks], axis=1)
        for name in ("episode_count", "episode_return_sum")
    )
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
    return [dict(zip(names, map(_known, each), strict=True)) for each in estimates.T]


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(total: Any, number: float) -> float | None:
    return float(total) / number if number else None


class JsonLines:
    """Writes a JSON object in one line for each point; an error stops the run."""

    def __init__(self, path: Path, num_updates: int) -> None:
        """Opens the log, and drops lines of updates that will be repeated."""
        kept = "".join(json.dumps(line) + "\n" for line in read_log(path, num_updates))
        write_together(path.parent, {path.name: lambda file: file.write(kept.encode())})
        self._file = path.open("a")

    def log(self, figures: Figures) -> None:
        """Writes a line, and flushes it."""
        self._file.write(json.dumps(figures, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_log(path: Path, num_updates: int) -> list[dict[str, Any]]:
    """Reads the lines of a log up to an update; skips those that a killed process cut short."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    lines = [_parse(line) for line in text.splitlines()]
    return [line for line in lines if line.get("update", math.inf) <= num_updates]


def _parse(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
