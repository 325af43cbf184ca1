"""Sweeps: settings times seeds, as one compiled program for all numbers."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from a2c_jax import presets
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.errors import as_bad_input
from a2c_jax.experiment.run.engine import Outcome, train_in_chunks
from a2c_jax.experiment.run.interrupts import Interrupted
from a2c_jax.experiment.run.job import Job, make_job
from a2c_jax.experiment.run.memory import check_memory
from a2c_jax.experiment.run.pictures import num_points
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.statistics.inference import interquartile_mean
from a2c_jax.experiment.statistics.learning import final_returns, solved_threshold, steps_to_solve
from a2c_jax.experiment.sweeps.points import Points, check_points, settings_at, traced_settings
from a2c_jax.metrics import finite_seeds, learning_curve
from a2c_jax.parallel import seed_layout
from a2c_jax.presets import Settings
from a2c_jax.types import Algorithm, Metrics


class Sweep(NamedTuple):
    """The result of a sweep: P points of one ``config``, each with the S seeds of its ``job``.

    ``final_returns [P, S]`` are means of the last 100 episodes, NaN if none finished, and
    ``mean_returns [P, S]`` means of all. ``finite [P, S]`` is False where a seed has diverged.
    ``time_to_solve [P, S]`` is in the job's unit, infinite where a seed never solved the task; None
    without a threshold. ``curves [P, S, K]`` are mean returns at ``position [K]``, in that unit.
    """

    config: TrainConfig
    job: Job
    points: Points
    final_returns: np.ndarray
    mean_returns: np.ndarray
    finite: np.ndarray
    time_to_solve: np.ndarray | None
    position: np.ndarray
    curves: np.ndarray
    num_updates: int
    compile_seconds: float
    train_seconds: float

    @property
    def finished(self) -> bool:
        """Whether all updates were done."""
        return self.num_updates == self.job.num_updates

    @property
    def scores(self) -> np.ndarray:
        """Interquartile means of final returns, ``[P]``; -inf if a seed has none or diverged."""
        return _over_seeds(np.where(self.finite, self.final_returns, np.nan))

    @property
    def ranking(self) -> np.ndarray:
        """The points, best first, ``[P]``; among equal scores the one that learned sooner."""
        return np.lexsort([-_over_seeds(self.mean_returns), -np.round(self.scores, 6)])

    @property
    def best(self) -> TrainConfig:
        """The configuration of the best point."""
        return self.config_at(int(self.ranking[0]))

    def config_at(self, point: int) -> TrainConfig:
        """The configuration of one point."""
        return self.config.with_settings(settings_at(self.config.settings, self.points.at(point)))


def sweep(
    config: TrainConfig,
    points: Points,
    console: Console | None = None,
    should_stop: Callable[[], int] = lambda: 0,
    job: Job | None = None,
) -> Sweep:
    """Trains all seeds at all points, in one program for each combination of names and counts.

    The programs take numbers as inputs. Every point has the seeds of the configuration, so that
    differences are due to the settings. A point's numbers equal those of a separate run only up to
    rounding, since that run compiles its settings as constants.

    ``should_stop`` is called before every chunk; training ends if it returns a signal's number,
    with KeyboardInterrupt if nothing was trained. ``job`` is the result of :func:`check_sweep`.
    """
    if job is None:
        with as_bad_input():
            job = check_sweep(config, points)
    console = console or Console(quiet=True)
    outcomes: list[Outcome] = []
    programs = _programs(config, points)
    for shared, rows in programs:
        if outcomes and should_stop():
            break
        whole = _job_of_all(shared, points, rows)
        if len(programs) > 1:
            static = points.values.keys() - traced_settings(shared.settings)
            console.print(", ".join(f"{n} {getattr(shared.settings, n)}" for n in sorted(static)))
        with Reporter(console, whole) as reporter:
            outcomes += [train_in_chunks(whole, on_chunk=reporter.report, should_stop=should_stop)]
    if not any(outcome.num_updates for outcome in outcomes):
        raise Interrupted(should_stop())
    outcome = _together([rows for _, rows in programs], outcomes, job)
    done = min(each.num_updates for each in outcomes) if len(outcomes) == len(programs) else 0
    return _result(config, points, job, outcome)._replace(num_updates=done)


def check_sweep(config: TrainConfig, points: Points) -> Job:
    """Validates a sweep and returns the job of its seeds; compiles and writes nothing."""
    if config.init_from is not None:
        raise ValueError(
            f"init_from is {config.init_from!r}, but the seeds of a sweep draw their parameters; "
            "leave it out."
        )
    job = check_points(config, points)
    for shared, rows in _programs(config, points):
        check_memory(_job_of_all(shared, points, rows), len(rows))
    return job


def _programs(config: TrainConfig, points: Points) -> list[tuple[TrainConfig, list[int]]]:
    """The configuration of each compiled program, and its points."""
    static = [name for name in points.values if name not in traced_settings(config.settings)]
    groups: dict[Settings, list[int]] = {}
    for point in range(len(points)):
        values = points.at(point)
        shared = dataclasses.replace(config.settings, **{name: values[name] for name in static})
        groups.setdefault(shared, []).append(point)
    return [(config.with_settings(settings), rows) for settings, rows in groups.items()]


def _job_of_all(config: TrainConfig, points: Points, rows: list[int]) -> Job:
    """Some points times all seeds as one job; the seeds of a point are adjacent."""
    job, traced = make_job(config), traced_settings(config.settings)
    num_seeds = len(job.seeds)
    values = {
        name: np.repeat(each[rows].astype(np.float32), num_seeds)
        for name, each in points.values.items()
        if name in traced
    }
    starts: Any = (job.keys[np.tile(np.arange(num_seeds), len(rows))], values)
    return job._replace(
        algorithm=_swept_algorithm(config.settings, job),
        seeds=job.seeds * len(rows),
        keys=starts,
        layout=seed_layout(len(rows) * num_seeds, config.batch_size),
    )


def _together(rows: list[list[int]], outcomes: list[Outcome], job: Job) -> Outcome:
    """The outcome of all programs, in the order of the points; updates not done are empty."""
    if len(rows) == 1:
        return outcomes[0]
    num_seeds, num_updates = len(job.seeds), max(outcome.num_updates for outcome in outcomes)
    shape = (len(Metrics._fields), sum(map(len, rows)), num_seeds, num_updates)
    metrics = np.zeros(shape, np.float32)
    for points, outcome in zip(rows, outcomes, strict=False):
        fields = np.reshape(outcome.metrics, (len(metrics), len(points), num_seeds, -1))
        metrics[:, points, :, : outcome.num_updates] = fields
    flat: Any = metrics.reshape(len(metrics), -1, num_updates)
    compiling = sum(outcome.compile_seconds for outcome in outcomes)
    training = sum(outcome.train_seconds for outcome in outcomes)
    return Outcome(None, Metrics(*flat), compiling, training)


def _swept_algorithm(settings: Settings, job: Job) -> Algorithm:
    """An algorithm of seeds ``(key, values of settings)``, whose states are ``(values, state)``."""

    def at(values: dict[str, Any]) -> Algorithm:
        return presets.build(settings_at(settings, values), job.env)

    def init(start: Any) -> Any:
        key, values = start
        return values, at(values).init(key)

    def step(state: Any) -> tuple[Any, Metrics]:
        values, inner = state
        inner, metrics = at(values).step(inner)
        return (values, inner), metrics

    return Algorithm(init, step, job.algorithm.steps_per_update)  # type: ignore[arg-type]


def _result(config: TrainConfig, points: Points, job: Job, outcome: Outcome) -> Sweep:
    metrics, shape = outcome.metrics, (len(points), len(job.seeds))
    threshold, times = solved_threshold(job.env), None
    if threshold is not None:
        times = steps_to_solve(metrics, job.per_update, threshold).reshape(shape)
    position, curves = learning_curve(metrics, job.algorithm, num_points(job, outcome))
    return Sweep(
        config=config,
        job=job,
        points=points,
        final_returns=final_returns(metrics).reshape(shape),
        # A curve of one point pools all episodes.
        mean_returns=learning_curve(metrics, job.algorithm, 1)[1].reshape(shape),
        finite=np.asarray(finite_seeds(metrics)).reshape(shape),
        time_to_solve=times,
        position=position // job.algorithm.steps_per_update * job.per_update,
        curves=curves.reshape(*shape, -1),
        num_updates=outcome.num_updates,
        compile_seconds=outcome.compile_seconds,
        train_seconds=outcome.train_seconds,
    )


def _over_seeds(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    means = interquartile_mean(np.where(known, values, 0.0), axis=1)
    return np.where(known.all(axis=1), means, -np.inf)
