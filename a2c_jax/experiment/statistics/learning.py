"""Statistics of training runs: returns, times to solve, and the summary of a run."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy

from a2c_jax import checks
from a2c_jax.experiment.statistics.inference import (
    binomial_interval,
    bootstrap_interval,
    interquartile_mean,
)
from a2c_jax.metrics import finite_seeds
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

_BLOCK = 2**22  # seeds times updates


def solved_threshold(env: Environment) -> float | None:
    """The mean return at which an environment counts as solved; None where none is agreed."""
    return SOLVED_AT.get((env.name, env.max_episode_steps))


def recent_returns(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Mean return of the last 100 finished episodes, after every update.

    Metrics ``[..., U]``, with any leading axes, hold sums over an update, so the window is the
    shortest run of updates, ending with this one, in which at least 100 episodes finished; or all
    updates, if fewer did.

    Returns:
        ``(means [..., U], counts [..., U])``: the mean, NaN where no episode has finished, and
        the number of episodes in it.
    """
    shape = np.shape(metrics.episode_count)
    counts, sums = (
        np.asarray(field, np.float64).reshape(math.prod(shape[:-1]), shape[-1])
        for field in (metrics.episode_count, metrics.episode_return_sum)
    )
    num_seeds, num_updates = sums.shape
    # Column u + 1 is the total after update u; column 0 is zero.
    total, reward = np.zeros((2, num_seeds, num_updates + 1))
    np.cumsum(counts, axis=1, out=total[:, 1:])
    np.cumsum(sums, axis=1, out=reward[:, 1:])
    # One search serves all seeds: offsets make the concatenated totals ascend, and a window that
    # would begin before its seed's first update is clipped to it. float64 adds counts exactly.
    seeds = np.arange(num_seeds)[:, None]
    offset = total + seeds * (np.max(total, initial=0.0) + 1.0)
    last = np.searchsorted(offset.ravel(), (offset[:, 1:] - EPISODES).ravel(), side="right") - 1
    before = np.maximum(last.reshape(sums.shape), seeds * (num_updates + 1))
    sizes = total[:, 1:] - total.ravel()[before]
    with np.errstate(invalid="ignore"):
        means = (reward[:, 1:] - reward.ravel()[before]) / sizes
    return means.reshape(shape), sizes.reshape(shape)


def final_returns(metrics: Metrics) -> np.ndarray:
    """Mean return over the last 100 finished episodes: of metrics ``[..., U]``, ``[...]``."""
    shape = np.shape(metrics.episode_count)
    flat = jax.tree.map(lambda field: np.reshape(field, (math.prod(shape[:-1]), -1)), metrics)
    return _in_blocks(lambda block: recent_returns(block)[0][:, -1], flat).reshape(shape[:-1])


