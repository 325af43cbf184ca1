"""An agent unrolled over a rollout is the agent that acted in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax.rollout import select


def gru(env):
    large = a2c.orthogonal(2.0)
    return a2c.gru_actor_critic(env, (8,), memory_size=6, policy_init=large)


def short():
    return a2c.make_env("CartPole-v1", max_steps_in_episode=5)


@pytest.mark.parametrize("whole", [False, True])
def test_unrolling_gives_the_outputs_that_acted(whole):
    """Row by row, with a new memory where an episode begins."""
    env = short()
    agent = a2c.scaled_rewards(a2c.normalized(a2c.as_agent(env, gru(env)), env), num_envs=3)
    collector = a2c.episodes(env, agent, 3) if whole else a2c.rollouts(env, agent, 3, 12)
    collect, act = jax.jit(collector.collect), jax.jit(lambda *row: agent.act(*row, None))
    state = jax.jit(agent.init)(jax.random.key(0))
    actors, rollout = collector.init(jax.random.key(1), state), None
    for key in jax.random.split(jax.random.key(2)):  # the second begins in the midst of episodes
        state = state if rollout is None else agent.observe(state, rollout)
        actors, rollout = collect(key, state, actors)
    rows = rollout.transitions
    unrolled = jax.jit(agent.unroll)(state, rollout)
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


@functools.cache
def third_rollout(num_steps):
    """A recurrent network, its agent, a state, and a rollout in which episodes are under way."""
    env = short()
    network = gru(env)
    agent = a2c.as_agent(env, network)
    collector = a2c.rollouts(env, agent, 3, num_steps)
    state = jax.jit(agent.init)(jax.random.key(0))
    actors, collect = collector.init(jax.random.key(1), state), jax.jit(collector.collect)
    for key in jax.random.split(jax.random.key(2), 3):
        actors, rollout = collect(key, state, actors)
    return network, agent, state, rollout


# With rollouts of three steps, no time limit but at their ends.
@pytest.mark.parametrize("num_steps", [3, 4])
def test_values_of_successors_are_those_of_the_memory_that_saw_them(num_steps):
    """At a time limit too, where the memory is reset right after; step by step as the oracle."""
    network, agent, state, rollout = third_rollout(num_steps)
    rows, params, memory = rollout.transitions, state.params, rollout.memory
    unrolled = jax.jit(agent.unroll)(state, rollout)
    ended = rows.terminated | rows.truncated
    assert rows.truncated[:-1].any() == (num_steps > 3)

    @jax.jit
    def see(memory, obs):
        memory = network.remember(params, memory, network.encode(params, obs))
        return memory, network.value(params, memory, obs)

    for t in range(num_steps):
        memory, value = see(memory, rows.obs[t])
        np.testing.assert_allclose(unrolled.values[t], value, rtol=1e-4, atol=1e-6)
        _, expected = see(memory, rows.next_obs[t])
        used = ~rows.terminated[t]
        np.testing.assert_allclose(
            unrolled.next_values[t][used], expected[used], rtol=1e-4, atol=1e-6
        )
        memory = select(ended[t], agent.memory(3), memory)


def test_gradients_flow_through_the_memory_and_not_through_successors():
    _, agent, state, rollout = third_rollout(4)

    @jax.jit
    @jax.jacrev
    def gradients(params):
        unrolled = agent.unroll(state._replace(params=params), rollout)
        return unrolled.outputs[-1].sum(), unrolled.next_values.sum()

    of_last_output, of_next_values = gradients(state.params)
    assert jnp.abs(of_last_output["gru"]["params"]["hn"]["kernel"]).max() > 1e-4
    assert all(not leaf.any() for leaf in jax.tree.leaves(of_next_values))


def test_an_algorithm_that_cannot_unroll_a_memory_refuses_it(cartpole):
    network = gru(cartpole)
    for either in (network, a2c.as_agent(cartpole, network)):
        with pytest.raises(ValueError, match=r"^network is recurrent, but q_actor_critic cannot"):
            a2c.q_actor_critic(cartpole, either, optax.sgd(0.1), num_envs=1, num_steps=1)
