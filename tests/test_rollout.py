import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import always_surviving

import a2c_jax as a2c
from a2c_jax.algorithms.q_actor_critic import sarsa_rollouts
from a2c_jax.rollout import draw_noise, draw_starts

NUM_ENVS, NUM_STEPS = 2, 30
NOISE = a2c.categorical(2).noise


def test_a_rollout_is_a_plain_loop_over_the_same_noise(cartpole):
    weights, key = jnp.array([[0.0, 1.0], [1.0, 0.0], [0.5, -2.0], [0.0, 1.0]]), jax.random.key(2)
    state, obs = start = a2c.reset_envs(jax.random.key(1), cartpole, NUM_ENVS)
    _, last_obs, got = jax.jit(
        lambda: a2c.rollout(key, lambda obs: obs @ weights, cartpole, *start, NUM_STEPS)
    )()
    noise = draw_noise(key, NOISE, NUM_STEPS, NUM_ENVS)
    (reset_state, reset_obs), _ = draw_starts(key, cartpole, NUM_STEPS, NUM_ENVS, None)
    step = jax.jit(cartpole.step)
    for n in range(NUM_ENVS):
        env_state = jax.tree.map(lambda leaf, n=n: leaf[n], state)
        now = obs[n]
        for t in range(NUM_STEPS):
            action = np.argmax(now @ weights + noise.action[t, n])
            timestep = step(noise.step_key[t, n], env_state, action)
            np.testing.assert_allclose(got.obs[t, n], now, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(got.next_obs[t, n], timestep.obs, rtol=1e-4, atol=1e-5)
            assert got.action[t, n] == action
            assert got.terminated[t, n] == timestep.terminated
            env_state, now = timestep.env_state, timestep.obs
            if timestep.terminated or timestep.truncated:
                env_state = jax.tree.map(lambda x, t=t, n=n: x[t, n], reset_state)
                now = reset_obs[t, n]
        np.testing.assert_allclose(last_obs[n], now, rtol=1e-4, atol=1e-5)
    assert got.terminated[:-1].any()


def test_a_time_limit_too_ends_an_episode_and_the_next_begins():
    env = always_surviving(3)
    start = a2c.reset_envs(jax.random.key(0), env, 2)
    (_, time), _, got = jax.jit(
        lambda key: a2c.rollout(key, lambda obs: jnp.zeros((2, 2)), env, *start, num_steps=7)
    )(jax.random.key(1))
    assert time.tolist() == [1, 1]
    assert got.truncated[:, 0].tolist() == [False, False, True, False, False, True, False]
    assert not got.terminated.any()


def test_with_few_starts_every_ended_episode_begins_at_one_of_them(cartpole):
    start = a2c.reset_envs(jax.random.key(1), cartpole, 8)
    *_, got = jax.jit(
        lambda key: a2c.rollout(key, lambda obs: jnp.zeros((8, 2)), cartpole, *start, 60, 3)
    )(jax.random.key(2))
    ended = np.asarray(got.terminated | got.truncated)[:-1]
    assert ended.sum() > 10
    begun = np.unique(np.asarray(got.obs)[1:][ended], axis=0)
    assert len(begun) == 3
    assert np.all(np.abs(begun) <= 0.05)
    np.testing.assert_array_equal(got.next_obs[:-1][~ended], got.obs[1:][~ended])


def test_counts_below_1_are_refused(cartpole):
    start = a2c.reset_envs(jax.random.key(0), cartpole, 2)
    agent = a2c.feed_forward(None, a2c.categorical(2))
    parts = jax.random.key(0), lambda obs: obs[:, :2], cartpole, *start
    for refuse, sentence in [
        (lambda: a2c.reset_envs(jax.random.key(0), cartpole, 0), "num_envs is 0"),
        (lambda: a2c.rollout(*parts, -1), "num_steps is -1"),
        (lambda: a2c.rollout(*parts, 5, 1.5), "num_resets is 1.5"),
        (lambda: a2c.rollouts(cartpole, agent, 2, 2, 0), "num_resets is 0"),
        (lambda: sarsa_rollouts(cartpole, agent, 2, 2, 0), "num_resets is 0"),
    ]:
        with pytest.raises(ValueError, match=rf"^{sentence}; give a whole number"):
            refuse()


def lean(obs):
    """The action of a policy that is sure of itself: the way the pole leans."""
    return (obs[..., 2] > 0).astype(jnp.int32)


def test_the_action_drawn_is_the_action_taken_next():
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=7)
    env_state, obs = a2c.reset_envs(jax.random.key(0), env, 3)
    first = 1 - lean(obs)  # not what the policy would do
    network = a2c.Network(
        init=lambda key: (),
        policy=lambda params, obs: 1e6 * jax.nn.one_hot(lean(obs), 2),
        value=lambda params, obs: jnp.zeros((*obs.shape[:-1], 2)),
    )
    collector = sarsa_rollouts(env, a2c.feed_forward(network, a2c.categorical(2)), 3, 30)
    actors = a2c.Actors(env_state, obs, first)
    collect = jax.jit(collector.collect)
    (_, obs, action), rollout = collect(jax.random.key(1), a2c.AgentState(()), actors)
    rows, next_actions = rollout.transitions, rollout.memory
    ended = rows.terminated | rows.truncated
    assert ended.sum() > 6
    np.testing.assert_array_equal(rows.action[0], first)
    np.testing.assert_array_equal(rows.action[1:], lean(rows.obs)[1:])
    np.testing.assert_array_equal(action, lean(obs))
    # a' belongs to the true successor, also where that is the last of its episode.
    np.testing.assert_array_equal(next_actions, lean(rows.next_obs))
    continues = ~ended[:-1]
    np.testing.assert_array_equal(next_actions[:-1][continues], rows.action[1:][continues])
    np.testing.assert_array_equal(rows.next_obs[:-1][continues], rows.obs[1:][continues])
    assert not np.array_equal(next_actions[:-1][~continues], rows.action[1:][~continues])


def test_actions_steps_and_resets_draw_from_keys_of_their_own(cartpole):
    def keys(key, shape):
        return jax.random.split(key, shape)

    noise = draw_noise(jax.random.key(0), keys, 3, 2)
    env = cartpole._replace(reset=lambda key: (key, key))
    starts = draw_starts(jax.random.key(0), env, 3, 2, None)[0][0]
    drawn = [jax.random.key_data(each).reshape(6, 2) for each in (*noise[:2], starts)]
    assert len(np.unique(np.concatenate(drawn), axis=0)) == 18
