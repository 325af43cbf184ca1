"""A recording holds what the policy did, step by step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import always_surviving, delayed

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.experiment.replay.page import ending_of, is_cartpole
from a2c_jax.experiment.replay.recording import Recording, episode_of, record
from a2c_jax.methods import METHODS

SEEDS = (4, 9, 2)


def seeds_of(network, count):
    """Parameters with a leading axis."""
    return jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(0), count))


@pytest.fixture(scope="module")
def short():
    return a2c.make_env("CartPole-v1", max_steps_in_episode=60)


@pytest.fixture(scope="module")
def network(short):
    return a2c.mlp_actor_critic(short, hidden_sizes=(8,), policy_init=a2c.orthogonal(1.0))


@pytest.fixture(scope="module")
def params(network):
    return seeds_of(network, len(SEEDS))


@pytest.fixture(scope="module", params=[True, False], ids=["greedy", "sampled"])
def greedy(request):
    return request.param


@pytest.fixture(scope="module")
def recording(short, network, params, greedy):
    return record(short, network, params, SEEDS, jax.random.key(1), 4, greedy)


def each(recording):
    for row, e in np.ndindex(recording.lengths.shape):
        yield row, e, episode_of(recording, row, e)


def test_shapes(short, recording):
    length = recording.lengths.max()
    assert recording.seeds == SEEDS
    assert recording.observations.shape == (3, 4, length, 4)
    assert recording.final_observations.shape == (3, 4, 4)
    assert recording.outputs.shape == (3, 4, length, 2)
    for array in (recording.actions, recording.values, recording.rewards):
        assert array.shape == (3, 4, length)
    assert recording.terminated.shape == recording.lengths.shape == (3, 4)
    assert recording.action_space == short.action_space
    assert all(isinstance(x, np.ndarray) for x in recording[3:])
    assert recording.actions.dtype.kind == recording.lengths.dtype.kind == "i"


def state_of(env, observation):
    """The state of CartPole that is observed so."""
    state, _ = env.reset(jax.random.key(0))
    x, x_dot, theta, theta_dot = jnp.asarray(observation)
    return state.replace(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot)


def test_the_recorded_actions_lead_where_the_recording_says(short, recording):
    step = jax.jit(short.step)
    for row, e, episode in each(recording):
        state, length = state_of(short, episode.observations[0]), 0
        for action in episode.actions:
            timestep = step(jax.random.key(0), state, int(action))
            np.testing.assert_allclose(
                episode.observations[length + 1], timestep.obs, rtol=1e-5, atol=1e-6
            )
            assert episode.rewards[length] == timestep.reward
            state, length = timestep.env_state, length + 1
            ended = bool(timestep.terminated | timestep.truncated)
            assert ended == (length == len(episode.actions)), "it ends there, and not before"
        assert recording.lengths[row, e] == length
        assert recording.terminated[row, e] == timestep.terminated
    assert len({*recording.lengths.ravel()}) > 3, "episodes are too alike to test anything"


def test_outputs_and_values_are_the_networks(network, params, recording, greedy):
    outputs = jax.vmap(network.policy)(params, recording.observations)
    values = jax.vmap(network.value)(params, recording.observations)
    np.testing.assert_allclose(recording.outputs, outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recording.values, values, rtol=1e-4, atol=1e-5)
    best = recording.outputs.argmax(axis=-1)
    played = np.arange(best.shape[-1]) < recording.lengths[..., None]
    as_likely = (recording.actions == best)[played].mean()
    assert as_likely == 1.0 if greedy else 0.5 < as_likely < 1.0


def test_a_seed_does_what_it_does_alone(short, network, params, recording, greedy):
    last = jax.tree.map(lambda x: x[-1:], params)
    # Where actions are sampled, beside another seed of the same policy.
    seeds = SEEDS[-1:] if greedy else (SEEDS[-1], 7)
    same = jax.tree.map(lambda x: jnp.concatenate([x] * len(seeds)), last)
    alone = record(short, network, same, seeds, jax.random.key(1), 4, greedy)
    np.testing.assert_array_equal(alone.lengths[0], recording.lengths[-1])
    for e in range(4):
        one, other = episode_of(alone, 0, e), episode_of(recording, -1, e)
        for a, b in zip(one[3:], other[3:], strict=True):
            np.testing.assert_array_equal(a, b)
        if not greedy:
            noise_of_its_own = episode_of(alone, 1, e).actions
            assert noise_of_its_own.tolist() != one.actions.tolist()
    begin = recording.observations[:, :, 0]
    np.testing.assert_array_equal(begin[0], begin[-1], "all seeds start from the same states")
    assert len(np.unique(begin[0], axis=0)) == 4, "the episodes of a seed do not"


@pytest.mark.parametrize("greedy", [True], indirect=True)
def test_a_greedy_policy_does_what_evaluate_says(short, network, params, recording, greedy):
    stats = jax.jit(
        lambda params: jax.lax.map(
            lambda one: a2c.evaluate(short, network, one, jax.random.key(1), 4), params
        )
    )(params)
    np.testing.assert_array_equal(recording.lengths, stats.lengths)
    returns = [episode.rewards.sum() for _, _, episode in each(recording)]
    np.testing.assert_array_equal(returns, stats.returns.ravel())


def test_a_critic_of_actions_gives_the_value_of_the_action_taken(short):
    settings = dataclasses.replace(
        presets.general,
        method=METHODS["q-actor-critic"],
        hidden_sizes=(8,),
        q_network=functools.partial(a2c.mlp_q_actor_critic, policy_init=a2c.orthogonal(1.0)),
    )
    agent, network = presets.make_agent(settings, short), presets.make_network(settings, short)
    states = seeds_of(agent, 1)
    recording = record(short, agent, states, [0], jax.random.key(1), 1, greedy=False)
    (_, _, episode), *_ = each(recording)
    mine = jax.tree.map(lambda x: x[0], states.params)
    seen = episode.observations[:-1]
    q = np.asarray(network.value(mine, seen))
    assert {*episode.actions} == {0, 1}, "else it could be the value of one action always"
    taken = np.take_along_axis(q, episode.actions[:, None], axis=-1)[:, 0]
    np.testing.assert_allclose(episode.values, taken, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(episode.outputs, network.policy(mine, seen), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("env", "length", "terminated"), [(always_surviving(7), 7, False), (delayed(), 2, True)]
)
def test_how_an_episode_ends(env, length, terminated):
    network = a2c.mlp_actor_critic(env, hidden_sizes=(8,))
    recording = record(env, network, seeds_of(network, 1), [0], jax.random.key(0), 1)
    assert recording.lengths.tolist() == [[length]]
    assert recording.terminated.tolist() == [[terminated]]
    assert recording.observations.shape[2] == length, "no longer than the longest episode"
    assert ending_of(episode_of(recording, 0, 0)) == ("terminated" if terminated else "time limit")


def ended_at(observation, terminated=True):
    one = np.zeros((1, 1, 1))
    return Recording(
        "CartPole-v1", a2c.Discrete(2), (0,), np.zeros((1, 1, 1, 4)), np.array([[observation]]),
        one.astype(int), np.full((1, 1, 1, 2), 0.5), one, one, np.array([[1]]),
        np.array([[terminated]]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("observation", "terminated", "ending"),
    [
        ([2.41, 0.0, 0.2, 0.0], True, "left the track"),
        ([-2.41, 0.0, 0.2, 0.0], True, "left the track"),
        ([2.39, 0.0, -0.22, 0.0], True, "pole fell"),
        ([0.0, 9.0, 0.1, 9.0], False, "time limit"),
    ],
)
def test_cartpole_says_which_limit_was_passed(observation, terminated, ending):
    recording = ended_at(observation, terminated)
    assert is_cartpole(recording)
    assert ending_of(episode_of(recording, 0, 0)) == ending


def test_another_environment_is_not_cartpole():
    assert not is_cartpole(ended_at([0.0] * 4)._replace(env_name="Pendulum-v1"))
    assert not is_cartpole(ended_at([0.0] * 3))


def test_bad_input_is_refused(short, network, params):
    with pytest.raises(ValueError, match="num_episodes is 0; give a whole number"):
        record(short, network, params, SEEDS, jax.random.key(0), 0)
