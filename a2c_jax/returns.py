"""Discounted returns and lambda-returns, by one backward recursion.

Time is the leading axis; any further axes are independent streams.
"""

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax._devices import scan
from a2c_jax.types import Scalar


def discounted_returns(
    rewards: jax.Array, discounts: jax.Array, bootstrap_value: jax.Array
) -> jax.Array:
    """Discounted returns.

    ``Gₜ = rₜ + dₜ Gₜ₊₁`` for t = T-1 … 0, with ``G_T = bootstrap_value``.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(3)
        >>> discounted_returns(ones, 0.5 * ones, jnp.array(8.0)).tolist()
        [2.75, 3.5, 5.0]

    Args:
        rewards: rₜ, ``[T, ...]``.
        discounts: dₜ, ``[T, ...]``; 0 where the episode terminated.
        bootstrap_value: G_T, ``[...]``; the value of what follows the last row.

    Returns:
        Gₜ, ``[T, ...]``.

    Raises:
        ValueError: if the shapes disagree.

    Source: the article's loop ``Qval = rewards[t] + GAMMA * Qval``.
    """
    rewards = checks.time_major("rewards", rewards)
    _, discounts = checks.same_shape("rewards", rewards, discounts=discounts)
    _, bootstrap_value = checks.same_shape(
        "rewards[0]", rewards[0], bootstrap_value=bootstrap_value
    )

    start = jnp.asarray(bootstrap_value, jnp.result_type(rewards, discounts, bootstrap_value))
    return scan(_step_back, start, (rewards, discounts), reverse=True)[1]


# Of the module, not of a call: JAX compiles each function anew where no jit surrounds it.
def _step_back(later: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    reward, discount = row
    now = reward + discount * later
    return now, now


def lambda_returns(
    rewards: jax.Array,
    discounts: jax.Array,
    continues: jax.Array,
    next_values: jax.Array,
    lambda_: Scalar,
) -> jax.Array:
    """Lambda-returns over a rollout that may span several episodes.

    ``Gₜ = rₜ + dₜ [ cₜ ((1-λ) v'ₜ + λ Gₜ₊₁) + (1-cₜ) v'ₜ ]`` for t = T-1 … 0, with
    ``G_T = v'_{T-1}``. λ = 0 is the one-step TD target, and λ = 1 the return of all rewards up
    to the end of the episode or of the rollout, completed by one value.

    A step that terminated has dₜ = 0: nothing follows. A step that was truncated has cₜ = 0
    but dₜ > 0: its successor has the value v'ₜ, but is not the next row.

    Example:
        >>> import jax.numpy as jnp
        >>> rewards, values = jnp.ones(3), jnp.full(3, 8.0)
        >>> discounts = jnp.array([0.5, 0.5, 0.0])     # the last step terminated
        >>> continues = jnp.array([1.0, 1.0, 0.0])
        >>> lambda_returns(rewards, discounts, continues, values, 1.0).tolist()
        [1.75, 1.5, 1.0]
        >>> lambda_returns(rewards, discounts, continues, values, 0.0).tolist()
        [5.0, 5.0, 1.0]

    Args:
        rewards: rₜ, ``[T, ...]``.
        discounts: dₜ = discount * (1 - terminatedₜ), ``[T, ...]``.
        continues: cₜ = 1 - (terminatedₜ or truncatedₜ), ``[T, ...]``.
        next_values: v'ₜ, the value of the true successor, ``[T, ...]``; arbitrary but finite
            where the step terminated.
        lambda_: λ in [0, 1]; a number or a traced scalar.

    Returns:
        Gₜ, ``[T, ...]``.

    Raises:
        ValueError: if the shapes disagree or λ lies outside [0, 1].

    Source: Sutton & Barto (2018), section 12.1; the article's "Implementing A2C" is λ = 1.
    """
    rewards = checks.time_major("rewards", rewards)
    _, discounts, continues, next_values = checks.same_shape(
        "rewards", rewards, discounts=discounts, continues=continues, next_values=next_values
    )
    checks.unit_interval("lambda_", lambda_)
    # Collecting the factors of Gₜ₊₁ gives the recursion of the discounted return.
    onward = lambda_ * continues
    return discounted_returns(
        rewards + discounts * (1.0 - onward) * next_values, discounts * onward, next_values[-1]
    )
