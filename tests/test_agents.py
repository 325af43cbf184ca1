"""An agent unrolled over a rollout is the agent that acted in it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import remembered

import a2c_jax as a2c
from a2c_jax.rollout import select


def plain(env):
    return a2c.feed_forward(a2c.mlp_actor_critic(env, (8,)), a2c.categorical(2))


def gru(env):
    return a2c.as_agent(env, a2c.gru_actor_critic(env, (8,), memory_size=6, policy_init=LARGE))


def normalized_gru(env):
    return a2c.scaled_rewards(a2c.normalized(gru(env), env), num_envs=3)


LARGE = a2c.orthogonal(2.0)
MAKERS = [plain, normalized_gru]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("make", MAKERS)
def test_unrolling_gives_the_outputs_that_acted(make, whole):
    """Row by row, with a new memory where an episode begins."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=5)
    agent = make(env)
    collector = a2c.episodes(env, agent, 3) if whole else a2c.rollouts(env, agent, 3, 12)
    collect, act = jax.jit(collector.collect), jax.jit(lambda *row: agent.act(*row, None))
    state = agent.init(jax.random.key(0))
    actors, rollout = collector.init(jax.random.key(1), state), None
    for key in jax.random.split(jax.random.key(2)):  # the second begins in the midst of episodes
        state = state if rollout is None else agent.observe(state, rollout)
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


@pytest.mark.parametrize("num_steps", [3, 4, 12])
def test_values_of_successors_are_those_of_the_memory_that_saw_them(num_steps):
    """At a time limit too, where the memory is reset right after; step by step as the oracle."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=5)
    network = a2c.gru_actor_critic(env, (8,), memory_size=6)
    agent = a2c.as_agent(env, network)
    collector = a2c.rollouts(env, agent, 3, num_steps)
    state = agent.init(jax.random.key(0))
    actors = collector.init(jax.random.key(1), state)
    for key in jax.random.split(jax.random.key(2), 3):
        actors, rollout = jax.jit(collector.collect)(key, state, actors)
    rows, params, memory = rollout.transitions, state.params, rollout.memory
    unrolled = jax.jit(agent.unroll)(state, rollout)
    ended = rows.terminated | rows.truncated
    assert rows.truncated[:-1].any() == (num_steps > 3)
    for t in range(num_steps):
        memory = network.remember(params, memory, network.encode(params, rows.obs[t]))
        np.testing.assert_allclose(
            unrolled.values[t], network.value(params, memory, rows.obs[t]), rtol=1e-4, atol=1e-6
        )
        after = network.remember(params, memory, network.encode(params, rows.next_obs[t]))
        expected = network.value(params, after, rows.next_obs[t])
        used = ~rows.terminated[t]
        np.testing.assert_allclose(
            unrolled.next_values[t][used], expected[used], rtol=1e-4, atol=1e-6
        )
        memory = select(ended[t], agent.memory(3), memory)


def test_gradients_flow_through_the_memory_and_not_through_successors():
    env = a2c.make_env("CartPole-v1")
    agent = gru(env)
    collector = a2c.rollouts(env, agent, 2, 6)
    state = agent.init(jax.random.key(0))
    _, rollout = collector.collect(
        jax.random.key(2), state, collector.init(jax.random.key(1), state)
    )

    def last_output(params):
        return agent.unroll(state._replace(params=params), rollout).outputs[-1].sum()

    def next_values(params):
        return agent.unroll(state._replace(params=params), rollout).next_values.sum()

    grads = jax.grad(last_output)(state.params)
    recurrent = grads["gru"]["params"]["hn"]["kernel"]
    assert jnp.abs(recurrent).max() > 1e-4
    assert all(not leaf.any() for leaf in jax.tree.leaves(jax.grad(next_values)(state.params)))


@pytest.mark.slow("learning")
@pytest.mark.parametrize(
    ("make", "low", "high"), [(a2c.gru_actor_critic, 0.99, 1.0), (a2c.mlp_actor_critic, 0.4, 0.6)]
)
def test_only_a_memory_solves_a_task_that_needs_one(make, low, high):
    """The first observation decides the last action: without a memory, half of them are right."""
    env = remembered()
    network = make(env, (16,))
    algorithm = a2c.actor_critic(
        env, network, optax.adam(1e-2), num_envs=32, num_steps=8, entropy_coef=0.01
    )
    result = jax.jit(jax.vmap(lambda key: a2c.train(algorithm, key, 300)))(
        jax.random.split(jax.random.key(0), 4)
    )
    episodes = jax.tree.map(lambda x: np.asarray(x)[:, -50:].sum(-1), result.metrics)
    success = episodes.episode_return_sum / episodes.episode_count
    assert (low <= success).all(), success
    assert (success <= high).all(), success


def test_an_algorithm_that_cannot_unroll_a_memory_refuses_it():
    env = a2c.make_env("CartPole-v1")
    for network in (a2c.gru_actor_critic(env), gru(env)):
        with pytest.raises(ValueError, match=r"^network is recurrent, but q_actor_critic cannot"):
            a2c.q_actor_critic(env, network, optax.sgd(0.1), num_envs=1, num_steps=1)
