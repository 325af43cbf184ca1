"""Logs the figures of each chunk as JSON lines, to TensorBoard and to Weights & Biases."""

import json
import math
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from a2c_jax.experiment.config.config import TrainConfig
from a2c_jax.experiment.files import json_writer, read_json, write_together
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.evaluation import Evaluations
from a2c_jax.experiment.run.job import Job
from a2c_jax.metrics import finite_seeds

LOG = "log.jsonl"

Figures = dict[str, float | None]


class Logger(Protocol):
    """Logs the figures of one chunk after another."""

    def log(self, steps: int, figures: Mapping[str, float | None]) -> None:
        """Logs figures after a number of environment steps, or episodes, of each seed."""

    def close(self) -> None:
        """Closes the log."""


def chunk_figures(job: Job, outcome: Outcome, evaluations: Evaluations, since: int) -> Figures:
    """Means over all seeds and over the updates after ``since``; None where there is none.

    Args:
        job: gives the unit of progress.
        outcome: the result of training so far.
        evaluations: the last one is included if it was made after ``since``.
        since: the number of updates logged already.
    """
    chunk = jax.tree.map(lambda field: field[:, since:], outcome.metrics)
    episodes = float(np.sum(chunk.episode_count))
    figures: Figures = {
        "update": outcome.num_updates,
        job.unit: outcome.num_updates * job.per_update,
        "train_seconds": outcome.train_seconds,
        "episodes": episodes,
        "diverged_seeds": float((~finite_seeds(chunk)).sum()),
        "episode_return": _mean(np.sum(chunk.episode_return_sum), episodes),
        "episode_length": _mean(np.sum(chunk.episode_length_sum), episodes),
    }
    for name in ("policy_loss", "value_loss", "entropy", "grad_norm", "explained_variance"):
        value = float(np.mean(np.asarray(getattr(chunk, name)), dtype=np.float64))
        figures[name] = value if np.isfinite(value) else None
    if len(evaluations.updates) and evaluations.updates[-1] > since:
        figures["evaluation_return"] = float(np.mean(evaluations.returns[:, -1]))
        figures["evaluation_length"] = float(np.mean(evaluations.lengths[:, -1]))
    return figures


def _mean(total: Any, number: float) -> float | None:
    return float(total) / number if number else None


class JsonLines:
    """Writes a JSON object in one line for each chunk; an error stops the run."""

    def __init__(self, path: Path, num_updates: int) -> None:
        """Opens the log, and drops lines of updates that will be repeated."""
        kept = "".join(json.dumps(line) + "\n" for line in read_log(path, num_updates))
        write_together(path.parent, {path.name: lambda file: file.write(kept.encode())})
        self._file = path.open("a")

    def log(self, steps: int, figures: Mapping[str, float | None]) -> None:
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


class TensorBoard:
    """Scalars in TensorBoard's format, in the run's folder ``tensorboard``."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, steps: int, figures: Mapping[str, float | None]) -> None:
        """Writes every figure that is not None."""
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, steps)
        self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self._writer.close()


class WeightsAndBiases:
    """Logs to Weights & Biases, as a run named like the folder, in the project ``a2c_jax``.

    A resumed run continues in the same one, whose number is kept in ``wandb/id.json``.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        import wandb

        known = folder / "wandb" / "id.json"
        if known.is_file():
            number = read_json(known, "wandb")["id"]
        else:
            number = secrets.token_hex(8)
            write_together(known.parent, {known.name: json_writer({"id": number})})
        self._run = wandb.init(
            project="a2c_jax", name=folder.name, dir=str(folder), config=dict(description),
            id=number, resume="allow",
        )  # fmt: skip

    def log(self, steps: int, figures: Mapping[str, float | None]) -> None:
        """Sends every figure that is not None."""
        self._run.log({name: value for name, value in figures.items() if value is not None})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


class Guarded:
    """A logger whose failure is reported once and never stops training."""

    def __init__(
        self, name: str, make: Callable[[], Logger], report: Callable[[str], None], extra: str = ""
    ) -> None:
        self._name, self._report, self._extra = name, report, extra
        self._logger: Logger | None = None
        self._try(lambda: setattr(self, "_logger", make()))

    def log(self, steps: int, figures: Mapping[str, float | None]) -> None:
        """Logs, if the logger still works."""
        if (logger := self._logger) is not None:
            self._try(lambda: logger.log(steps, figures))

    def close(self) -> None:
        """Closes the logger, if it still works."""
        if (logger := self._logger) is not None:
            self._try(logger.close)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # training must not stop because of a log
            self._logger = None
            missing = isinstance(error, ImportError) and self._extra
            remedy = f" (pip install -e '.[{self._extra}]')" if missing else ""
            self._report(f"{self._name} failed: {error}{remedy}. Training continues.")


def open_loggers(
    config: TrainConfig,
    folder: Path,
    description: Mapping[str, Any],
    num_updates: int,
    report: Callable[[str], None],
) -> list[Logger]:
    """The loggers that a configuration asks for.

    Args:
        config: of the run.
        folder: of the run.
        description: from :func:`describe_config`.
        num_updates: number of updates saved already.
        report: shows a message to the user.

    Raises:
        OSError: if the JSON lines cannot be written.
    """
    loggers: list[Logger] = [JsonLines(folder / LOG, num_updates)]
    if config.tensorboard:
        loggers.append(Guarded("TensorBoard", lambda: TensorBoard(folder), report, "tensorboard"))
    if config.wandb:
        loggers.append(
            Guarded(
                "Weights & Biases", lambda: WeightsAndBiases(folder, description), report, "wandb"
            )
        )
    return loggers
