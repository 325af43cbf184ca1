"""What seeds allow one to say of others that were not run: estimates and their intervals.

scipy.stats is imported where it is used, since that takes more than half a second.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from a2c_jax import checks

_BATCH = 2_000_000  # numbers held at once while resampling

Statistic = Callable[[np.ndarray, int], np.ndarray]
"""``statistic(values, axis)``, over that axis."""


class Estimate(NamedTuple):
    """A value and the interval that it is known to."""

    value: float
    low: float
    high: float


class Profile(NamedTuple):
    """Fractions of seeds above some thresholds and their pointwise band, each ``[K]``."""

    fractions: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half (Agarwal et al. 2021)."""
    from scipy import stats

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
    from scipy import stats

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


def stratified_bootstrap(
    scores: Sequence[np.ndarray],
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of all scores, resampling within strata.

    Each resample draws ``S_i`` seeds of stratum i, with replacement, and pools them all: the
    tasks are the ones there are, only the seeds are by chance (Agarwal et al. 2021,
    section 4.1). Bring the scores of different tasks to one scale first.

    Args:
        scores: for every stratum (an environment, a task) its seeds' scores, ``[S_i]``.
        statistic: ``statistic(pooled [R, sum S_i], axis=1) -> [R]``; by default the
            interquartile mean.
        confidence: of the interval.
        resamples: number of bootstrap samples; always the same ones.

    Returns:
        ``(low, high)``.

    Raises:
        ValueError: if there is no stratum, one has fewer than two seeds or a score that is
            not finite, ``confidence`` is not between 0 and 1, or ``resamples`` is no whole
            number of at least 1.
    """
    strata = [_scores(f"scores[{i}]", stratum, least=2) for i, stratum in enumerate(scores)]
    if not strata:
        raise ValueError("scores is empty; give the scores of at least one stratum.")
    for i, stratum in enumerate(strata):
        for seed in np.flatnonzero(np.isinf(stratum)):
            raise ValueError(f"scores[{i}][{seed}] is {stratum[seed]}; give finite scores.")
    rng = np.random.default_rng(0)
    samples = []
    for number in _batches(resamples, sum(map(len, strata))):
        drawn = [rng.choice(stratum, (number, len(stratum))) for stratum in strata]
        samples.append(statistic(np.concatenate(drawn, axis=1), 1))
    low, high = np.quantile(np.concatenate(samples), _tails(confidence))
    return float(low), float(high)


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a probability, from how often something happened.

    With ``p = successes / trials`` and the normal quantile z of the confidence, the interval
    is ``(p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)``: it keeps its promise for
    few trials too, and has a width at 0 and at n (Wilson 1927).

    Args:
        successes: in how many trials.
        trials: how many there were, n.
        confidence: of the interval.

    Returns:
        ``(low, high)``, in [0, 1].

    Raises:
        ValueError: if ``trials`` is no whole number of at least 1, ``successes`` none from 0
            to ``trials``, or ``confidence`` not between 0 and 1.
    """
    trials = checks.positive_int("trials", trials)
    if successes not in range(trials + 1):
        raise ValueError(f"successes is {successes}; give a whole number from 0 to {trials}.")
    _tails(confidence)
    from scipy import stats

    interval = stats.binomtest(int(successes), trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def probability_of_improvement(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """How probably a seed of the first run scores above a seed of the second.

    ``P(X > Y) + P(X = Y) / 2``, which is Mann and Whitney's U over ``S T`` (Agarwal et al.
    2021, section 4.3), with a percentile bootstrap interval that resamples both sides. Two
    runs of which every seed of one beats every seed of the other give an interval without
    width, however few they are.

    Args:
        first: scores of the first run, ``[S]``; they may be infinite, as a time to solve is.
        second: scores of the second run, ``[T]``; likewise.
        confidence: of the interval.
        resamples: number of bootstrap samples; always the same ones.

    Raises:
        ValueError: if a score is NaN, as the final return of a seed is that finished no
            episode; if there are no scores, ``confidence`` is not between 0 and 1, or
            ``resamples`` is no whole number of at least 1.
    """
    first, second = _scores("first", first), _scores("second", second)
    # Only the order matters: a resample is how often it holds each of the distinct scores.
    levels, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    in_first = np.bincount(place[: len(first)], minlength=len(levels))
    in_second = np.bincount(place[len(first) :], minlength=len(levels))

    def improvement(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        below = np.cumsum(ys, axis=-1) - ys / 2  # a tie counts half
        return (xs * below).sum(axis=-1) / (len(first) * len(second))

    rng = np.random.default_rng(0)
    samples = []
    for number in _batches(resamples, len(levels)):
        xs = rng.multinomial(len(first), in_first / len(first), number)
        ys = rng.multinomial(len(second), in_second / len(second), number)
        samples.append(improvement(xs, ys))
    low, high = np.quantile(np.concatenate(samples), _tails(confidence))
    return Estimate(float(improvement(in_first, in_second)), float(low), float(high))


def performance_profile(
    scores: np.ndarray, thresholds: np.ndarray, confidence: float = 0.95
) -> Profile:
    """The fraction of seeds that score above each threshold.

    ``F(τ) = #{s : x_s > τ} / S``, strictly above (Agarwal et al. 2021, section 4.2), with a
    pointwise percentile bootstrap band. In a resample the number above τ is binomial with S
    and ``F(τ)``, so its percentiles are known and nothing is drawn. The band has no width
    where all or none are above.

    Args:
        scores: ``[S]``; NaN is not above anything.
        thresholds: τ, ``[K]``.
        confidence: of the band, at each threshold by itself.

    Raises:
        ValueError: if there are no scores, a threshold is NaN, or ``confidence`` is not
            between 0 and 1.
    """
    scores, thresholds = np.asarray(scores, np.float64), np.asarray(thresholds, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"scores has shape {scores.shape}; give a score for each seed.")
    if np.isnan(thresholds).any():
        raise ValueError("thresholds holds nan; give numbers.")
    # NaN sorts last, where infinity would be: it must not count as above.
    known = np.sort(scores[~np.isnan(scores)])
    above = known.size - np.searchsorted(known, thresholds, side="right")
    fractions = above / scores.size
    from scipy import stats

    binomial = stats.binom(scores.size, fractions)  # type: ignore[attr-defined] # named at run time
    low, high = (binomial.ppf(tail) / scores.size for tail in _tails(confidence))
    return Profile(fractions, low, high)


def _scores(name: str, scores: Any, least: int = 1) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or scores.size < least:
        raise ValueError(f"{name} has shape {scores.shape}; give the scores of {least} or more.")
    for seed in np.flatnonzero(np.isnan(scores)):
        raise ValueError(f"{name}[{seed}] is nan; leave out seeds that finished no episode.")
    return scores


def _tails(confidence: float) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; give a number between 0 and 1.")
    return (1.0 - confidence) / 2, (1.0 + confidence) / 2


def _batches(resamples: int, size: int) -> Iterator[int]:
    left = checks.positive_int("resamples", resamples)
    while left:
        number = min(left, max(1, _BATCH // size))
        yield number
        left -= number
