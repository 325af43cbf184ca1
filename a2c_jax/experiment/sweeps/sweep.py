"""Sweeps: settings times seeds, as one compiled program for all numbers; and their files."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from a2c_jax import presets
from a2c_jax.experiment.config import TrainConfig
from a2c_jax.experiment.figures.heat_maps import Labels, draw_heat_map, draw_scatter, short_number
from a2c_jax.experiment.files import Writer, as_bad_input, json_writer, npz_writer, write_together
from a2c_jax.experiment.run.engine import Outcome, train_in_chunks
from a2c_jax.experiment.run.folder import num_points
from a2c_jax.experiment.run.interrupts import Interrupted
from a2c_jax.experiment.run.job import Job, check_memory, describe_job, make_job
from a2c_jax.experiment.run.progress import Reporter
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.experiment.statistics.learning import final_returns, solved_threshold, steps_to_solve
from a2c_jax.experiment.sweeps.points import Points, check_points, settings_at, traced_settings
from a2c_jax.experiment.tables import markdown_table, median_time, text_table
from a2c_jax.metrics import finite_seeds, learning_curve
from a2c_jax.parallel import seed_layout
from a2c_jax.types import Algorithm, Metrics

_SCORE = "mean return of the last 100 episodes"


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


def _over_seeds(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    means = interquartile_mean(np.where(known, values, 0.0), axis=1)
    return np.where(known.all(axis=1), means, -np.inf)


def sweep(
    config: TrainConfig,
    points: Points,
    console: Console | None = None,
    should_stop: Callable[[], int] = lambda: 0,
    job: Job | None = None,
) -> Sweep:
    """Trains all seeds at all points, in one program for each combination of names and counts.

    Every point has the seeds of the configuration. Its numbers equal those of a separate run only
    up to rounding, since that run compiles its settings as constants. ``should_stop`` is called
    before every chunk; training ends if it returns a signal's number, with KeyboardInterrupt if
    nothing was trained. ``job`` is the result of :func:`check_sweep`.
    """
    if job is None:
        with as_bad_input():
            job = check_sweep(config, points)
    programs, console = _programs(config, points), console or Console(quiet=True)
    outcomes: list[Outcome] = []
    for shared, rows in programs:
        if outcomes and should_stop():
            break
        if len(programs) > 1:
            static = points.values.keys() - traced_settings(shared.settings)
            console.print(", ".join(f"{n} {getattr(shared.settings, n)}" for n in sorted(static)))
        swept = _job_of_all(shared, points, rows)
        with Reporter(console, swept) as progress:
            outcome = train_in_chunks(swept, on_chunk=progress.report, should_stop=should_stop)
        outcomes.append(outcome._replace(state=None))
    if not any(outcome.num_updates for outcome in outcomes):
        raise Interrupted(should_stop())
    merged = _merged([rows for _, rows in programs], outcomes, job)
    done = min(each.num_updates for each in outcomes) if len(outcomes) == len(programs) else 0
    return _result(config, points, job, merged)._replace(num_updates=done)


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
    traced, groups = traced_settings(config.settings), dict[presets.Settings, list[int]]()
    for point in range(len(points)):
        static = {name: value for name, value in points.at(point).items() if name not in traced}
        groups.setdefault(dataclasses.replace(config.settings, **static), []).append(point)
    return [(config.with_settings(settings), rows) for settings, rows in groups.items()]


def _job_of_all(config: TrainConfig, points: Points, rows: list[int]) -> Job:
    """Some points times all seeds as one job; the seeds of a point are adjacent."""
    job, settings = make_job(config), config.settings
    num_seeds = len(job.seeds)
    values = {
        name: np.repeat(points.values[name][rows].astype(np.float32), num_seeds)
        for name in traced_settings(settings)
        if name in points.values
    }
    starts: Any = (job.keys[np.tile(np.arange(num_seeds), len(rows))], values)
    layout = seed_layout(len(rows) * num_seeds, config.batch_size)
    algorithm, seeds = _swept_algorithm(settings, job), job.seeds * len(rows)
    return job._replace(algorithm=algorithm, seeds=seeds, keys=starts, layout=layout)


def _swept_algorithm(settings: presets.Settings, job: Job) -> Algorithm:
    """An algorithm of seeds ``(key, values of settings)``, whose states are ``(values, state)``."""

    def at(values: dict[str, Any]) -> Algorithm:
        return presets.build(settings_at(settings, values), job.env)

    def init(start: Any) -> Any:
        return start[1], at(start[1]).init(start[0])

    def step(state: Any) -> tuple[Any, Metrics]:
        inner, metrics = at(state[0]).step(state[1])
        return (state[0], inner), metrics

    return Algorithm(init, step, job.algorithm.steps_per_update)  # type: ignore[arg-type]


def _merged(rows: list[list[int]], outcomes: list[Outcome], job: Job) -> Outcome:
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
    _, _, compiling, training = zip(*outcomes, strict=True)
    return Outcome(None, Metrics(*flat), sum(compiling), sum(training))


def _result(config: TrainConfig, points: Points, job: Job, outcome: Outcome) -> Sweep:
    metrics, shape = outcome.metrics, (len(points), len(job.seeds))
    threshold, times = solved_threshold(job.env), None
    if threshold is not None:
        times = steps_to_solve(metrics, job.per_update, threshold).reshape(shape)
    position, curves = learning_curve(metrics, job.algorithm, num_points(job, outcome))
    # A curve of one point pools all episodes.
    means = learning_curve(metrics, job.algorithm, 1)[1]
    by_seed = final_returns(metrics), means, np.asarray(finite_seeds(metrics))
    returns, means, finite = (array.reshape(shape) for array in by_seed)
    position = position // job.algorithm.steps_per_update * job.per_update
    curves, rest = curves.reshape(*shape, -1), (outcome.num_updates, *outcome[2:])
    return Sweep(config, job, points, returns, means, finite, times, position, curves, *rest)


def write_sweep(folder: Path | str, result: Sweep) -> list[Path]:
    """Writes ``best.json``, ``sweep.json``, ``sweep.npz``, ``table.md`` and ``heat_map.png``.

    Returns their paths. If a file cannot be written (OSError), none is.
    """
    best, points, unit = result.best, result.points, result.job.unit
    description = {
        **describe_job(result.config, result.job),
        "over": {name: values.tolist() for name, values in points.values.items()},
        "grid": points.shape,
        **{k: getattr(result, k) for k in ("finished", "compile_seconds", "train_seconds")},
    }
    arrays = {
        "seeds": np.asarray(result.job.seeds),
        **{k: getattr(result, k) for k in ("final_returns", "mean_returns", "finite", "curves")},
        unit: result.position,
        **points.values,
    }
    if result.time_to_solve is not None:
        arrays[f"{unit}_to_solve"] = result.time_to_solve
    files: dict[str, Writer] = {
        "best.json": json_writer(describe_job(best, make_job(best))),
        "sweep.json": json_writer(description),
        "sweep.npz": npz_writer(arrays, compress=True),
        "table.md": lambda file: file.write(markdown_table(table_rows(result)).encode()),
        "heat_map.png": lambda file: draw_sweep(file, result),
    }
    return write_together(Path(folder), files)


def sweep_table(result: Sweep) -> Table:
    """The ten best points as a table for a terminal."""
    rows = table_rows(result)[:11]
    return text_table(rows, title=f"The best {len(rows) - 1} of {len(result.points)} settings")


def table_rows(result: Sweep) -> list[list[str]]:
    """A header, and a row for each point, the best first."""
    header = [*result.points.names, "final return", "95 % interval", "mean return"]
    if result.time_to_solve is not None:
        header += ["solved", f"median {result.job.unit}"]
    return [header, *(_row(result, int(point)) for point in result.ranking)]


def _row(result: Sweep, point: int) -> list[str]:
    final, returns = result.final_returns[point], ["–"] * 3
    if np.isfinite(final).all():
        each = final, result.mean_returns[point]
        returns[0], returns[2] = (f"{interquartile_mean(values):.1f}" for values in each)
        if len(final) > 1:
            returns[1] = "{:.1f} to {:.1f}".format(*bootstrap_interval(final))
    if diverged := int((~result.finite[point]).sum()):
        returns[0] += f" ({diverged} diverged)"
    row = [*map(short_number, result.points.at(point).values()), *returns]
    if result.time_to_solve is not None:
        times = result.time_to_solve[point]
        median = float(np.median(times)) if np.isfinite(np.median(times)) else None
        row += [f"{np.isfinite(times).sum()} of {len(times)}", median_time(median)]
    return row


def draw_sweep(file: BinaryIO, result: Sweep) -> None:
    """Draws the scores over the first two settings, the mean over the others, as a PNG."""
    scores = np.where(np.isfinite(result.scores), result.scores, np.nan)
    best = int(result.ranking[0]) if np.isfinite(scores).any() else None
    title = f"{result.job.env.name}, {len(result.job.seeds)} seeds at each setting"
    names = [*result.points.names, _SCORE]
    first, second, *_ = (*result.points.values.values(), scores)
    if result.points.shape is None or len(result.points.shape) == 1:
        return draw_scatter(
            file, scores, first, second, Labels(title, names[0], names[1], _SCORE), best
        )
    if others := names[2:-1]:
        title, best = f"{title}; means over {', '.join(others)}", None
    shape = (*result.points.shape[:2], -1)
    rows, columns, cells = (each.reshape(shape) for each in (first, second, scores))
    labels = Labels(title, names[1], names[0], _SCORE)
    draw_heat_map(file, cells.mean(axis=2), columns[0, :, 0], rows[:, 0, 0], labels, best)
