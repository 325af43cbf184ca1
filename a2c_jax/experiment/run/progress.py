"""Progress of a run on the screen."""

import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeRemainingColumn

from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics import learning
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import Metrics

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_FIGURES_SHARE = 0.05  # largest share of the time that computing figures may take


class Reporter(Progress):
    """Shows a bar on a terminal, and a line every ten seconds elsewhere."""

    def __init__(self, console: Console, job: Job, num_updates: int = 0) -> None:
        """Begins after a number of updates, which are not shown again."""
        super().__init__(
            "{task.fields[steps]}", BarColumn(bar_width=10), "{task.fields[figures]}",
            TimeRemainingColumn(compact=True), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self.add_task("", total=job.num_updates, steps="compiling …", figures="")
        self._job, self._shown, self._last_line = job, num_updates, time.monotonic()
        self._figures, self._figures_due = "", 0.0

    def report(self, outcome: Outcome) -> None:
        """Shows the progress of training; to be called after every chunk."""
        job, done, number = self._job, outcome.num_updates, len(self._job.seeds)
        reached, total = _short(done * job.per_update), _short(job.units_per_seed)
        steps, before = f"{reached}/{total} {job.unit} × {number}", self._shown
        self._shown = done
        if done == before:  # nothing is trained yet
            self.reset(self._task, completed=done, steps=steps, figures="")
            self.console.print(f"Compiled in {outcome.compile_seconds:.1f} s.")
            return
        if (start := time.monotonic()) >= self._figures_due:
            self._figures = ", ".join(_figures(job, outcome))
            end = time.monotonic()
            self._figures_due = end + (end - start) / _FIGURES_SHARE
        self.update(self._task, completed=done, steps=steps, figures=self._figures)
        if job.unit == "episodes" and number == 1:
            for line in episode_lines(outcome.metrics, before):
                self.console.print(line)
        elif not self.console.is_terminal and time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(f"{steps}, {self._figures}")


def episode_lines(metrics: Metrics, first: int) -> list[str]:
    """The article's line for every tenth episode of metrics ``[1, U]``, from index ``first`` on.

    In the article, the "total length" is too small by one: it is the index of the last step.
    """
    rewards, lengths = metrics.episode_return_sum[0], metrics.episode_length_sum[0]
    averages = learning.rolling_mean(np.asarray(lengths))
    return [
        f"episode: {n}, reward: {rewards[n]:.1f}, total length: {lengths[n]:.0f}, "
        f"average length: {averages[n]:.1f}"
        for n in range(-(-first // 10) * 10, len(lengths), 10)
    ]


def environment_steps(job: Job, outcome: Outcome) -> float:
    """Environment steps that all seeds have taken so far, in total."""
    if job.unit == "episodes":
        return float(np.sum(outcome.metrics.episode_length_sum))
    return float(outcome.num_updates * job.per_update * len(job.seeds))


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:  # which is 1 with three digits
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _figures(job: Job, outcome: Outcome) -> Iterator[str]:
    metrics, threshold = outcome.metrics, learning.solved_threshold(job.env)
    yield f"{_short(environment_steps(job, outcome) / outcome.train_seconds)} steps/s"
    latest = learning.final_returns(metrics)
    if np.isfinite(latest).any():
        yield f"return {np.nanmean(latest):.1f}"
    if threshold is not None:
        times = learning.steps_to_solve(metrics, job.per_update, threshold)
        yield f"solved {np.isfinite(times).mean():.0%}"
    if diverged := int((~finite_seeds(metrics)).sum()):
        yield f"{diverged} of {len(job.seeds)} seeds diverged"
