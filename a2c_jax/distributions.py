"""Action distributions as records of pure functions, whose noise is drawn separately.

:func:`distribution_for` chooses one by the kind of action space; nothing else in the library
depends on the kind.
"""

import functools
import math
import operator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax._devices import argmax, fast_random
from a2c_jax.spaces import Box, Discrete, MultiDiscrete, Space
from a2c_jax.types import Noise, NoiseFn


class SampleFn(Protocol):
    """Turns noise into actions ``[...]``."""

    def __call__(self, outputs: jax.Array, noise: Noise, /) -> jax.Array: ...


class LogProbFn(Protocol):
    """Log-probabilities or log-densities of actions, ``[...]``."""

    def __call__(self, outputs: jax.Array, actions: jax.Array, /) -> jax.Array: ...


class OutputsFn(Protocol):
    """Maps outputs ``[..., P]`` to ``[...]``."""

    def __call__(self, outputs: jax.Array, /) -> jax.Array: ...


class Distribution(NamedTuple):
    """A family of distributions over actions, given the outputs of a policy.

    Sampling is split in two, so that a rollout can draw all of its noise at once, outside its
    scan: ``sample(outputs, noise(key, outputs.shape[:-1]))``.

    Attributes:
        num_outputs: P, how many numbers a policy outputs.
        noise: draws the noise of a whole rollout.
        sample: turns noise into actions.
        mode: the most probable actions.
        log_prob: log-probabilities or log-densities of actions.
        entropy: in nats.
    """

    num_outputs: int
    noise: NoiseFn
    sample: SampleFn
    mode: OutputsFn
    log_prob: LogProbFn
    entropy: OutputsFn

    def check(self, outputs: jax.Array) -> None:
        """Raises ValueError unless the outputs are ``[..., P]``."""
        if outputs.ndim < 1 or outputs.shape[-1] != self.num_outputs:
            raise ValueError(
                f"The policy's outputs have shape {outputs.shape}, but the action distribution "
                f"needs {self.num_outputs} along the last axis; make the last layer match."
            )


def distribution_for(space: Space) -> Distribution:
    """The distribution for an action space.

    ``Discrete`` is :func:`categorical`, ``MultiDiscrete`` :func:`multi_categorical` and ``Box``
    :func:`diagonal_gaussian`.

    Raises:
        ValueError: if there is none.
    """
    match space:
        case Discrete(n):
            return categorical(n)
        case MultiDiscrete(sizes):
            return multi_categorical(sizes)
        case Box(_, _, shape):
            return diagonal_gaussian(shape)
    raise ValueError(
        f"action_space is {space!r}, which no distribution supports; give a Discrete, "
        "MultiDiscrete or Box of a2c_jax."
    )


def categorical(num_actions: int) -> Distribution:
    """The categorical distribution, ``P(a) = softmax(logits)[a]``.

    Sampled as ``argmax(logits + Gumbel noise)``.

    Args:
        num_actions: number of actions, which is the number of outputs.
    """
    return Distribution(
        num_outputs=num_actions,
        noise=fast_random(
            lambda key, batch_shape: jax.random.gumbel(
                key, (*batch_shape, num_actions), jnp.float32
            )
        ),
        sample=lambda logits, noise: argmax(logits + noise),
        mode=argmax,
        log_prob=_categorical_log_prob,
        entropy=_categorical_entropy,
    )


def multi_categorical(sizes: tuple[int, ...]) -> Distribution:
    """Independent categorical distributions, whose log-probabilities and entropies add up.

    Args:
        sizes: number of actions of each; the outputs are their concatenated logits.
    """
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def split(outputs: jax.Array) -> list[jax.Array]:
        return jnp.split(outputs, ends[:-1], axis=-1)

    def mode(outputs: jax.Array) -> jax.Array:
        return jnp.stack([argmax(logits) for logits in split(outputs)], axis=-1)

    def log_prob(outputs: jax.Array, actions: jax.Array) -> jax.Array:
        columns = [actions[..., i] for i in range(len(sizes))]
        each = map(_categorical_log_prob, split(outputs), columns)
        return functools.reduce(operator.add, each)

    def entropy(outputs: jax.Array) -> jax.Array:
        return functools.reduce(operator.add, map(_categorical_entropy, split(outputs)))

    return categorical(sum(sizes))._replace(
        sample=lambda outputs, noise: mode(outputs + noise),
        mode=mode,
        log_prob=log_prob,
        entropy=entropy,
    )


def diagonal_gaussian(shape: tuple[int, ...]) -> Distribution:
    """Independent normal distributions, one for each number of an action.

    The outputs are all means, then all log standard deviations. The support is unbounded: the
    environment receives actions clipped to its box, and log-probabilities are those of the
    unclipped actions.

    Args:
        shape: shape of an action; it has D numbers, and a policy has 2 D outputs.
    """
    size = math.prod(shape)

    def split(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        full = (*outputs.shape[:-1], *shape)
        return mean.reshape(full), log_std.reshape(full)

    def add_up(x: jax.Array) -> jax.Array:
        return jnp.sum(x, axis=tuple(range(x.ndim - len(shape), x.ndim)))

    def sample(outputs: jax.Array, noise: Any) -> jax.Array:
        mean, log_std = split(outputs)
        return mean + jnp.exp(log_std) * noise

    def log_prob(outputs: jax.Array, actions: jax.Array) -> jax.Array:
        mean, log_std = split(outputs)
        scaled = (actions - mean) * jnp.exp(-log_std)
        return add_up(-0.5 * jnp.square(scaled) - log_std - 0.5 * math.log(2.0 * math.pi))

    return Distribution(
        num_outputs=2 * size,
        noise=fast_random(
            lambda key, batch_shape: jax.random.normal(key, (*batch_shape, *shape), jnp.float32)
        ),
        sample=sample,
        mode=lambda outputs: split(outputs)[0],
        log_prob=log_prob,
        entropy=lambda outputs: add_up(split(outputs)[1] + 0.5 * math.log(2.0 * math.pi * math.e)),
    )


def _categorical_log_prob(logits: jax.Array, actions: jax.Array) -> jax.Array:
    checks.indices("actions", actions, logits.shape[:-1], logits.shape[-1])
    # A one-hot product, because the gradient of a gather is a scatter, which is slow.
    chosen = jax.nn.one_hot(actions, logits.shape[-1], dtype=logits.dtype)
    return jnp.sum(jnp.where(chosen > 0, jax.nn.log_softmax(logits), 0.0), axis=-1)


def _categorical_entropy(logits: jax.Array) -> jax.Array:
    log_probs = jax.nn.log_softmax(logits)
    probs = jnp.exp(log_probs)
    # p log p -> 0 as p -> 0, also where log p has become -inf. The inner choice keeps the infinity
    # out of the gradient. NaN != 0, so that the entropy of a network that diverged is NaN.
    terms = probs * jnp.where(probs != 0, log_probs, 0.0)
    return -jnp.sum(jnp.where(probs != 0, terms, 0.0), axis=-1)
