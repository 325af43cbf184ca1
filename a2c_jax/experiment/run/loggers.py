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
from a2c_jax.experiment.run.log import LOG, Figures, JsonLines, Logger, grouped, position

# What a run's description contains besides settings; the seeds may be thousands.
_NO_HYPERPARAMETERS = {"format", "settings", "about", "seeds", "tensorboard", "wandb"}


class TensorBoard:
    """Scalars and settings in TensorBoard's format, in the run's folder ``tensorboard``."""

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self._open = functools.partial(SummaryWriter, str(folder / "tensorboard"))
        self._settings = hparams(_hyperparameters(description), {"train/episode_return_iqm": 0.0})
        self._writer: Any = None

    def log(self, figures: Figures) -> None:
        """Writes every figure that is not None, and before the first ones the settings."""
        if self._writer is None:
            # A resumed run repeats the steps that a killed process logged after its checkpoint.
            self._writer = self._open(purge_step=position(figures))
            for summary in self._settings:
                self._writer.file_writer.add_summary(summary)
        for tag, value in grouped(figures).items():
            self._writer.add_scalar(tag, value, position(figures))
        self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()


def _hyperparameters(description: Mapping[str, Any]) -> dict[str, int | float | str]:
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

    def log(self, figures: Figures) -> None:
        """Sends every figure that is not None."""
        self._run.log(grouped(figures), step=position(figures))

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


class Guarded:
    """A logger whose failure is reported once and never stops training."""

    def __init__(
        self, name: str, extra: str, make: Callable[[], Logger], report: Callable[[str], None]
    ) -> None:
        self._name, self._report, self._extra = name, report, extra
        self._logger: Logger | None = None
        self._try(lambda: setattr(self, "_logger", make()))

    def log(self, figures: Figures) -> None:
        """Logs, if the logger still works."""
        if (logger := self._logger) is not None:
            self._try(lambda: logger.log(figures))

    def close(self) -> None:
        """Closes the logger, if it still works."""
        if (logger := self._logger) is not None:
            self._try(logger.close)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # training must not stop because of a log
            self._logger = None
            missing = isinstance(error, ImportError)
            remedy = f" (pip install -e '.[{self._extra}]')" if missing else ""
            self._report(f"{self._name} failed: {error}{remedy}. Training continues.")


LOGGERS: dict[str, tuple[str, Callable[[Path, Mapping[str, Any]], Logger]]] = {
    "tensorboard": ("TensorBoard", TensorBoard),
    "wandb": ("Weights & Biases", WeightsAndBiases),
}
"""The loggers beside JSON lines, by the settings and extras that ask for them."""


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
        description: the content of its ``config.json``.
        num_updates: number of updates saved already.
        report: shows a message to the user.

    Raises:
        OSError: if the JSON lines cannot be written.
    """
    loggers: list[Logger] = [JsonLines(folder / LOG, num_updates)]
    for extra, (name, make) in LOGGERS.items():
        if getattr(config, extra):
            start = functools.partial(make, folder, description)
            loggers.append(Guarded(name, extra, start, report))
    return loggers
