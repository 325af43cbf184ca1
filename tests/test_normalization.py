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


def test_merged_statistics_are_those_of_all_included_samples_at_once():
    random = np.random.default_rng(0)
    streams = [
        random.normal(-900.0, 300.0, (3, 4, 2)).astype(np.float16),  # whose squares overflow
        random.normal(1e3, 1e-1, (3, 4, 2)).astype(np.float32),
        random.normal(-5.0, 1e-3, (1, 1, 2)).astype(np.float32),
        random.normal(0.0, 30.0, (7, 2, 2)).astype(np.float32),
    ]
    statistics, samples = no_statistics((2,)), []
    for number, stream in enumerate(streams):
        where = np.arange(stream.shape[0] * stream.shape[1]).reshape(stream.shape[:2]) % 3 != 1
        included = where if number % 2 else np.full_like(where, True)
        statistics = merged(statistics, jnp.array(stream), jnp.array(where) if number % 2 else None)
        samples += [*np.asarray(stream, np.float64)[included]]
        np.testing.assert_allclose(statistics.mean, np.mean(samples, 0), rtol=1e-5)
        np.testing.assert_allclose(statistics.variance, np.var(samples, 0), rtol=1e-5)
        assert statistics.number == len(samples)
    assert {leaf.dtype for leaf in statistics} == {jnp.dtype(jnp.float32)}


LINEAR = a2c.Network(
    init=lambda key: {"policy": jnp.zeros((3, 2)), "value": jnp.ones(3)},
    policy=lambda params, obs: obs @ params["policy"],
    value=lambda params, obs: obs @ params["value"],
)
ENV = a2c.make_env("Pendulum-v1", max_steps_in_episode=7)
AGENT = a2c.scaled_rewards(a2c.normalized(a2c.as_agent(ENV, LINEAR), ENV), 4, discount=0.9)


def test_rewards_are_scaled_as_gymnasium_scales_them():
    """Its running variance of discounted returns, after the same rewards step by step."""
    collector = a2c.rollouts(ENV, AGENT, 4, 5)

    @jax.jit
    def update(key, state, actors):
        actors, rollout = collector.collect(key, state, actors)
        rewards = AGENT.unroll(state, rollout).rewards
        return AGENT.observe(state, rollout), actors, rollout.transitions, rewards

    state = AGENT.init(jax.random.key(0))
    actors = collector.init(jax.random.key(1), state)
    theirs, returns = gymnasium.wrappers.utils.RunningMeanStd(epsilon=1e-8, shape=()), np.zeros(4)
    for key in jax.random.split(jax.random.key(2), 6):
        deviation = np.sqrt(state.moments.own.statistics.variance)  # of the rollouts before
        state, actors, rows, learned = update(key, state, actors)
        np.testing.assert_allclose(learned, np.clip(rows.reward / deviation, -10, 10), rtol=1e-5)
        for reward, ended in zip(rows.reward, rows.terminated | rows.truncated, strict=True):
            returns = 0.9 * returns + np.asarray(reward, np.float64)
            theirs.update(returns)
            returns = np.where(ended, 0.0, returns)
    statistics, ours = state.moments.own
    np.testing.assert_allclose(statistics.variance, theirs.var, rtol=1e-4)
    np.testing.assert_allclose(ours, returns, rtol=1e-4, atol=1e-5)
    assert (rows.reward < -1.0).any()  # metrics count these
    # A state that is given starts new episodes with the statistics so far.
    algorithm = a2c.actor_critic(ENV, AGENT, optax.sgd(0.1), num_envs=4, num_steps=5)
    again = algorithm.init(jax.random.key(1), state).agent.moments
    assert ours.all()
    assert not again.own.returns.any()
    assert_identical((again.own.statistics, again.inner), (statistics, state.moments.inner))


def test_the_loss_learns_from_the_scaled_rewards():
    rewards, no = jnp.arange(6.0).reshape(3, 2), jnp.zeros((3, 2), bool)
    rows = a2c.Transition(rewards, rewards, rewards, no, no, rewards)
    unrolled = a2c.Unrolled(*[rewards] * 5)
    loss = a2c.combined_loss(0.9, a2c.reinforce, value_coef=0.0, entropy_coef=0.0)
    expected = loss(unrolled, a2c.Rollout(rows._replace(reward=3.0 * rewards)))[0]
    scaled = loss(unrolled._replace(rewards=3.0 * rewards), a2c.Rollout(rows))[0]
    np.testing.assert_array_equal(scaled, expected)


def test_observations_are_normalised_by_the_rollouts_before():
    env = ENV._replace(action_space=a2c.Box(-1.0, 1.0, (1,)))
    as_action = a2c.Network(lambda key: (), lambda params, obs: obs[..., :2], None)
    agent = a2c.normalized(a2c.as_agent(env, as_action), env)
    obs = jnp.array([[[10.0, 1.0, -8.0], [12.0, 1.0, 8.0]]])  # a mean of 11, a deviation of 1
    rows = a2c.Transition(obs, *[jnp.zeros((1, 2))] * 4, obs)
    state = agent.observe(agent.init(jax.random.key(0)), a2c.Rollout(rows))
    first = jnp.array([13.0, 10.5, 1e6, -1e6])
    seen = agent.act(state, (), jnp.stack([first, 0 * first + 1, 0 * first], -1), None)[1]
    np.testing.assert_allclose(seen[:, 0], [2.0, -0.5, 10.0, -10.0], rtol=1e-5)


def test_devices_merge_their_statistics():
    algorithm = a2c.actor_critic(ENV, AGENT, optax.sgd(0.1), num_envs=4, num_steps=5)
    split = a2c.train_split(algorithm, jax.random.key(0), 3).state.agent.moments
    alone = jax.jit(lambda key: a2c.train(algorithm, key, 3))(jax.random.key(0)).state.agent.moments
    assert alone.own.statistics.number == alone.inner.own[0].number == 3 * 20
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), split, alone)


def test_another_number_of_environments_is_refused():
    algorithm = a2c.actor_critic(ENV, AGENT, optax.sgd(0.1), num_envs=3, num_steps=5)
    with pytest.raises(ValueError, match=r"^num_envs of scaled_rewards is 4, but a rollout has 3"):
        jax.eval_shape(lambda key: a2c.train(algorithm, key, 1), jax.random.key(0))
    with pytest.raises(ValueError, match=r"^num_envs is 0; give"):
        a2c.scaled_rewards(AGENT, 0)
    with pytest.raises(ValueError, match=r"^discount is 2; give"):
        a2c.scaled_rewards(AGENT, 1, discount=2)
