"""Action distributions as records of pure functions, with the noise drawn apart."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax.types import Key


class Distribution(NamedTuple):
    """A family of distributions over actions, given the policy's output.

    Sampling is split in two, so that a rollout can draw all of its noise at once, outside
    its scan: ``sample(logits, noise(key, logits.shape))``.

    Attributes:
        noise: ``noise(key, shape [..., A]) -> noise [..., A]``.
        sample: ``sample(logits [..., A], noise [..., A]) -> actions [...]``.
        mode: ``mode(logits [..., A]) -> actions [...]``.
        log_prob: ``log_prob(logits [..., A], actions [...]) -> [...]``.
        entropy: ``entropy(logits [..., A]) -> [...]``, in nats.
    """

    noise: Callable[[Key, tuple[int, ...]], jax.Array]
    sample: Callable[[jax.Array, jax.Array], jax.Array]
    mode: Callable[[jax.Array], jax.Array]
    log_prob: Callable[[jax.Array, jax.Array], jax.Array]
    entropy: Callable[[jax.Array], jax.Array]


def _sample(logits: jax.Array, noise: jax.Array) -> jax.Array:
    return jnp.argmax(logits + noise, axis=-1)


def _mode(logits: jax.Array) -> jax.Array:
    return jnp.argmax(logits, axis=-1)


def _log_prob(logits: jax.Array, actions: jax.Array) -> jax.Array:
    # A one-hot product, because the gradient of a gather is a scatter, which is slow.
    chosen = jax.nn.one_hot(actions, logits.shape[-1], dtype=logits.dtype)
    return jnp.sum(jnp.where(chosen > 0, jax.nn.log_softmax(logits), 0.0), axis=-1)


def _entropy(logits: jax.Array) -> jax.Array:
    log_probs = jax.nn.log_softmax(logits)
    probs = jnp.exp(log_probs)
    # p log p -> 0 as p -> 0, also where log p has become -inf.
    return -jnp.sum(jnp.where(probs > 0, probs * log_probs, 0.0), axis=-1)


categorical = Distribution(
    noise=jax.random.gumbel, sample=_sample, mode=_mode, log_prob=_log_prob, entropy=_entropy
)
"""The categorical distribution: P(a) = softmax(logits)[a], sampled as argmax(logits + Gumbel)."""
