"""An agent unrolled over a rollout is the agent that acted in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_agents import remembering

import a2c_jax as a2c
from a2c_jax.rollout import select


def plain(env):
    return a2c.feed_forward(a2c.mlp_actor_critic(env, (8,)), a2c.categorical(2))


@pytest.mark.parametrize(
    ("make", "whole"), [(remembering, False), (remembering, True), (plain, False)]
)
def test_unrolling_gives_the_outputs_that_acted(make, whole):
    """Row by row, with a new memory where an episode begins."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=5)
    agent = make(env)
    collector = a2c.episodes(env, agent, 3) if whole else a2c.rollouts(env, agent, 3, 12)
    collect, act = jax.jit(collector.collect), jax.jit(lambda *row: agent.act(*row, None))
    state = agent.init(jax.random.key(0))
    actors = collector.init(jax.random.key(1), state)
    for key in jax.random.split(jax.random.key(2)):  # the second begins in the midst of episodes
        actors, rollout = collect(key, state, actors)
    rows = rollout.transitions
    unrolled = agent.unroll(state, rollout)
    memory, fresh = rollout.memory, agent.memory(3)
    ended = rows.terminated | rows.truncated
    assert ended.any()
    for t in range(rows.reward.shape[0]):
        memory, greedy = act(state, memory, rows.obs[t])
        np.testing.assert_array_equal(greedy, jnp.argmax(unrolled.outputs[t], -1))
        memory = select(ended[t], fresh, memory)
    if not whole:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-4), actors.memory, memory)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(unrolled.outputs), rows.action[..., None], -1)
    np.testing.assert_allclose(unrolled.log_probs, chosen[..., 0], rtol=1e-5)
