"""The rollout inside the fused kernel: every environment acts, all in step."""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from a2c_jax.fused_cartpole import has_fallen, pushed
from a2c_jax.fused_layout import NUM_ACTIONS, NUM_OBS, NUM_OUTPUTS
from a2c_jax.fused_memory import Memory, Static
from a2c_jax.fused_networks import Weights, head, hidden_layers, loop

Episodes = tuple[jax.Array, jax.Array, jax.Array]
"""Time, return and length so far of the episodes under way, each ``[lanes]``."""

_VALUE = NUM_ACTIONS


def play(static: Static, memory: Memory, weights: Weights) -> None:
    """T steps of N environments: fills in all about the transitions, and the first 3 metrics."""
    given, result, local = memory
    for k in range(NUM_OBS):
        local.obs[0, k] = given.cart[k]

    def step(
        t: jax.Array, carry: tuple[Episodes, list[jax.Array]]
    ) -> tuple[Episodes, list[jax.Array]]:
        (time, returns, lengths), sums = carry
        _evaluate(static, memory, weights, t)
        ended = _act(static, memory, t, time + 1)
        _evaluate_successors(static, memory, weights, t)
        now = (time + 1, returns + 1.0, lengths + 1.0)  # every step is rewarded with 1
        counted = ended * given.is_real[...]
        terms = (now[1] * counted, now[2] * counted, counted)
        onward = (jnp.where(ended > 0, 0, now[0]), now[1] * (1.0 - ended), now[2] * (1.0 - ended))
        return onward, [total + term for total, term in zip(sums, terms, strict=True)]

    start = (given.time[...], given.returns[...], given.lengths[...])
    zeros = [jnp.zeros(static.lanes, jnp.float32)] * 3
    episodes, sums = jax.lax.fori_loop(0, static.num_steps, step, (start, zeros))
    result.time[...], result.returns[...], result.lengths[...] = episodes
    for k in range(NUM_OBS):
        result.cart[k] = local.obs[static.num_steps, k]
    for i, total in enumerate(sums):
        result.metrics[i] = jnp.sum(total)


def _act(static: Static, memory: Memory, t: jax.Array, time: jax.Array) -> jax.Array:
    """Samples actions, carries them out, resets what ended; returns where that was."""
    given, _, local = memory
    left, right = (local.outputs[t, a] + given.noise[t, a] for a in range(NUM_ACTIONS))
    action = jnp.where(right > left, 1.0, 0.0)
    cart = pushed([local.obs[t, k] for k in range(NUM_OBS)], action)
    terminated = jnp.where(has_fallen(cart), 1.0, 0.0)
    truncated = jnp.where(time >= static.max_episode_steps, 1.0, 0.0)
    ended = jnp.maximum(terminated, truncated)
    for k in range(NUM_OBS):
        local.successor[k] = cart[k]
        local.obs[t + 1, k] = jnp.where(ended > 0, given.resets[t, k], cart[k])
    local.action[t] = action
    local.terminated[t] = terminated
    local.cut_off[t] = jnp.maximum(ended, jnp.where(t == static.num_steps - 1, 1.0, 0.0))
    return ended


def _evaluate(static: Static, memory: Memory, weights: Weights, t: jax.Array) -> None:
    """Logits and values of row t."""
    local = memory.local
    for i in range(NUM_OUTPUTS):
        local.outputs[t, i] = jnp.zeros(static.lanes, jnp.float32)

    def one(n: jax.Array) -> None:
        obs = [local.obs[t, k, n] for k in range(NUM_OBS)]
        last_layer = hidden_layers(static, memory, weights, obs)[-1]
        for i in range(NUM_OUTPUTS):
            local.outputs[t, i, n] = head(weights, last_layer, i)

    loop(static.num_envs, one)


def _evaluate_successors(static: Static, memory: Memory, weights: Weights, t: jax.Array) -> None:
    """Values of row t's true successors that are not the next row and have a future."""
    local = memory.local
    local.next_value[t] = jnp.zeros(static.lanes, jnp.float32)

    def one(n: jax.Array) -> None:
        @pl.when(local.cut_off[t, n] > local.terminated[t, n])
        def _() -> None:
            obs = [local.successor[k, n] for k in range(NUM_OBS)]
            last_layer = hidden_layers(static, memory, weights, obs)[-1]
            local.next_value[t, n] = head(weights, last_layer, _VALUE)

    loop(static.num_envs, one)
