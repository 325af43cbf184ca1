"""Wrappers against expectations computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c

NUM_ACTIONS = 10


def clock(observe=lambda time: time[None], episode_length=3, max_episode_steps=100):
    """Counts its steps; the reward is the action that is executed."""

    def reset(key):
        return jnp.zeros((), jnp.int32), observe(jnp.zeros(()))

    def step(key, time, action):
        time, reward = time + 1, action.astype(jnp.float32)
        ends = time >= episode_length, time >= max_episode_steps
        return a2c.Timestep(time, observe(time.astype(jnp.float32)), reward, *ends)

    observation = jax.eval_shape(reset, jax.random.key(0))[1]
    space = a2c.Discrete(NUM_ACTIONS)
    return a2c.Environment("clock", reset, step, observation, space, max_episode_steps)


def steps_of(env, actions, num_envs=1):
    """The first observation, and the steps ``[T, N]`` of the given actions without a reset."""

    def body(env_state, row):
        key, action = row
        each = jnp.broadcast_to(action, (num_envs,))
        timestep = jax.vmap(env.step)(jax.random.split(key, num_envs), env_state, each)
        return timestep.env_state, timestep

    env_state, obs = a2c.reset_envs(jax.random.key(0), env, num_envs)
    rows = jax.random.split(jax.random.key(1), len(actions)), jnp.asarray(actions)
    return obs, jax.jit(lambda *carry: jax.lax.scan(body, *carry)[1])(env_state, rows)


def rollout_of(env, num_steps, num_envs=4):
    start = a2c.reset_envs(jax.random.key(0), env, num_envs)
    policy = lambda obs: jnp.zeros((num_envs, env.action_space.n))  # noqa: E731
    return a2c.rollout(jax.random.key(1), policy, env, *start, num_steps)[2]


@pytest.mark.parametrize(("own", "stated", "limit"), [(4, 4, 3), (4, 4, 4), (4, 4, 5), (2, 100, 4)])
def test_the_smaller_time_limit_applies_and_other_truncations_stay(own, stated, limit):
    env = clock(episode_length=50, max_episode_steps=own)._replace(max_episode_steps=stated)
    limited = a2c.time_limit(env, limit)
    assert limited.max_episode_steps == min(stated, limit)
    _, steps = steps_of(limited, [0] * 6)
    np.testing.assert_array_equal(steps.truncated[:, 0], np.arange(1, 7) >= min(own, limit))


def test_sticky_actions_repeat_the_last_executed_action_with_the_probability():
    probability, actions = 0.25, np.arange(NUM_ACTIONS)
    env = a2c.sticky_actions(clock(episode_length=100), probability)
    _, steps = steps_of(env, actions, num_envs=4000)
    executed = np.asarray(steps.reward)  # [T, N]
    np.testing.assert_array_equal(executed[0], actions[0], err_msg="the first action")
    repeats = executed[1:] == executed[:-1]  # the given actions all differ
    given = np.broadcast_to(actions[1:, None], repeats.shape)
    np.testing.assert_array_equal(executed[1:][~repeats], given[~repeats])
    deviation = np.sqrt(probability * (1 - probability) / repeats.size)
    assert abs(repeats.mean() - probability) <= 4 * deviation


def test_sticky_actions_forget_the_last_episode():
    env = a2c.sticky_actions(clock(episode_length=2), 1.0)
    steps = rollout_of(env, 40)
    first, second = steps.reward[0::2], steps.reward[1::2]
    np.testing.assert_array_equal(first, steps.action[0::2], err_msg="first steps of episodes")
    np.testing.assert_array_equal(second, first)
    assert (steps.action[1::2] != second).any(), "the agent's actions are stored"


def test_scaled_rewards():
    _, steps = steps_of(a2c.scale_rewards(clock(), 0.25), [0, 2, 8])
    np.testing.assert_array_equal(steps.reward[:, 0], [0.0, 0.5, 2.0])


def nested(time):
    return {"grid": jnp.stack([time, time + 1])[:, None].astype(jnp.int32), "flag": time > 1}


def masked(time):
    return a2c.MaskedObservation(nested(time), jnp.arange(NUM_ACTIONS) != time)


def test_a_flattened_observation_has_its_arrays_in_order():
    env = a2c.flatten_observation(clock(nested))
    obs, steps = steps_of(env, [0, 0])
    np.testing.assert_array_equal(obs[0], [0, 0, 1])  # a dictionary's keys are sorted
    np.testing.assert_array_equal(steps.obs[:, 0], [[0, 1, 2], [1, 2, 3]])
    assert env.observation == jax.ShapeDtypeStruct((3,), jnp.float32)


@pytest.mark.parametrize("wrap", [a2c.flatten_observation, lambda env: a2c.stack_frames(env, 3)])
def test_a_mask_is_kept_apart(wrap):
    env = wrap(clock(masked))
    a2c.check_env(env)
    obs, steps = steps_of(env, [0, 0])
    for mask, time in ((obs.action_mask[0], 0), (steps.obs.action_mask[1, 0], 2)):
        np.testing.assert_array_equal(mask, np.arange(NUM_ACTIONS) != time)


def test_frames_at_reset_and_at_the_end_of_an_episode():
    """The first observation fills all places; the last step has the frames of its own episode."""
    env = a2c.stack_frames(clock(lambda time: time[None] + 1), 3)
    steps = rollout_of(env, 4, num_envs=1)
    before = [[1, 1, 1], [1, 1, 2], [1, 2, 3], [1, 1, 1]]
    after = [[1, 1, 2], [1, 2, 3], [2, 3, 4], [1, 1, 2]]
    np.testing.assert_array_equal(steps.obs[:, 0], before)
    np.testing.assert_array_equal(steps.next_obs[:, 0], after)
    np.testing.assert_array_equal(steps.terminated[:, 0], [False, False, True, False])


@pytest.mark.parametrize(
    ("shape", "stacked"),
    [((), (2,)), ((5,), (10,)), ((3, 4), (3, 4, 2)), ((3, 4, 2), (3, 4, 4))],
)
def test_frames_are_stacked_along_the_last_axis(shape, stacked):
    env = a2c.stack_frames(clock(lambda time: jnp.full(shape, time)), 2)
    a2c.check_env(env)
    assert env.observation.shape == stacked
    _, steps = steps_of(env, [0, 0])
    older, newer = np.split(np.asarray(steps.obs[1, 0]), 2, axis=-1)
    assert (older == 1).all()
    assert (newer == 2).all()


OF_KEYS = jax.eval_shape(jax.random.key, 0)


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (lambda env: a2c.time_limit(env, 0), "num_steps is 0; give a whole number of at least 1."),
        (lambda env: a2c.time_limit(env, 2.5), "num_steps is 2.5; give a whole number"),
        (lambda env: a2c.sticky_actions(env, 1.5), "probability is 1.5; give a number from 0 to 1"),
        (lambda env: a2c.sticky_actions(env, "a"), "probability is 'a'; give a number from 0 to 1"),
        (lambda env: a2c.scale_rewards(env, 0.0), "factor is 0.0; give a finite number above 0."),
        (lambda env: a2c.stack_frames(env, 0), "num_frames is 0; give a whole number"),
        (
            lambda env: a2c.flatten_observation(env._replace(observation=OF_KEYS)),
            "The observation of clock has an array of type key<fry>; give an environment that",
        ),
    ],
)
def test_bad_arguments_are_named(wrap, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        wrap(clock())
