"""Statistics over seeds: what a run has come to, and how sure one can be of it."""

from typing import Any

import numpy as np

from a2c_jax import checks
from a2c_jax.experiment.statistics.inference import (
    binomial_interval,
    bootstrap_interval,
    interquartile_mean,
)
from a2c_jax.types import Environment, Metrics

SOLVED_AT = {
    ("CartPole-v1", 500): 475.0,
    ("CartPole-v1", 200): 195.0,
    ("Acrobot-v1", 500): -100.0,
    ("MountainCar-v0", 200): -110.0,
}
"""Gymnasium's reward thresholds, by environment and time limit (CartPole-v0 is the second)."""

EPISODES = 100
"""Episodes over which a mean return is taken, as Gymnasium defines "solved"."""


def solved_threshold(env: Environment) -> float | None:
    """The mean return at which an environment counts as solved; None where none is agreed."""
    return SOLVED_AT.get((env.name, env.max_episode_steps))


def recent_returns(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Mean return of the last 100 finished episodes, after every update.

    Metrics hold sums over an update, so the window is the shortest run of updates, ending
    with this one, in which at least 100 episodes finished; or all updates, if fewer did.

    Args:
        metrics: ``[S, U]``.

    Returns:
        ``(means [S, U], counts [S, U])``: the mean, NaN where no episode has finished, and
        how many episodes it was taken over.
    """
    counts = np.asarray(metrics.episode_count, np.float64)
    sums = np.asarray(metrics.episode_return_sum, np.float64)
    num_seeds, num_updates = sums.shape
    # Column u + 1 is the total after update u; column 0 is the beginning.
    total, reward = np.zeros((2, num_seeds, num_updates + 1))
    np.cumsum(counts, axis=1, out=total[:, 1:])
    np.cumsum(sums, axis=1, out=reward[:, 1:])
    # One search for all seeds: their totals end to end, each above those of the seed before.
    # What a seed looks for before its beginning is found there, and is cut at the beginning.
    # Counts are whole numbers, and float64 adds them exactly.
    seeds = np.arange(num_seeds)[:, None]
    apart = total + seeds * (total.max(initial=0.0) + 1.0)
    found = np.searchsorted(apart.ravel(), (apart[:, 1:] - EPISODES).ravel(), side="right") - 1
    before = np.maximum(found.reshape(sums.shape), seeds * (num_updates + 1))
    sizes = total[:, 1:] - total.ravel()[before]
    with np.errstate(invalid="ignore"):
        means = (reward[:, 1:] - reward.ravel()[before]) / sizes
    return means, sizes


def final_returns(metrics: Metrics) -> np.ndarray:
    """Each seed's mean return over its last 100 finished episodes, ``[S]``."""
    return recent_returns(metrics)[0][:, -1]


def steps_to_solve(metrics: Metrics, steps_per_update: int, threshold: float) -> np.ndarray:
    """Environment steps after which a seed's last 100 episodes first averaged the threshold.

    Args:
        metrics: ``[S, U]``.
        steps_per_update: environment steps of an update.
        threshold: the mean return that counts as solved.

    Returns:
        ``[S]``; infinite where a seed never did.
    """
    means, sizes = recent_returns(metrics)
    solved = (sizes >= EPISODES) & (means >= threshold)
    steps = (np.argmax(solved, axis=1) + 1.0) * steps_per_update
    return np.where(solved.any(axis=1), steps, np.inf)


def solve_time_curve(steps_to_solve: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """The fraction of seeds that have solved the task by each time.

    ``F(t) = #{s : t_s <= t} / S``, a step function that is right at each of its times and
    until the next. Seeds that had not solved it at the end are censored: all one knows is
    that it takes them longer. As all are censored at one time, this is one minus Kaplan and
    Meier's (1958) estimate of the fraction left.

    Args:
        steps_to_solve: ``[S]``, infinite where a seed never did; see :func:`steps_to_solve`.
        end: when the seeds were last looked at, in the same unit.

    Returns:
        ``(times [K], fractions [K])``, from time 0 to ``end``.

    Raises:
        ValueError: if there are no seeds, a time is NaN, or ``end`` is not finite and above 0.
    """
    checks.positive("end", end)
    solved_at = np.sort(np.asarray(steps_to_solve, np.float64))
    if solved_at.ndim != 1 or not solved_at.size:
        raise ValueError(f"steps_to_solve has shape {solved_at.shape}; give one for each seed.")
    if np.isnan(solved_at[-1]):
        raise ValueError("steps_to_solve holds nan; give infinity where a seed never solved.")
    times = np.unique(np.concatenate([[0.0], solved_at[solved_at <= end], [end]]))
    return times, np.searchsorted(solved_at, times, side="right") / solved_at.size


def rolling_mean(values: np.ndarray, window: int = 10) -> np.ndarray:
    """Mean of each entry and those before it, ``window`` in all or as many as there are."""
    total = np.cumsum(np.asarray(values, np.float64), axis=-1)
    before = np.zeros_like(total)
    before[..., window:] = total[..., :-window]
    return (total - before) / np.minimum(np.arange(1, total.shape[-1] + 1), window)


def summarize(
    metrics: Metrics, per_update: int, threshold: float | None, unit: str = "steps"
) -> dict[str, Any]:
    """The figures of a run as plain numbers; None where one cannot be given.

    Seeds that never solved the task are censored: they count in ``num_censored``, and the
    median is None where it falls among them.

    Args:
        metrics: ``[S, U]``.
        per_update: environment steps of an update, or what else the time to solve is in.
        threshold: the mean return that counts as solved, if there is one.
        unit: what that is; ``median_steps_to_solve`` and ``steps_to_solve`` are named for it.
    """
    final = final_returns(metrics)
    known = final[np.isfinite(final)]
    interval = bootstrap_interval(known) if known.size > 1 else None
    summary = {
        "num_seeds": int(final.size),
        "final_returns": [_number(value) for value in final],
        "final_return_iqm": _number(interquartile_mean(known)) if known.size else None,
        "final_return_interval_95": [_number(v) for v in interval] if interval else None,
        "solved_threshold": threshold,
        "fraction_solved": None,
        "fraction_solved_interval_95": None,
        "num_censored": None,
        f"median_{unit}_to_solve": None,
        f"{unit}_to_solve": None,
    }
    if threshold is not None:
        steps = steps_to_solve(metrics, per_update, threshold)
        num_solved = int(np.isfinite(steps).sum())
        summary["fraction_solved"] = num_solved / steps.size
        summary["fraction_solved_interval_95"] = list(binomial_interval(num_solved, steps.size))
        summary["num_censored"] = steps.size - num_solved
        summary[f"median_{unit}_to_solve"] = _number(np.median(steps))
        summary[f"{unit}_to_solve"] = [_number(value) for value in steps]
    return summary


def _number(value: Any) -> float | None:
    # JSON has neither NaN nor infinity.
    return float(value) if np.isfinite(value) else None
