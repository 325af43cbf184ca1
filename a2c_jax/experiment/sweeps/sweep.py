"""Sweeps: settings times seeds, as one compiled program for all numbers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
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
from a2c_jax.types import Algorithm, Environment, Key, Metrics

Values = dict[str, Any]


class Sweep(NamedTuple):
    """The result of a sweep, in NumPy arrays: P points, S seeds.

    Attributes:
        config: the configuration that all points share.
        job: job of that configuration, with the seeds of every point.
        points: the settings.
        final_returns: mean of each seed's last 100 episodes, ``[P, S]``; NaN if none finished.
        mean_returns: mean over all of its episodes, ``[P, S]``.
        finite: False where a seed has diverged, ``[P, S]``; see :func:`a2c_jax.finite_seeds`.
        time_to_solve: in steps, or episodes, ``[P, S]``; infinite where a seed never solved the
            task. None without a threshold.
        position: steps or episodes at the points of the curves, ``[K]``.
        curves: mean returns of each seed during training, ``[P, S, K]``.
        num_updates: done by every seed.
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
        """Interquartile mean over seeds of the final returns, ``[P]``.

        It is -inf if a seed has none or has diverged.
        """
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
    """Trains all seeds at all points, in one program that takes numbers as inputs.

    Names, flags and counts shape the program, so there is one for each combination of them. Every
    point has the seeds of the configuration, so that differences are due to the settings. A
    point's numbers equal those of a separate run only up to rounding, since that run compiles its
    settings as constants.

    Args:
        config: the configuration that all points share.
        points: the settings.
        console: where progress is shown; by default nowhere.
        should_stop: called before every chunk; training ends if it returns a signal's number.
        job: from :func:`check_sweep` of the same two, if that was called already.

    Raises:
        ValueError: one sentence, if a setting or a value is bad or memory does not suffice.
        KeyboardInterrupt: if it was stopped before anything was trained.
    """
    if job is None:
        with as_bad_input():
            job = check_sweep(config, points)
    console, outcomes = console or Console(quiet=True), []
    programs = _programs(config, points)
    for shared, rows in programs:
        whole = _job_of_all(shared, points, rows)
        if len(programs) > 1:
            static = points.values.keys() - traced_settings(shared.settings)
            named = (f"{name} {getattr(shared.settings, name)}" for name in sorted(static))
            console.print(", ".join(named))
        with Reporter(console, whole) as reporter:
            outcome = train_in_chunks(whole, on_chunk=reporter.report, should_stop=should_stop)
        outcomes.append(outcome)
    if not any(outcome.num_updates for outcome in outcomes):
        raise Interrupted(should_stop())
    return _result(config, points, job, _together([rows for _, rows in programs], outcomes, job))


def check_sweep(config: TrainConfig, points: Points) -> Job:
    """Validates a sweep and returns the job of its seeds; compiles and writes nothing.

    Raises:
        ValueError: as :func:`sweep` does.
    """
    if config.init_from is not None:
        raise ValueError(
            f"init_from is {config.init_from!r}, but the seeds of a sweep draw their parameters; "
            "leave it out."
        )
    job = make_job(config)
    check_points(config, points)
    for shared, rows in _programs(config, points):
        check_memory(_job_of_all(shared, points, rows), len(rows))
    return job


def _programs(config: TrainConfig, points: Points) -> list[tuple[TrainConfig, list[int]]]:
    """The configuration of each compiled program, and its points."""
    static = [name for name in points.values if name not in traced_settings(config.settings)]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for point in range(len(points)):
        values = points.at(point)
        groups.setdefault(tuple(values[name] for name in static), []).append(point)
    named = [(dict(zip(static, key, strict=True)), rows) for key, rows in groups.items()]
    return [
        (config.with_settings(dataclasses.replace(config.settings, **values)), rows)
        for values, rows in named
    ]


def _job_of_all(config: TrainConfig, points: Points, rows: Sequence[int]) -> Job:
    """Some points times all seeds as one job; the seeds of a point are adjacent."""
    job = make_job(config)
    num_seeds, traced = len(job.seeds), traced_settings(config.settings)
    values = {
        name: np.repeat(each[list(rows)].astype(np.float32), num_seeds)
        for name, each in points.values.items()
        if name in traced
    }
    starts: Any = (job.keys[np.tile(np.arange(num_seeds), len(rows))], values)
    return job._replace(
        algorithm=_swept_algorithm(config.settings, job.env),
        seeds=job.seeds * len(rows),
        keys=starts,
        layout=seed_layout(len(rows) * num_seeds, config.batch_size),
    )


def _together(rows: Sequence[Sequence[int]], outcomes: Sequence[Outcome], job: Job) -> Outcome:
    """The outcome of all programs, in the order of the points; updates not done are empty."""
    if len(outcomes) == 1:
        return outcomes[0]
    num_seeds, num_updates = len(job.seeds), max(outcome.num_updates for outcome in outcomes)
    shape = (sum(map(len, rows)), num_seeds, num_updates)
    metrics: Any = Metrics(*[np.zeros(shape, np.float32) for _ in Metrics._fields])  # type: ignore[arg-type]
    for points, outcome in zip(rows, outcomes, strict=True):
        for whole, part in zip(metrics, outcome.metrics, strict=True):
            of_points = np.reshape(part, (len(points), num_seeds, -1))
            whole[list(points), :, : outcome.num_updates] = of_points
    flat = jax.tree.map(lambda field: field.reshape(-1, num_updates), metrics)
    compiling, training = (
        sum(getattr(outcome, name) for outcome in outcomes)
        for name in ("compile_seconds", "train_seconds")
    )
    return Outcome(None, flat, compiling, training)


def _swept_algorithm(settings: Settings, env: Environment) -> Algorithm:
    """An algorithm whose ``init`` takes a key and values of settings, which its state keeps.

    ``init((key, values)) -> (values, state)``; ``step`` builds the algorithm of the values, which
    are traced, so that one program serves all of them.
    """

    def at(values: Values) -> Algorithm:
        return presets.build(settings_at(settings, values), env)

    def init(start: tuple[Key, Values]) -> tuple[Values, Any]:
        key, values = start
        return values, at(values).init(key)

    def step(state: tuple[Values, Any]) -> tuple[tuple[Values, Any], Metrics]:
        values, inner = state
        inner, metrics = at(values).step(inner)
        return (values, inner), metrics

    return Algorithm(init, step, presets.build(settings, env).steps_per_update)  # type: ignore[arg-type]


def _result(config: TrainConfig, points: Points, job: Job, outcome: Outcome) -> Sweep:
    metrics, shape = outcome.metrics, (len(points), len(job.seeds))
    threshold, times = solved_threshold(job.env), None
    if threshold is not None:
        times = steps_to_solve(metrics, job.per_update, threshold).reshape(shape)
    position, curves = learning_curve(metrics, job.algorithm, num_points(job, outcome))
    # A curve of one point pools all episodes.
    mean_returns = learning_curve(metrics, job.algorithm, 1)[1]
    return Sweep(
        config=config,
        job=job,
        points=points,
        final_returns=final_returns(metrics).reshape(shape),
        mean_returns=mean_returns.reshape(shape),
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
