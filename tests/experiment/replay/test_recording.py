"""A recording holds what the policy did, step by step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.experiment.replay.page import ending_of, is_cartpole
from a2c_jax.experiment.replay.recording import Recording, episode_of, record

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


@pytest.fixture(scope="module")
def recordings(short, network, params):
    """The same policies, greedy and sampled."""
    arguments = short, network, params, SEEDS, jax.random.key(1), 4
    return {greedy: record(*arguments, greedy) for greedy in (True, False)}


@pytest.fixture(params=[True, False], ids=["greedy", "sampled"])
def greedy(request):
    return request.param


@pytest.fixture
def recording(recordings, greedy):
    return recordings[greedy]


def each(recording):
    for row, e in np.ndindex(recording.lengths.shape):
        yield row, e, episode_of(recording, row, e)


def test_arrays_are_as_long_as_the_longest_episode(short, recording):
    assert (recording.seeds, recording.action_space) == (SEEDS, short.action_space)
    longest = (3, 4, recording.lengths.max())
    assert recording.observations.shape == (*longest, 4)
    assert recording.final_observations.shape == (3, 4, 4)
    for array in (recording.actions, recording.values, recording.rewards):
        assert array.shape == longest
    assert all(isinstance(x, np.ndarray) for x in recording[3:])
    assert recording.actions.dtype.kind == recording.lengths.dtype.kind == "i"


def state_of(env, observation):
    """The state of CartPole that is observed so."""
    state, _ = env.reset(jax.random.key(0))
    names = ("x", "x_dot", "theta", "theta_dot")
    return state.replace(**dict(zip(names, jnp.asarray(observation), strict=True)))


def test_the_recorded_actions_lead_where_the_recording_says(short, recording):
    step = jax.jit(short.step)
    for row, e, episode in each(recording):
        state, length = state_of(short, episode.observations[0]), 0
        for action in episode.actions:
            timestep = step(jax.random.key(0), state, int(action))
            obs = episode.observations[length + 1]
            np.testing.assert_allclose(obs, timestep.obs, rtol=1e-5, atol=1e-6)
            assert episode.rewards[length] == timestep.reward
            state, length = timestep.env_state, length + 1
            ended = bool(timestep.terminated | timestep.truncated)
            assert ended == (length == len(episode.actions)), "it ends there, and not before"
        assert recording.lengths[row, e] == length
        assert recording.terminated[row, e] == timestep.terminated
    assert len({*recording.lengths.ravel()}) > 3, "episodes are too alike to test anything"
    assert {*recording.terminated.ravel()} == {True, False}


def test_outputs_and_values_are_the_networks(network, params, recording, greedy):
    outputs = jax.vmap(network.policy)(params, recording.observations)
    values = jax.vmap(network.value)(params, recording.observations)
    np.testing.assert_allclose(recording.outputs, outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recording.values, values, rtol=1e-4, atol=1e-5)
    best = recording.outputs.argmax(axis=-1)
    played = np.arange(best.shape[-1]) < recording.lengths[..., None]
    as_likely = (recording.actions == best)[played].mean()
    assert as_likely == 1.0 if greedy else 0.5 < as_likely < 1.0


def test_a_seed_does_what_it_does_beside_others(short, network, params, recordings):
    recording, seeds = recordings[False], (SEEDS[-1], 7)
    same = jax.tree.map(lambda x: jnp.stack([x[-1]] * 2), params)  # two seeds of one policy
    alone = record(short, network, same, seeds, jax.random.key(1), 4, greedy=False)
    np.testing.assert_array_equal(alone.lengths[0], recording.lengths[-1])
    for e in range(4):
        one, other = episode_of(alone, 0, e), episode_of(recording, -1, e)
        for a, b in zip(one[3:], other[3:], strict=True):
            np.testing.assert_array_equal(a, b)
        noise_of_its_own = episode_of(alone, 1, e).actions
        assert noise_of_its_own.tolist() != one.actions.tolist()
    begin = recording.observations[:, :, 0]
    np.testing.assert_array_equal(begin[0], begin[-1], "all seeds start from the same states")
    assert len(np.unique(begin[0], axis=0)) == 4, "the episodes of a seed do not"


def test_a_greedy_policy_does_what_evaluate_says(short, network, params, recordings):
    def evaluate(params):
        return a2c.evaluate(short, network, params, jax.random.key(1), 4)

    stats = jax.jit(lambda params: jax.lax.map(evaluate, params))(params)
    np.testing.assert_array_equal(recordings[True].lengths, stats.lengths)
    returns = [episode.rewards.sum() for _, _, episode in each(recordings[True])]
    np.testing.assert_array_equal(returns, stats.returns.ravel())


def test_a_critic_of_actions_gives_the_value_of_the_action_taken(short):
    settings = dataclasses.replace(
        presets.general,
        method="q-actor-critic",
        hidden_sizes=(8,),
        policy_init=1.0,
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


def ended_at(observation, terminated, env_name="CartPole-v1"):
    one, last = np.zeros((1, 1, 1)), np.array([[observation]])
    return Recording(
        env_name, a2c.Discrete(2), (0,), np.zeros_like(last)[:, :, None], last, one.astype(int),
        np.full((1, 1, 1, 2), 0.5), one, one, np.array([[1]]), np.array([[terminated]]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("episode", "known", "ending"),
    [
        (([2.41, 0.0, 0.2, 0.0], True), True, "left the track"),
        (([-2.41, 0.0, 0.2, 0.0], True), True, "left the track"),
        (([2.39, 0.0, -0.22, 0.0], True), True, "pole fell"),
        (([0.0, 9.0, 0.1, 9.0], False), True, "time limit"),
        (([2.41, 0.0, 0.2, 0.0], True, "Pendulum-v1"), False, "terminated"),
        (([2.41, 0.0, 0.2], True), False, "terminated"),
    ],
)
def test_an_episode_of_cartpole_says_which_limit_was_passed(episode, known, ending):
    recording = ended_at(*episode)
    assert is_cartpole(recording) is known
    assert ending_of(episode_of(recording, 0, 0)) == ending


def test_bad_input_is_refused(short, network, params):
    with pytest.raises(ValueError, match="num_episodes is 0; give a whole number"):
        record(short, network, params, SEEDS, jax.random.key(0), 0)
