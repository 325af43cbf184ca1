"""Statistics over seeds: what a run has come to, and how sure one can be of it."""

from typing import Any

import numpy as np
from scipy import stats

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
    means, sizes = np.empty_like(sums), np.empty_like(sums)
    for seed in range(sums.shape[0]):
        # Row u + 1 is the total after update u; row 0 is the beginning.
        total = np.concatenate([[0.0], np.cumsum(counts[seed])])
        reward = np.concatenate([[0.0], np.cumsum(sums[seed])])
        before = np.searchsorted(total, total[1:] - EPISODES, side="right") - 1
        before = np.maximum(before, 0)
        sizes[seed] = total[1:] - total[before]
        with np.errstate(invalid="ignore"):
            means[seed] = (reward[1:] - reward[before]) / sizes[seed]
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


def rolling_mean(values: np.ndarray, window: int = 10) -> np.ndarray:
    """Mean of each entry and those before it, ``window`` in all or as many as there are."""
    total = np.cumsum(np.asarray(values, np.float64), axis=-1)
    before = np.zeros_like(total)
    before[..., window:] = total[..., :-window]
    return (total - before) / np.minimum(np.arange(1, total.shape[-1] + 1), window)


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half (Agarwal et al. 2021)."""
    return stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the interquartile mean, resampling seeds.

    Args:
        values: ``[S, ...]``, of at least two seeds.
        confidence: of the interval.
        resamples: number of bootstrap samples; always the same ones.

    Returns:
        ``(low [...], high [...])``.
    """
    result = stats.bootstrap(
        (values,),
        interquartile_mean,
        axis=0,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=50,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def summarize(
    metrics: Metrics, per_update: int, threshold: float | None, unit: str = "steps"
) -> dict[str, Any]:
    """The figures of a run as plain numbers; None where one cannot be given.

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
        f"median_{unit}_to_solve": None,
        f"{unit}_to_solve": None,
    }
    if threshold is not None:
        steps = steps_to_solve(metrics, per_update, threshold)
        summary["fraction_solved"] = float(np.isfinite(steps).mean())
        summary[f"median_{unit}_to_solve"] = _number(np.median(steps))
        summary[f"{unit}_to_solve"] = [_number(value) for value in steps]
    return summary


def _number(value: Any) -> float | None:
    # JSON has neither NaN nor infinity.
    return float(value) if np.isfinite(value) else None
