"""What training reports: finished episodes, explained variance, and the learning curve."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.types import Algorithm, LossTerms, Metrics, Transition


class OpenEpisodes(NamedTuple):
    """The episodes under way in N environments, each ``[N]``: return and length so far."""

    returns: jax.Array
    lengths: jax.Array


class FinishedEpisodes(NamedTuple):
    """Returns, lengths and number of the episodes that finished in a rollout, and all its steps."""

    return_sum: jax.Array
    length_sum: jax.Array
    number: jax.Array
    steps: jax.Array


def open_episodes(num_envs: int) -> OpenEpisodes:
    """N episodes that have just begun."""
    return OpenEpisodes(jnp.zeros(num_envs), jnp.zeros(num_envs))


def count_episodes(
    under_way: OpenEpisodes, transitions: Transition, where: jax.Array | None = None
) -> tuple[OpenEpisodes, FinishedEpisodes]:
    """Carries episodes through a rollout ``[T, N, ...]``, of which the rows ``where`` count.

    Returns the episodes under way after it, and sums over those that finished in it.
    """
    ended = transitions.terminated | transitions.truncated
    rewards, steps = transitions.reward, jnp.ones_like(transitions.reward)
    if where is not None:
        ended, rewards, steps = ended & where, jnp.where(where, rewards, 0.0), steps * where
    # A row counts if its environment finishes an episode at this row or later: then its own
    # episode is among those that finish. No scan is needed.
    finishes = jax.lax.cummax(ended.astype(jnp.float32), axis=0, reverse=True)

    def carry(before: jax.Array, amount: jax.Array) -> tuple[jax.Array, jax.Array]:
        finished = jnp.sum(before * finishes[0]) + jnp.sum(amount * finishes)
        still_open = before * (1.0 - finishes[0]) + jnp.sum(amount * (1.0 - finishes), axis=0)
        return still_open, finished

    returns, return_sum = carry(under_way.returns, rewards)
    lengths, length_sum = carry(under_way.lengths, steps)
    number = jnp.sum(ended.astype(jnp.float32))
    finished = FinishedEpisodes(return_sum, length_sum, number, jnp.sum(steps))
    return OpenEpisodes(returns, lengths), finished


def explained_variance(
    values: jax.Array, targets: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    """How much of the targets' variance the values account for: ``1 - Var(G - v) / Var(G)``.

    1 is perfect, 0 no better than a constant, below 0 worse than one. Targets that do not
    vary leave nothing to explain, and give 0.

    All are ``[...]``, and the entries ``where`` count; by default all.

    Raises:
        ValueError: if the shapes disagree.
    """
    checks.same_shape("values", values, targets=targets)
    variance = jnp.var(targets, where=where)
    unexplained = jnp.var(targets - values, where=where)
    return jnp.where(variance > 0, 1.0 - unexplained / jnp.where(variance > 0, variance, 1.0), 0.0)


def update_metrics(
    finished: FinishedEpisodes,
    terms: LossTerms,
    grad_norm: jax.Array,
    where: jax.Array | None = None,
) -> Metrics:
    """What an update reports, from its finished episodes, its loss and its gradient's norm."""
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

    Pools consecutive updates into at most ``num_points`` equal stretches: the sum of the
    returns of all episodes that finished in a stretch, over their number. A stretch in
    which none finished is missing (NaN).

    Where an update is an episode (:func:`a2c_jax.article`), ``steps_per_update`` is its time
    limit and the steps are upper bounds; ``cumsum(metrics.steps)`` counts them.

    Args:
        metrics: of a training run, ``[..., num_updates]``; leading axes (seeds) are kept.
        algorithm: gives the environment steps of an update.
        num_points: of the curve.

    Returns:
        ``(steps [P], returns [..., P])``: environment steps at the end of each stretch.

    Raises:
        ValueError: if ``num_points`` is not a whole number of at least 1.
    """
    num_points = checks.positive_int("num_points", num_points)
    num_updates = metrics.episode_count.shape[-1]
    width = -(-num_updates // num_points)
    starts = np.arange(0, num_updates, width)
    ends = np.minimum(starts + width, num_updates)

    def pool(sums: jax.Array) -> np.ndarray:
        return np.add.reduceat(np.asarray(sums, np.float64), starts, axis=-1)

    count = pool(metrics.episode_count)
    total = pool(metrics.episode_return_sum)
    returns = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return ends * algorithm.steps_per_update, returns
