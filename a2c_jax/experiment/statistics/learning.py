"""Statistics of training runs: returns, times to solve, and the summary of a run."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy

from a2c_jax import checks
from a2c_jax.experiment.statistics import inference
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import Environment, Metrics

# Gymnasium's reward thresholds, by environment and time limit (CartPole-v0 is the second).
SOLVED_AT = {("CartPole-v1", 500): 475.0, ("CartPole-v1", 200): 195.0}
SOLVED_AT |= {("Acrobot-v1", 500): -100.0, ("MountainCar-v0", 200): -110.0}
EPISODES = 100  # of which a mean return is taken, as Gymnasium defines "solved"


def solved_threshold(env: Environment) -> float | None:
    """The mean return at which an environment counts as solved; None where none is agreed."""
    return SOLVED_AT.get((env.name, env.max_episode_steps))


def recent_returns(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Mean return of the last 100 finished episodes, after every update of metrics ``[..., U]``.

    The window is the shortest run of updates, ending with this one, in which at least 100
    episodes finished; or all updates, if fewer did. Returns ``(means [..., U], counts [..., U])``.
    """
    means, sizes = np.empty((2, *metrics.episode_count.shape))
    for seed, *recent in _recent_of_each(metrics):
        means[seed], sizes[seed] = recent
    return means, sizes


def _recent_of_each(metrics: Metrics) -> Iterator[tuple[tuple[int, ...], np.ndarray, np.ndarray]]:
    """The index, means ``[U]`` and counts ``[U]`` of one seed at a time, which saves memory."""
    counts, sums = np.asarray(metrics.episode_count), np.asarray(metrics.episode_return_sum)
    for seed in np.ndindex(counts.shape[:-1]):
        # From 0, before the first update. float64 adds counts exactly.
        running = np.cumsum((counts[seed], sums[seed]), axis=1, dtype=np.float64)
        total, reward = np.pad(running, ((0, 0), (1, 0)))
        begin = np.searchsorted(total[1:], total[1:] - EPISODES, side="right")  # of the window
        sizes = total[1:] - total[begin]
        with np.errstate(invalid="ignore"):
            means = (reward[1:] - reward[begin]) / sizes
        yield seed, means, sizes


def final_returns(metrics: Metrics) -> np.ndarray:
    """Mean return over the last 100 finished episodes: of metrics ``[..., U]``, ``[...]``."""
    final = [means[-1] for _, means, _ in _recent_of_each(metrics)]
    return np.reshape(final, metrics.episode_count.shape[:-1])


def best_row(metrics: Metrics, finite: np.ndarray) -> int:
    """The first row with the highest final return, among ``finite [S]`` ones if they have any."""
    returns = final_returns(metrics)
    return int(np.argmax(np.where(finite & np.isfinite(returns), returns, -np.inf)))


def steps_to_solve(metrics: Metrics, steps_per_update: int, threshold: float) -> np.ndarray:
    """Environment steps after which a seed's last 100 episodes first averaged the threshold.

    Takes metrics ``[S, U]``; returns ``[S]``, infinite where a seed never did or has diverged.
    """
    updates = np.full(len(metrics.episode_count), np.inf)
    for seed, means, sizes in _recent_of_each(metrics):
        solved = np.flatnonzero((sizes >= EPISODES) & (means >= threshold))
        updates[seed] = solved[0] + 1.0 if solved.size else np.inf
    return np.where(finite_seeds(metrics), updates * steps_per_update, np.inf)


def solve_time_curve(steps_to_solve: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Fraction of seeds that have solved the task by each time.

    ``(times [K], fractions [K])`` from 0 to the end, where seeds ``[S]`` that have not solved are
    censored: one minus the survival curve of Kaplan and Meier (1958), right-continuous steps.
    """
    checks.positive("end", end)
    times = inference.per_seed("steps_to_solve", steps_to_solve)
    if np.isnan(times).any():
        raise ValueError("steps_to_solve holds nan; give infinity where a seed never solved.")
    data = scipy.stats.CensoredData.right_censored(np.minimum(times, end), times > end)
    at = np.unique([0.0, *times[times <= end], end])
    return at, scipy.stats.ecdf(data).cdf.evaluate(at)


def rolling_mean(values: np.ndarray, window: int = 10) -> np.ndarray:
    """Mean of each entry and the ``window - 1`` before it, or as many as there are."""
    total = np.cumsum(np.asarray(values, np.float64), axis=-1)
    total[..., window:] -= total[..., :-window]
    return total / np.minimum(np.arange(1, total.shape[-1] + 1), window)


def summarize(
    metrics: Metrics,
    per_update: int,
    threshold: float | None,
    unit: str = "steps",
    finite: np.ndarray | None = None,
) -> dict[str, Any]:
    """Summary of a run's metrics ``[S, U]`` as plain numbers; None where one is undefined.

    ``num_censored`` counts the seeds that never solved the task; the median is None where it falls
    among them. Seeds that are not ``finite [S]``, by default those with a metric that is not, have
    diverged and count as unsolved. An update is ``per_update`` of the unit.
    """
    finite = np.asarray(finite_seeds(metrics) if finite is None else finite)
    final = final_returns(metrics)
    known, size = final[np.isfinite(final)], final.size
    solving: list[Any] = [None] * 5
    if threshold is not None:
        times = np.where(finite, steps_to_solve(metrics, per_update, threshold), np.inf)
        solved, median = int(np.isfinite(times).sum()), _finite([np.median(times)])
        interval = [*inference.binomial_interval(solved, size)]
        solving = [solved / size, interval, size - solved, *median, _finite(times)]
    return {
        "num_seeds": size,
        "num_diverged": int((~finite).sum()),
        "final_returns": _finite(final),
        "final_return_iqm": float(interquartile_mean(known)) if known.size else None,
        "final_return_interval_95": _finite(bootstrap_interval(known)) if known.size > 1 else None,
        "solved_threshold": threshold,
        **dict(zip(("fraction_solved", "fraction_solved_interval_95", "num_censored",
                    f"median_{unit}_to_solve", f"{unit}_to_solve"), solving, strict=True)),
    }  # fmt: skip


def _finite(values: Any) -> list[float | None]:  # JSON has neither NaN nor infinity
    return [float(value) if np.isfinite(value) else None for value in values]
