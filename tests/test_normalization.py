"""Normalised observations and scaled rewards, against NumPy in float64 and gymnasium."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax.normalization import merged, no_statistics


def test_merged_statistics_are_those_of_all_samples_at_once():
    random = np.random.default_rng(0)
    streams = [random.normal(1e3, 1e-1, (3, 4, 2)), random.normal(0.0, 30.0, (7, 2, 2))]
    streams.append(random.normal(-5.0, 1e-3, (1, 1, 2)))
    statistics = no_statistics((2,))
    for stream in streams:
        statistics = merged(statistics, jnp.asarray(stream, jnp.float32))
    samples = np.concatenate([stream.reshape(-1, 2) for stream in streams])
    np.testing.assert_allclose(statistics.mean, samples.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics.variance, samples.var(0), rtol=1e-5)
    assert statistics.number == len(samples)


def test_excluded_samples_do_not_count():
    samples = jnp.array([[[1.0], [9.0]], [[3.0], [7.0]]])
    statistics = merged(no_statistics((1,)), samples, jnp.array([[True, False], [True, False]]))
    np.testing.assert_allclose([*statistics.mean, *statistics.variance], [2.0, 1.0])


def pendulum_agent(num_envs=3):
    env = a2c.make_env("Pendulum-v1", max_steps_in_episode=7)
    agent = a2c.as_agent(env, a2c.mlp_actor_critic(env, (8,)))
    return env, a2c.scaled_rewards(a2c.normalized(agent, env), num_envs, discount=0.9)


def test_rewards_are_scaled_as_gymnasium_scales_them():
    """Its running variance of discounted returns, after the same rewards step by step."""
    env, agent = pendulum_agent()
    collector = a2c.rollouts(env, agent, 3, 5)
    state = agent.init(jax.random.key(0))
    actors = collector.init(jax.random.key(1), state)
    theirs, returns = gymnasium.wrappers.utils.RunningMeanStd(epsilon=1e-8, shape=()), np.zeros(3)
    collect = jax.jit(collector.collect)
    for key in jax.random.split(jax.random.key(2), 6):
        before = state
        actors, rollout = collect(key, state, actors)
        state = agent.observe(state, rollout)
        rows = rollout.transitions
        for reward, ended in zip(rows.reward, rows.terminated | rows.truncated, strict=True):
            returns = 0.9 * returns + np.asarray(reward, np.float64)
            theirs.update(returns)
            returns = np.where(ended, 0.0, returns)
    statistics, ours = state.moments.own
    np.testing.assert_allclose(statistics.variance, theirs.var, rtol=1e-4)
    np.testing.assert_allclose(ours, returns, rtol=1e-4, atol=1e-5)
    # What is learned from: the rewards by the deviation of the rollouts before.
    deviation = np.sqrt(before.moments.own.statistics.variance)
    unrolled = agent.unroll(before, rollout)
    np.testing.assert_allclose(unrolled.rewards, rows.reward / deviation, rtol=1e-5)
    assert (rows.reward < -1.0).any()  # metrics count these


def test_the_loss_learns_from_the_scaled_rewards():
    env, agent = pendulum_agent()
    collector = a2c.rollouts(env, agent, 3, 5)
    state = agent.init(jax.random.key(0))
    rollout = collector.collect(jax.random.key(2), state, collector.init(jax.random.key(1), state))[
        1
    ]
    unrolled = agent.unroll(state, rollout)._replace(rewards=3.0 * rollout.transitions.reward)
    loss = a2c.combined_loss(0.9, a2c.reinforce, value_coef=0.0, entropy_coef=0.0)
    tripled = rollout.transitions._replace(reward=unrolled.rewards)
    expected = loss(unrolled._replace(rewards=None), rollout._replace(transitions=tripled))[0]
    np.testing.assert_allclose(loss(unrolled, rollout)[0], expected, rtol=1e-6)


def test_observations_are_normalised_by_the_rollouts_before():
    env, _ = pendulum_agent()
    seen = []
    network = a2c.mlp_actor_critic(env, (8,))

    def policy(params, obs):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), obs)
        return network.policy(params, obs)

    spy = a2c.normalized(a2c.as_agent(env, network._replace(policy=policy)), env)
    state = spy.init(jax.random.key(0))
    obs = jnp.array([[[10.0, 1.0, -8.0], [12.0, 1.0, 8.0]]])
    rows = a2c.Transition(obs, *[jnp.zeros((1, 2))] * 4, obs)
    state = spy.observe(state, a2c.Rollout(rows))
    spy.act(state, (), jnp.array([[13.0, 1.0, 1e6]]), None)
    jax.effects_barrier()
    np.testing.assert_allclose(seen[-1], [[2.0, 0.0, 10.0]], rtol=1e-5, atol=1e-3)


@pytest.fixture(scope="module")
def trained():
    """An algorithm of an agent with running statistics, and its state after three updates."""
    env, agent = pendulum_agent(num_envs=4)
    algorithm = a2c.actor_critic(env, agent, optax.adam(1e-3), num_envs=4, num_steps=5)
    train = jax.jit(lambda key: a2c.train(algorithm, key, 3))
    return env, agent, algorithm, train(jax.random.key(0)).state


def test_evaluation_changes_no_statistics(trained):
    env, agent, _, state = trained
    assert state.agent.moments.own.statistics.number == 3 * 20
    before = jax.tree.map(jnp.copy, state.agent)
    stats = a2c.evaluate(env, agent, state.agent, jax.random.key(1), 3)
    assert stats.returns.min() < -30  # raw: scaled, seven rewards sum up to less
    assert_identical(before, state.agent)


def test_devices_merge_their_statistics(trained):
    _, _, algorithm, state = trained
    split = a2c.train_split(algorithm, jax.random.key(0), 3).state.agent.moments
    alone = state.agent.moments
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), split, alone)


def test_a_state_that_is_given_starts_new_episodes(trained):
    _, _, algorithm, state = trained
    again = algorithm.init(jax.random.key(1), state.agent).agent
    assert state.agent.moments.own.returns.all()
    assert not again.moments.own.returns.any()
    assert_identical(again.moments.own.statistics, state.agent.moments.own.statistics)


def test_statistics_of_other_types_are_of_float32():
    samples = jnp.full((3, 2, 1), 1000.0, jnp.float16) * jnp.array([1.0, -1.0])[:, None]
    statistics = merged(no_statistics((1,)), samples.astype(jnp.float16))
    np.testing.assert_allclose(statistics.variance, [1e6], rtol=1e-5)
    assert {leaf.dtype for leaf in statistics} == {jnp.dtype(jnp.float32)}


def test_another_number_of_environments_is_refused():
    env, agent = pendulum_agent(num_envs=3)
    algorithm = a2c.actor_critic(env, agent, optax.adam(1e-3), num_envs=4, num_steps=5)
    with pytest.raises(ValueError, match=r"^num_envs of scaled_rewards is 3, but a rollout has 4"):
        a2c.train(algorithm, jax.random.key(0), 1)
    with pytest.raises(ValueError, match=r"^num_envs is 0; give"):
        a2c.scaled_rewards(agent, 0)
    with pytest.raises(ValueError, match=r"^discount is 2; give"):
        a2c.scaled_rewards(agent, 1, discount=2)
