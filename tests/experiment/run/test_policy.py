"""Policies that are saved, loaded without their network, and played elsewhere."""

import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical
from probe_envs import partly_legal

import a2c_jax as a2c
from a2c_jax import experiment

KEY = jax.random.key(0)
NUMBER = 2_000


@pytest.fixture(scope="module")
def discrete(cartpole, tmp_path_factory):
    """A network for CartPole with its parameters, and the file of its policy."""
    network = a2c.mlp_actor_critic(cartpole, (8,))
    params = network.init(KEY)
    file = tmp_path_factory.mktemp("policy") / "a.b"
    path = experiment.save_policy(file, cartpole, network, params)
    assert path == file.with_name("a.b.npz")
    return network, params, path


def pendulum():
    env = a2c.make_env("Pendulum-v1")
    return env, a2c.mlp_actor_critic(env, (8,)), np.ones(3, np.float32)


def tree():
    """An environment that observes a tree, with a network of lists."""
    obs = {"state": np.array([0.5, -2.0], np.float32), "time": np.int32(3)}
    like = jax.eval_shape(lambda: obs)
    env = a2c.Environment("tree", None, None, like, a2c.MultiDiscrete((3, 2)), 5)
    network = a2c.Network(
        init=lambda key: [jax.random.normal(key, (2, 5)), jnp.ones(5)],
        policy=lambda params, obs: obs["state"] @ params[0] + params[1] * obs["time"][..., None],
        value=lambda params, obs: obs["state"][..., 0],
    )
    return env, network, obs


@pytest.mark.parametrize("make", [pendulum, tree])
def test_a_loaded_policy_acts_as_its_network(make, tmp_path):
    env, network, obs = make()
    params = network.init(KEY)
    made = experiment.make_policy(env, network, params)
    policy = experiment.load_policy(made.save(tmp_path / "p"))
    distribution = a2c.distribution_for(env.action_space)
    outputs = network.policy(params, jax.tree.map(lambda leaf: leaf[None], obs))
    np.testing.assert_array_equal(policy(obs), distribution.mode(outputs)[0])
    assert policy(obs).shape == env.action_space.action.shape
    many = jax.tree.map(lambda leaf: np.stack([leaf] * NUMBER), obs)
    drawn = policy(many, KEY)
    np.testing.assert_array_equal(drawn, made(many, KEY))
    assert not np.array_equal(drawn, policy(many, jax.random.key(1)))
    if make is pendulum:
        assert drawn.min() == -2.0, "clipped to the action space"
        return
    rows = outputs.repeat(NUMBER, 0)
    expected = distribution.sample(rows, distribution.noise(jax.random.key(2), (NUMBER,)))
    np.testing.assert_allclose(drawn.mean(axis=0), np.mean(expected, axis=0), atol=0.07)


def test_parameters_come_back_as_nested_dictionaries_narrow_ones_too(cartpole, discrete, tmp_path):
    network, params, path = discrete
    loaded = experiment.load_policy(path).params
    assert_identical(loaded, params)
    algorithm = a2c.actor_critic(cartpole, network, optax.sgd(0.1), num_envs=2, num_steps=2)
    jax.eval_shape(algorithm.init, KEY, loaded)  # so they can start another training
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    network = network._replace(init=lambda key: narrow)
    file = experiment.save_policy(tmp_path / "narrow", cartpole, network, narrow)
    assert_identical(experiment.load_policy(file).params, narrow)


def test_a_policy_needs_neither_its_network_nor_its_environment(discrete):
    network, params, path = discrete
    obs = [1.0, -2.0, 3.0, 0.5]
    code = f"from a2c_jax import experiment; print(experiment.load_policy({str(path)!r})({obs}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) == np.argmax(network.policy(params, jnp.array(obs)))


def test_a_policy_with_a_memory_continues_from_step_to_step(cartpole, tmp_path):
    env, obs = cartpole, np.ones(4, np.float32)
    network = a2c.gru_actor_critic(env, (8,), memory_size=3, policy_init=a2c.orthogonal())
    agent = a2c.normalized(a2c.as_agent(env, network), env)
    state = agent.init(KEY)
    policy = experiment.load_policy(experiment.save_policy(tmp_path / "p", env, agent, state))
    rows, memory, expected = 5.0 * np.stack([obs, -obs, obs * obs]), None, agent.memory(1)
    for row in rows:
        action, memory = policy.step(row, memory)
        expected, greedy = agent.act(state, expected, row[None], None)
        assert action == greedy[0]
        np.testing.assert_allclose(memory[0], expected[0], rtol=1e-5)
    batch = policy.step(rows, key=KEY)
    assert [batch[0].shape, batch[1][0].shape] == [(3,), (3, 3)]
    with pytest.raises(ValueError, match=r"memory has the shapes .*; give what the step before"):
        policy.step(obs, batch[1])
    with pytest.raises(ValueError, match="has a memory; call action, memory = step"):
        policy(obs)


def test_a_policy_takes_masked_observations(tmp_path):
    env = partly_legal()
    network = a2c.masked(a2c.mlp_actor_critic(a2c.unmasked(env), (8,)), env)
    path = experiment.save_policy(tmp_path / "p", env, network, network.init(KEY))
    legal = np.eye(8, dtype=bool)
    actions = experiment.load_policy(path)(a2c.MaskedObservation(legal.astype(np.float32), legal))
    np.testing.assert_array_equal(actions, np.arange(8))


def test_wrong_arguments_are_named(cartpole, discrete, tmp_path):
    network, _, file = discrete
    policy = experiment.load_policy(file)
    for obs in (np.ones(3), np.ones((2, 3)), np.float32(1)):
        with pytest.raises(ValueError, match=r"obs has shape .*; give \(4,\), or a batch of them"):
            policy(obs)
    with pytest.raises(ValueError, match="obs has the structure"):
        policy({"obs": np.ones(4)})
    with pytest.raises(ValueError, match="params has nothing at"):
        experiment.make_policy(cartpole, network, {})
    short = tmp_path / "short.npz"
    short.write_bytes(file.read_bytes()[:1000])
    for wrong in (short, tmp_path / "none.npz"):
        with pytest.raises(ValueError, match="which holds no policy"):
            experiment.load_policy(wrong)


def test_a_file_of_another_format_is_refused_by_name(discrete, tmp_path):
    with np.load(discrete[2]) as file:
        arrays = dict(file)
    assert arrays["format"] == 2
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    np.savez(new, **{**arrays, "format": 3})
    with pytest.raises(ValueError, match=r"policy \(its format is 3, and this version reads 2\)"):
        experiment.load_policy(new)
    del arrays["format"]
    np.savez(old, **arrays)
    words = r"old.npz', which is of the version before and cannot be .*; save the policy again\.$"
    with pytest.raises(ValueError, match=words):
        experiment.load_policy(old)
    (link := tmp_path / "link.npz").symlink_to(discrete[2])
    assert_identical(experiment.load_policy(link).params, discrete[1])


@pytest.mark.slow("learning")
def test_the_best_seed_plays_500_in_gymnasium(tmp_path):
    """The default preset solves CartPole-v1 in every seed long before 60,000 steps."""
    run = experiment.train_run(num_seeds=2, total_steps=60_000, out=tmp_path / "run")
    policy, env = run.policy(), gymnasium.make("CartPole-v1")
    for seed in range(5):
        (obs, _), total, ended = env.reset(seed=seed), 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(policy(obs))
            total, ended = total + reward, terminated or truncated
        assert total == 500.0
