"""Estimates over seeds and their confidence intervals; the seed of each bootstrap is fixed."""

from typing import Any, NamedTuple

import numpy as np
import scipy

from a2c_jax import checks

_BATCH = 2_000_000  # numbers held at once while resampling


class Estimate(NamedTuple):
    """A value and its confidence interval."""

    value: float
    low: float
    high: float


class Profile(NamedTuple):
    """Fractions of seeds above K thresholds and their pointwise band, each ``[K]``."""

    fractions: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half (Agarwal et al. 2021)."""
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap ``(low [...], high [...])`` of interquartile means over ``[S, ...]``."""
    _tails(confidence)
    options: Any = {"confidence_level": confidence, "rng": np.random.default_rng(0), "batch": 50}
    options |= {"n_resamples": checks.positive_int("resamples", resamples), "method": "percentile"}
    return tuple(scipy.stats.bootstrap([values], interquartile_mean, **options).confidence_interval)


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval ``(low, high)`` of a probability, from successes in n trials.

    ``(p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`` (Wilson 1927), with ``p = successes
    / n`` and the normal quantile z of the confidence.
    """
    trials = checks.positive_int("trials", trials)
    if successes not in range(trials + 1):
        raise ValueError(f"successes is {successes}; give a whole number from 0 to {trials}.")
    _tails(confidence)
    interval = scipy.stats.binomtest(int(successes), trials).proportion_ci(confidence, "wilson")
    return float(interval.low), float(interval.high)


def probability_of_improvement(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """Probability that a seed of the first run, ``[S]``, scores above one of the second, ``[T]``.

    ``P(X > Y) + P(X = Y) / 2`` (Agarwal et al. 2021, section 4.3), with a percentile bootstrap
    interval that resamples both sides: of no width if all seeds of one run beat all of the other.
    """
    first, second = per_seed("first", first), per_seed("second", second)
    for name, scores in {"first": first, "second": second}.items():
        for seed in np.flatnonzero(np.isnan(scores)):
            raise ValueError(f"{name}[{seed}] is nan; leave out seeds that finished no episode.")
    # Only the order matters: a resample is the count of each distinct score.
    levels, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    counts = [np.bincount(x, minlength=levels.size) for x in np.split(place, [first.size])]

    def improvement(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        below = np.cumsum(ys, axis=-1) - ys / 2  # a tie counts half
        return (xs * below).sum(axis=-1) / (first.size * second.size)

    samples, rng = np.empty(checks.positive_int("resamples", resamples)), np.random.default_rng(0)
    at_once = max(1, _BATCH // levels.size)
    for batch in np.split(samples, range(at_once, resamples, at_once)):
        batch[:] = improvement(*(rng.multinomial(n.sum(), n / n.sum(), batch.size) for n in counts))
    low, high = np.quantile(samples, _tails(confidence))
    return Estimate(float(improvement(*counts)), float(low), float(high))


def performance_profile(
    scores: np.ndarray, thresholds: np.ndarray, confidence: float = 0.95
) -> Profile:
    """Fraction of seeds whose scores, ``[S]``, are above each threshold τ, ``[K]``.

    ``F(τ) = #{s : x_s > τ} / S`` (Agarwal et al. 2021, section 4.2); NaN is above no threshold.
    The pointwise percentile bootstrap band is exact: a resample's number above τ is binomial.
    """
    scores, thresholds = per_seed("scores", scores), np.asarray(thresholds, np.float64)
    if np.isnan(thresholds).any():
        raise ValueError("thresholds holds nan; give numbers.")
    known = np.sort(scores[~np.isnan(scores)])
    fractions = (known.size - np.searchsorted(known, thresholds, side="right")) / scores.size
    binomial = scipy.stats.binom(scores.size, fractions)  # type: ignore[attr-defined] # at run time
    return Profile(fractions, *(binomial.ppf(tail) / scores.size for tail in _tails(confidence)))


def per_seed(name: str, values: Any) -> np.ndarray:
    """Returns values as float64 ``[S]``, or raises ValueError unless there is one for each seed."""
    if np.ndim(values) != 1 or not np.size(values):
        raise ValueError(f"{name} has shape {np.shape(values)}; give one number for each seed.")
    return np.asarray(values, np.float64)


def _tails(confidence: float) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; give a number between 0 and 1.")
    return (1.0 - confidence) / 2, (1.0 + confidence) / 2
