"""Truncation selection and perturbation: the step between two generations of a population."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax.experiment.sweeps.points import Range
from a2c_jax.types import Key

Values = Mapping[str, jax.Array]
"""The values of each setting, ``[P]``, by name."""

Ranges = Mapping[str, Range]


class Evolved(NamedTuple):
    """Settings and states after selection and perturbation, and the parents, ``[P]``."""

    values: Values
    states: Any
    parents: jax.Array


def evolve(key: Key, values: Values, scores: jax.Array, states: Any, ranges: Ranges) -> Evolved:
    """Replaces the worst fifth by perturbed copies of the best fifth (Jaderberg et al. 2017).

    A replaced member takes the state and the settings of its parent, and then each setting is
    perturbed; see :func:`select` and :func:`perturb`. Pure; ``ranges`` are static.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> ranges = {"learning_rate": Range(1e-4, 1e-2, log=True)}
        >>> values = {"learning_rate": jnp.array([1e-3, 2e-3])}
        >>> scores, states = jnp.array([5.0, 9.0]), jnp.array([10, 20])
        >>> evolved = evolve(jax.random.key(0), values, scores, states, ranges)
        >>> evolved.parents.tolist(), evolved.states.tolist()
        ([1, 1], [20, 20])

    Args:
        key: one key.
        values: the values of each setting, ``[P]``.
        scores: the higher, the better, ``[P]``; NaN counts as -inf.
        states: any tree of arrays ``[P, ...]``.
        ranges: the range of each setting.
    """
    select_key, perturb_key = jax.random.split(key)
    parents = select(select_key, scores)
    is_copy = parents != jnp.arange(len(parents))
    moved = perturb(perturb_key, {name: each[parents] for name, each in values.items()}, ranges)
    return Evolved(
        {name: jnp.where(is_copy, moved[name], each) for name, each in values.items()},
        jax.tree.map(lambda leaf: leaf[parents], states),
        parents,
    )


def select(key: Key, scores: jax.Array) -> jax.Array:
    """Truncation selection: the parent of each of P members, int ``[P]``.

    The worst fifth, at least one, each draw a parent from the best fifth. The others are their
    own parents, and so is a member whose drawn parent has no higher score: where all scores are
    equal or unknown, nothing is copied.
    """
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    order, number = jnp.argsort(scores), max(1, len(scores) // 5)
    worst, best = order[:number], order[-number:]
    drawn = jax.random.choice(key, best, (number,))
    parents = jnp.where(scores[drawn] > scores[worst], drawn, worst)
    return jnp.arange(len(scores)).at[worst].set(parents)


def perturb(key: Key, values: Values, ranges: Ranges) -> Values:
    """Moves every value of every setting up or down at random, and clips it to its range.

    A setting with a logarithmic range is multiplied by 0.8 or 1.2. One with a linear range moves
    by a tenth of its width, which is what these factors do at the middle of a range from 0: they
    would take a discount of 0.99 out of 0.9:1.
    """
    moved = {}
    for number, name in enumerate(sorted(values)):  # jit sorts the names, so this order is fixed
        value, (low, high, log) = values[name], ranges[name]
        is_up = jax.random.bernoulli(jax.random.fold_in(key, number), shape=value.shape)
        step = jnp.where(is_up, 0.2, -0.2)
        new = value * (1.0 + step) if log else value + 0.5 * step * (high - low)
        moved[name] = jnp.clip(new, low, high)
    return moved
