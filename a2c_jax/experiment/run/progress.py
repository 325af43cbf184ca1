"""Progress of a run on the screen."""

import time

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.statistics.learning import (
    final_returns,
    rolling_mean,
    solved_threshold,
    steps_to_solve,
)
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import Metrics

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_FIGURES_SHARE = 0.05  # largest share of the time that computing figures may take


class Reporter:
    """Shows a bar on a terminal, and a line every ten seconds elsewhere."""

    def __init__(self, console: Console, job: Job, num_updates: int = 0) -> None:
        """Begins after a number of updates, which are not shown again."""
        self._console = console
        self._job = job
        self._last_line = time.monotonic()
        self._begun = self._episodes_told = num_updates
        self._figures, self._figures_due = "", 0.0
        self._progress = Progress(
            TextColumn("{task.fields[steps]}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=job.num_updates, steps="compiling …", figures=""
        )

    def __enter__(self) -> "Reporter":
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def report(self, outcome: Outcome) -> None:
        """Shows the progress of training; to be called after every chunk."""
        if outcome.num_updates == self._begun:
            self._progress.reset(
                self._task, completed=self._begun, steps=_steps(self._job, outcome), figures=""
            )
            self._console.print(f"Compiled in {outcome.compile_seconds:.1f} s.")
            return
        steps, figures = _steps(self._job, outcome), self._figures_of(outcome)
        self._progress.update(
            self._task, completed=outcome.num_updates, steps=steps, figures=figures
        )
        if self._job.unit == "episodes" and len(self._job.seeds) == 1:
            self._tell_episodes(outcome)
        elif not self._console.is_terminal and time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._console.print(f"{steps}, {figures}")

    def _figures_of(self, outcome: Outcome) -> str:
        start = time.monotonic()
        if start >= self._figures_due:
            self._figures = _figures(self._job, outcome)
            end = time.monotonic()
            self._figures_due = end + (end - start) / _FIGURES_SHARE
        return self._figures

    def _tell_episodes(self, outcome: Outcome) -> None:
        lines = episode_lines(outcome.metrics, self._episodes_told)
        self._episodes_told = outcome.num_updates
        for line in lines:
            self._console.print(line)


def episode_lines(metrics: Metrics, first: int) -> list[str]:
    """The article's line for every tenth episode of a seed, from episode ``first`` on.

    In the article, the "total length" is too small by one: it is the index of the last step.

    Args:
        metrics: of the article's loop and of one seed, ``[1, U]``.
        first: number of the first episode, counted from 0.
    """
    rewards = np.asarray(metrics.episode_return_sum[0])
    lengths = np.asarray(metrics.episode_length_sum[0])
    averages = rolling_mean(lengths)
    return [
        f"episode: {n}, reward: {rewards[n]:.1f}, total length: {lengths[n]:.0f}, "
        f"average length: {averages[n]:.1f}"
        for n in range(first, len(lengths))
        if n % 10 == 0
    ]


def environment_steps(job: Job, outcome: Outcome) -> float:
    """Environment steps that all seeds have taken so far, in total."""
    if job.unit == "episodes":
        return float(np.sum(outcome.metrics.episode_length_sum))
    return float(outcome.num_updates * job.per_update * len(job.seeds))


def _steps(job: Job, outcome: Outcome) -> str:
    done = outcome.num_updates * job.per_update
    return f"{_short(done)}/{_short(job.units_per_seed)} {job.unit} × {len(job.seeds)}"


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _figures(job: Job, outcome: Outcome) -> str:
    parts = [f"{_short(environment_steps(job, outcome) / outcome.train_seconds)} steps/s"]
    latest = final_returns(outcome.metrics)
    if np.isfinite(latest).any():
        parts.append(f"return {np.nanmean(latest):.1f}")
    threshold = solved_threshold(job.env)
    if threshold is not None:
        solved = np.isfinite(steps_to_solve(outcome.metrics, job.per_update, threshold))
        parts.append(f"solved {solved.mean():.0%}")
    if diverged := int((~finite_seeds(outcome.metrics)).sum()):
        parts.append(f"{diverged} of {len(job.seeds)} seeds diverged")
    return ", ".join(parts)
