"""The body of the fused kernel: a rollout, its loss's gradient, clipping and a step of Adam."""

import jax
import jax.numpy as jnp

from a2c_jax.fused_layout import HEAD_BIASES, NUM_ACTIONS, NUM_OUTPUTS
from a2c_jax.fused_memory import Memory, Ref, Scalars, Static, as_memory
from a2c_jax.fused_networks import accumulate, differentiate_networks, load_weights, loop
from a2c_jax.fused_rollout import play
from a2c_jax.types import Metrics

B1, B2, EPS = 0.9, 0.999, 1e-8  # of Adam, as in optax
_VALUE = NUM_ACTIONS
_POLICY_LOSS = Metrics._fields.index("policy_loss")  # then the value loss and the entropy
_GRAD_NORM = Metrics._fields.index("grad_norm")
_EXPLAINED = Metrics._fields.index("explained_variance")


def update(static: Static, *refs: Ref) -> None:
    """One update of one seed.

    Args:
        static: what it is compiled for.
        *refs: those of :class:`a2c_jax.fused_memory.Memory`, in order.
    """
    memory = as_memory(refs)
    scalars = Scalars(*(memory.given.scalars[i] for i in range(len(Scalars._fields))))
    weights = load_weights(static, memory)
    play(static, memory, weights)
    _estimate(static, memory, scalars)
    _look_at_errors(static, memory)
    _differentiate_loss(static, memory, scalars)
    differentiate_networks(static, memory, weights)
    _descend(static, memory, scalars)


def _estimate(static: Static, memory: Memory, scalars: Scalars) -> None:
    """Targets ``Gₜ = 1 + discount ((1-λcₜ) v'ₜ + λcₜ Gₜ₊₁)`` and advantages ``Gₜ - vₜ``.

    As :func:`a2c_jax.lambda_returns`, with v'ₜ = 0 where the step terminated, and cₜ = 0 at the
    last row too, where the return that follows is v'ₜ.
    """
    local, last = memory.local, static.num_steps - 1

    def back(i: jax.Array, later: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        t = last - i
        value, cut_off = local.outputs[t, _VALUE], local.cut_off[t] > 0
        later_target, later_value = later
        next_value = jnp.where(cut_off, local.next_value[t], later_value)
        onward = jnp.where(cut_off, 0.0, scalars.lambda_)
        future = (1.0 - onward) * next_value + onward * later_target
        target = 1.0 + scalars.discount * future
        local.target[t] = target
        local.advantage[t] = target - value
        return target, value

    zeros = jnp.zeros(static.lanes, jnp.float32)
    jax.lax.fori_loop(0, static.num_steps, back, (zeros, zeros))


def _look_at_errors(static: Static, memory: Memory) -> None:
    """The explained variance, and advantages normalised if they are to be."""
    local = memory.local
    _, target_variance = _moments(static, memory, local.target)
    mean, variance = _moments(static, memory, local.advantage)
    varies = target_variance > 0
    unexplained = variance / jnp.where(varies, target_variance, 1.0)
    memory.result.metrics[_EXPLAINED] = jnp.where(varies, 1.0 - unexplained, 0.0)
    if static.normalize_advantages:
        scale = jnp.sqrt(variance) + 1e-8

        def normalize(t: jax.Array) -> None:
            local.advantage[t] = (local.advantage[t] - mean) / scale

        loop(static.num_steps, normalize)


def _moments(static: Static, memory: Memory, ref: Ref) -> tuple[jax.Array, jax.Array]:
    """Mean and variance over all transitions."""
    real, zeros = memory.given.is_real[...], jnp.zeros(static.lanes, jnp.float32)
    [total] = accumulate(static.num_steps, lambda t: [ref[t] * real], [zeros])
    mean = jnp.sum(total) / static.batch

    def square(t: jax.Array) -> list[jax.Array]:
        deviation = ref[t] - mean
        return [deviation * deviation * real]

    [total] = accumulate(static.num_steps, square, [zeros])
    return mean, jnp.sum(total) / static.batch


def _differentiate_loss(static: Static, memory: Memory, scalars: Scalars) -> None:
    """Replaces outputs by the loss's gradient; writes its terms and the heads' biases' gradient."""
    local, real = memory.local, memory.given.is_real[...]
    zeros = jnp.zeros(static.lanes, jnp.float32)

    def row(t: jax.Array) -> list[jax.Array]:
        logs = _log_softmax(*(local.outputs[t, a] for a in range(NUM_ACTIONS)))
        probs = [jnp.exp(log) for log in logs]
        entropy = -(probs[0] * logs[0] + probs[1] * logs[1])
        taken = [1.0 - local.action[t], local.action[t]]
        log_prob = taken[0] * logs[0] + taken[1] * logs[1]
        advantage, error = local.advantage[t], local.outputs[t, _VALUE] - local.target[t]
        by_output = [
            (p - a) * advantage + scalars.entropy_coef * p * (log + entropy)
            for p, a, log in zip(probs, taken, logs, strict=True)
        ]
        by_output.append(2.0 * scalars.value_coef * error)
        share = real / static.batch
        for i in range(NUM_OUTPUTS):
            local.outputs[t, i] = by_output[i] * share
        terms = [-log_prob * advantage, error * error, entropy, *by_output]
        return [term * share for term in terms]

    sums = accumulate(static.num_steps, row, [zeros] * (3 + NUM_OUTPUTS))
    for i in range(3):
        memory.result.metrics[_POLICY_LOSS + i] = jnp.sum(sums[i])
    local.grads[HEAD_BIASES] = jnp.zeros(static.layout.shape[1], jnp.float32)
    for i in range(NUM_OUTPUTS):
        local.grads[HEAD_BIASES, i] = jnp.sum(sums[3 + i])


def _log_softmax(left: jax.Array, right: jax.Array) -> list[jax.Array]:
    most = jnp.maximum(left, right)
    log_sum = most + jnp.log(jnp.exp(left - most) + jnp.exp(right - most))
    return [left - log_sum, right - log_sum]


def _descend(static: Static, memory: Memory, scalars: Scalars) -> None:
    """Clips by the global norm and takes a step of Adam, row by row."""
    given, result, local = memory
    rows, columns = static.layout.shape
    zeros = jnp.zeros(columns, jnp.float32)
    [squares] = accumulate(rows, lambda i: [local.grads[i] * local.grads[i]], [zeros])
    norm = jnp.sqrt(jnp.sum(squares))
    result.metrics[_GRAD_NORM] = norm
    scale = jnp.where(norm < scalars.max_norm, 1.0, scalars.max_norm / norm)

    def descend(i: jax.Array) -> None:
        grad = local.grads[i] * scale
        mu = (1.0 - B1) * grad + B1 * given.mu[i]
        nu = (1.0 - B2) * grad * grad + B2 * given.nu[i]
        size = jnp.sqrt(nu / scalars.correction2) + EPS
        result.params[i] = given.params[i] - scalars.rate * (mu / scalars.correction1) / size
        result.mu[i], result.nu[i] = mu, nu

    loop(rows, descend)
