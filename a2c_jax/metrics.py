"""Metrics of training: finished episodes, explained variance, and the learning curve."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.types import Algorithm, LossTerms, Metrics, Transition

SUMS = ("episode_return_sum", "episode_length_sum", "episode_count", "steps")
"""The metrics that are sums over an update."""

AVERAGED = tuple(name for name in Metrics._fields if name not in SUMS)
"""All others, which logs and figures average over updates."""


class OpenEpisodes(NamedTuple):
    """The unfinished episodes of N environments, each ``[N]``: return and length so far."""

    returns: jax.Array
    lengths: jax.Array


class FinishedEpisodes(NamedTuple):
    """Sums over the episodes that finished in a rollout, and its number of steps."""

    return_sum: jax.Array
    length_sum: jax.Array
    number: jax.Array
    steps: jax.Array


def open_episodes(num_envs: int) -> OpenEpisodes:
    """N episodes that have just begun."""
    return OpenEpisodes(*jnp.zeros((2, num_envs), jnp.float32))


def count_episodes(
    under_way: OpenEpisodes, transitions: Transition, where: jax.Array | None = None
) -> tuple[OpenEpisodes, FinishedEpisodes]:
    """Continues unfinished episodes through the rows ``where`` of a rollout ``[T, N, ...]``.

    Returns the unfinished episodes after it, and sums over those that finished in it.
    """
    ended = transitions.terminated | transitions.truncated
    rewards, steps = transitions.reward, jnp.ones_like(transitions.reward)
    if where is not None:
        ended, rewards = ended & where, jnp.where(where, rewards, 0.0)
        steps = steps * where.astype(jnp.float32)
    # A row's episode finishes in the rollout if its environment ends an episode at this row or
    # later. So no scan is needed.
    ended = ended.astype(jnp.float32)
    finishes = jax.lax.cummax(ended, axis=0, reverse=True)

    def carry(before: jax.Array, amount: jax.Array) -> tuple[jax.Array, jax.Array]:
        finished = jnp.sum(before * finishes[0]) + jnp.sum(amount * finishes)
        still_open = before * (1.0 - finishes[0]) + jnp.sum(amount * (1.0 - finishes), axis=0)
        return still_open, finished

    returns, return_sum = carry(under_way.returns, rewards)
    lengths, length_sum = carry(under_way.lengths, steps)
    finished = FinishedEpisodes(return_sum, length_sum, jnp.sum(ended), jnp.sum(steps))
    return OpenEpisodes(returns, lengths), finished


def explained_variance(
    values: jax.Array, targets: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    """Fraction of the targets' variance that the values explain: ``1 - Var(G - v) / Var(G)``.

    1 is perfect, 0 is no better than a constant, and below 0 is worse than a constant. It is 0
    for constant targets.

    All arguments are ``[...]``; ``where`` selects the entries to include, by default all.

    Raises:
        ValueError: if the shapes disagree.
    """
    values, targets = checks.same_shape("values", values, targets=targets)
    checks.some_rows("values", values, where)
    variance = jnp.var(targets, where=where)
    unexplained = jnp.var(targets - values, where=where)
    varies = variance != 0  # also where it is NaN, which is no constant
    return jnp.where(varies, 1.0 - unexplained / jnp.where(varies, variance, 1.0), 0.0)


def update_metrics(
    finished: FinishedEpisodes,
    terms: LossTerms,
    grad_norm: jax.Array,
    where: jax.Array | None = None,
) -> Metrics:
    """Metrics of an update, from its finished episodes, loss terms and gradient norm."""
    return Metrics(
        episode_return_sum=finished.return_sum,
        episode_length_sum=finished.length_sum,
        episode_count=finished.number,
        policy_loss=terms.policy_loss,
        value_loss=terms.value_loss,
        entropy=terms.entropy,
        grad_norm=grad_norm,
        explained_variance=explained_variance(terms.values, terms.targets, where),
        steps=finished.steps,
    )


def learning_curve(
    metrics: Metrics, algorithm: Algorithm, num_points: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Mean return of finished episodes against environment steps.

    Pools consecutive updates into at most ``num_points`` equal stretches. A point is the mean
    return of all episodes that finished in a stretch; if none finished, that of the last stretch
    in which one did; NaN before the first.

    Where an update is an episode (:func:`a2c_jax.article`), ``steps_per_update`` is the time
    limit, so the steps are upper bounds; ``cumsum(metrics.steps)`` gives the actual steps.

    Args:
        metrics: of a training run, ``[..., num_updates]``; leading axes (seeds) are kept.
        algorithm: gives the environment steps of an update.
        num_points: largest number of points of the curve.

    Returns:
        ``(steps [P], returns [..., P])``: environment steps at the end of each stretch.

    Raises:
        ValueError: if ``num_points`` is not a whole number of at least 1, or there is no update.
    """
    num_points = checks.positive_int("num_points", num_points)
    counts, _ = checks.same_shape(  # only checked: the sums below keep their precision
        "episode_count", metrics.episode_count, episode_return_sum=metrics.episode_return_sum
    )
    if not any(counts.shape[-1:]):
        raise ValueError(f"episode_count has shape {counts.shape}; give at least one update.")
    num_updates = counts.shape[-1]
    width = -(-num_updates // num_points)
    starts = np.arange(0, num_updates, width)
    ends = np.minimum(starts + width, num_updates)

    def pool(sums: jax.Array) -> np.ndarray:
        return np.add.reduceat(np.asarray(sums, np.float64), starts, axis=-1)

    count = pool(metrics.episode_count)
    total = pool(metrics.episode_return_sum)
    returns = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return ends * algorithm.steps_per_update, carried_forward(returns, count > 0)


def carried_forward(values: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Replaces unknown values ``[..., P]`` by the last known one before them, if there is one."""
    last = np.maximum.accumulate(np.where(is_known, np.arange(values.shape[-1]), 0), axis=-1)
    return np.take_along_axis(values, last, axis=-1)


def finite_seeds(tree: Any) -> jax.Array:
    """Which seeds have only finite numbers, bool ``[S]``; the others have diverged.

    Example:
        >>> import jax.numpy as jnp
        >>> finite_seeds({"kernel": jnp.array([[1.0, 2.0], [jnp.nan, 0.0]])}).tolist()
        [True, False]

    Args:
        tree: arrays ``[S, ...]``, of JAX or of NumPy: metrics, parameters, or a tree of both.
    """
    finite: Any = True
    for leaf in jax.tree.leaves(tree):
        finite &= leaf.__array_namespace__().isfinite(leaf).all(axis=tuple(range(1, leaf.ndim)))
    return finite