def _in_blocks(statistic: Callable[[Metrics], np.ndarray], metrics: Metrics) -> np.ndarray:
    """A statistic ``[S]`` of metrics ``[S, U]``, some seeds at a time, since it takes memory."""
    metrics = jax.tree.map(np.asarray, metrics)
    num_seeds, num_updates = metrics.episode_count.shape
    size = max(1, _BLOCK // max(1, num_updates))
    starts = range(0, max(1, num_seeds), size)
    blocks = (jax.tree.map(lambda field, a=a: field[a : a + size], metrics) for a in starts)
    return np.concatenate([statistic(block) for block in blocks])


def best_row(metrics: Metrics, finite: np.ndarray) -> int:
    """The row of the seed with the highest final return, the first of several.

    Seeds that are not ``finite [S]``, or have finished no episode, come last.
    """
    returns = final_returns(metrics)
    return int(np.argmax(np.where(finite & np.isfinite(returns), returns, -np.inf)))


def steps_to_solve(metrics: Metrics, steps_per_update: int, threshold: float) -> np.ndarray:
    """Environment steps after which a seed's last 100 episodes first averaged the threshold.

    Takes metrics ``[S, U]``; returns ``[S]``, infinite where a seed never did or has diverged.
    """

    def times(block: Metrics) -> np.ndarray:
        means, sizes = recent_returns(block)
        solved = (sizes >= EPISODES) & (means >= threshold) & finite_seeds(block)[:, None]
        steps = (np.argmax(solved, axis=1) + 1.0) * steps_per_update
        return np.where(solved.any(axis=1), steps, np.inf)

    return _in_blocks(times, metrics)


def solve_time_curve(steps_to_solve: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Fraction of seeds that have solved the task by each time.

    One minus Kaplan and Meier's (1958) survival curve, a right-continuous step function. Seeds
    that have not solved the task by ``end`` are censored there.

    Takes :func:`steps_to_solve`, ``[S]``; returns ``(times [K], fractions [K])`` from 0 to the
    end.

    Raises:
        ValueError: if there are no seeds, a time is NaN, or ``end`` is not finite and above 0.
    """
    checks.positive("end", end)
    times = np.asarray(steps_to_solve, np.float64)
    if times.ndim != 1 or not times.size:
        raise ValueError(f"steps_to_solve has shape {times.shape}; give one for each seed.")
    if np.isnan(times).any():
        raise ValueError("steps_to_solve holds nan; give infinity where a seed never solved.")
    solved = times[times <= end]
    data = scipy.stats.CensoredData(solved, right=np.full(times.size - solved.size, end))
    at = np.unique([0.0, *solved, end])
    return at, scipy.stats.ecdf(data).cdf.evaluate(at)


def rolling_mean(values: np.ndarray, window: int = 10) -> np.ndarray:
    """Mean of each entry and the ``window - 1`` before it, or as many as there are."""
    total = np.cumsum(np.asarray(values, np.float64), axis=-1)
    before = np.zeros_like(total)
    before[..., window:] = total[..., :-window]
    return (total - before) / np.minimum(np.arange(1, total.shape[-1] + 1), window)


def summarize(
    metrics: Metrics,
    per_update: int,
    threshold: float | None,
    unit: str = "steps",
    finite: np.ndarray | None = None,
) -> dict[str, Any]:
    """Summary of a run's metrics ``[S, U]`` as plain numbers; None where one is undefined.

    Seeds that never solved the task are censored: ``num_censored`` counts them, and the median
    is None where it falls among them. ``num_diverged`` counts those that are not ``finite [S]``,
    by default those with a metric that is not; none of them counts as solved. The final return is
    that of all seeds in which an episode finished. An update is ``per_update`` of the unit, which
    names the keys ``median_steps_to_solve`` and ``steps_to_solve``.
    """
    finite = np.asarray(finite_seeds(metrics) if finite is None else finite)
    final = final_returns(metrics)
    known = final[np.isfinite(final)]
    solved = f"{unit}_to_solve"
    summary = {
        "num_seeds": final.size,
        "num_diverged": int((~finite).sum()),
        "final_returns": _finite(final),
        "final_return_iqm": float(interquartile_mean(known)) if known.size else None,
        "final_return_interval_95": _finite(bootstrap_interval(known)) if known.size > 1 else None,
        "solved_threshold": threshold,
        **dict.fromkeys(("fraction_solved", "fraction_solved_interval_95", "num_censored")),
        **dict.fromkeys((f"median_{solved}", solved)),
    }
    if threshold is not None:
        times = np.where(finite, steps_to_solve(metrics, per_update, threshold), np.inf)
        number = int(np.isfinite(times).sum())
        summary |= {
            "fraction_solved": number / times.size,
            "fraction_solved_interval_95": list(binomial_interval(number, times.size)),
            "num_censored": times.size - number,
            f"median_{solved}": _finite([np.median(times)])[0],
            solved: _finite(times),
        }
    return summary


def _finite(values: Any) -> list[float | None]:
    # JSON has neither NaN nor infinity.
    return [float(value) if np.isfinite(value) else None for value in values]
