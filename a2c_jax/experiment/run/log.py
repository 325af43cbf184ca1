"""What is logged of a run, at 100 points or every update, and its log of JSON lines."""

import contextlib
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

_LOSSES = ("policy_loss", "value_loss", "entropy", "grad_norm", "explained_variance")


def tagged(figures: Figures) -> tuple[dict[str, float], int]:
    """The figures that are not None, by tags in groups, and the steps (episodes) of each seed."""
    tags = {}
    for name, value in figures.items():
        tag = f"loss/{name}" if name in _LOSSES else f"train/{name}"
        if value is not None:
            tags[tag.replace("train/evaluation_", "evaluation/")] = value
    return tags, int(figures.get("steps", figures.get("episodes")) or 0)


def chunk_figures(
    job: Job, outcome: Outcome, evaluations: Evaluations, since: int
) -> list[Figures]:
    """The points after update ``since``: a hundredth of the run apart, and the end of the chunk.

    Each has means over all seeds and over the updates since the point before, and the
    interquartile mean over seeds of their mean returns with its 95 % interval; None where there is
    none. The last evaluation is included if it was made after ``since``.
    """
    apart = max(1, job.num_updates // 100)
    inner = range(since // apart * apart + apart, outcome.num_updates, apart)
    ends = [since, *inner, outcome.num_updates]
    chunks = [
        jax.tree.map(lambda field, a=a, b=b: field[:, a:b], outcome.metrics)
        for a, b in itertools.pairwise(ends)
    ]
    known = {"train_seconds": outcome.train_seconds}
    points: list[Figures] = [
        {"update": end, job.unit: end * job.per_update, **known, **_means(chunk), **estimate}
        for end, chunk, estimate in zip(ends[1:], chunks, _over_seeds(chunks), strict=True)
    ]
    if max(evaluations.updates, default=0) > since:
        points[-1]["evaluation_return"] = float(np.mean(evaluations.returns[:, -1]))
        points[-1]["evaluation_length"] = float(np.mean(evaluations.lengths[:, -1]))
    return points


def _means(chunk: Metrics) -> Figures:
    """Means over all seeds and updates; None where there are none."""
    episodes = float(np.sum(chunk.episode_count))
    sums = {"episode_return": chunk.episode_return_sum, "episode_length": chunk.episode_length_sum}
    return {
        "finished_episodes": episodes,
        "diverged_seeds": float((~finite_seeds(chunk)).sum()),
        **{name: _known(float(np.sum(x)) / (episodes or math.nan)) for name, x in sums.items()},
        **{name: _known(np.mean(getattr(chunk, name), dtype=np.float64)) for name in _LOSSES},
    }


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
    names = [f"episode_return_{name}" for name in ("iqm", "low", "high")]
    return [dict(zip(names, map(_known, each), strict=True)) for each in estimates.T]


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


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
