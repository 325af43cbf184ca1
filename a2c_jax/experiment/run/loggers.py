"""The loggers of a run: JSON lines, TensorBoard and Weights & Biases."""

import functools
import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.files import json_writer, read_json, write_together
from a2c_jax.experiment.run.log import LOG, Figures, JsonLines, tagged

_Description = Mapping[str, Any]
_Report = Callable[[str], None]

# What a run's description contains besides settings; the seeds may be thousands.
_NO_HYPERPARAMETERS = {"format", "settings", "about", "seeds", "tensorboard", "wandb"}


class TensorBoard:
    """Scalars and settings in TensorBoard's format, in the run's folder ``tensorboard``."""

    def __init__(self, folder: Path, description: _Description) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self._open = functools.partial(SummaryWriter, str(folder / "tensorboard"))
        self._settings = hparams(_hyperparameters(description), {"train/episode_return_iqm": 0.0})
        self._writer: Any = None

    def log(self, figures: Figures) -> None:
        """Writes every figure that is not None, and before the first ones the settings."""
        tags, step = tagged(figures)
        if self._writer is None:
            # A resumed run repeats the steps that a killed process logged after its checkpoint.
            self._writer = self._open(purge_step=step)
            for summary in self._settings:
                self._writer.file_writer.add_summary(summary)
        for tag, value in tags.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()


def _hyperparameters(description: _Description) -> dict[str, int | float | str]:
    """The settings as numbers and text; what a setting consists of is ``optimizer.name``."""
    settings = {**description, **description.get("settings", {})}
    kept = {name: each for name, each in settings.items() if name not in _NO_HYPERPARAMETERS}
    return {
        name: value if isinstance(value, int | float | str) else json.dumps(value)
        for name, value in flatten_dict(kept, sep=".").items()
        if value is not None
    }


class WeightsAndBiases:
    """Logs to Weights & Biases, as a run named like the folder, in the project ``a2c_jax``.

    A resumed run continues in the same one, whose number is kept in ``wandb/id.json``.
    """

    def __init__(self, folder: Path, description: _Description) -> None:
        import wandb

        known = folder / "wandb" / "id.json"
        if not known.is_file():
            write_together(known.parent, {known.name: json_writer({"id": secrets.token_hex(8)})})
        self._run = wandb.init(
            project="a2c_jax", name=folder.name, dir=str(folder), config=dict(description),
            id=read_json(known, "wandb")["id"], resume="allow",
        )  # fmt: skip
        self.close: Callable[[], None] = self._run.finish

    def log(self, figures: Figures) -> None:
        """Sends every figure that is not None."""
        tags, step = tagged(figures)
        self._run.log(tags, step=step)


class Guarded:
    """A logger whose failure is reported once and never stops training."""

    def __init__(self, name: str, extra: str, make: Callable[[], Any], report: _Report) -> None:
        self._name, self._extra, self._report = name, extra, report
        self._logger = self._try(make)

    def log(self, figures: Figures) -> None:
        """Logs, if the logger still works."""
        self._try(lambda: self._logger and self._logger.log(figures))

    def close(self) -> None:
        """Closes the logger, if it still works."""
        self._try(lambda: self._logger and self._logger.close())

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # training must not stop because of a log
            self._logger = None
            hint = f" (pip install -e '.[{self._extra}]')" if isinstance(error, ImportError) else ""
            self._report(f"{self._name} failed: {error}{hint}. Training continues.")


def open_loggers(
    config: TrainConfig, folder: Path, description: _Description, num_updates: int, report: _Report
) -> list[JsonLines | Guarded]:
    """The loggers of a run with ``num_updates`` saved; OSError if JSON lines cannot be written."""
    loggers: list[JsonLines | Guarded] = [JsonLines(folder / LOG, num_updates)]
    if config.tensorboard:
        start = functools.partial(TensorBoard, folder, description)
        loggers.append(Guarded("TensorBoard", "tensorboard", start, report))
    if config.wandb:
        begin = functools.partial(WeightsAndBiases, folder, description)
        loggers.append(Guarded("Weights & Biases", "wandb", begin, report))
    return loggers
