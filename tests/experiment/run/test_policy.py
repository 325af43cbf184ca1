"""Policies that are saved, loaded without their network, and played elsewhere."""

import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import partly_legal

import a2c_jax as a2c
from a2c_jax import experiment

KEY = jax.random.key(0)


def of(env, network):
    return env, network, network.init(KEY)


def of_a_tree():
    """An environment that observes a tree, with a network of lists."""
    observation = {
        "state": jax.ShapeDtypeStruct((2,), jnp.float32),
        "time": jax.ShapeDtypeStruct((), jnp.int32),
    }
    env = a2c.Environment("tree", None, None, observation, a2c.MultiDiscrete((3, 2)), 5)
    network = a2c.Network(
        init=lambda key: [jax.random.normal(key, (2, 5)), jnp.ones(5)],
        policy=lambda params, obs: obs["state"] @ params[0] + params[1] * obs["time"][..., None],
        value=lambda params, obs: obs["state"][..., 0],
    )
    return of(env, network)


CARTPOLE, PENDULUM = a2c.make_env("CartPole-v1"), a2c.make_env("Pendulum-v1")
CASES = {
    "discrete": (*of(CARTPOLE, a2c.mlp_actor_critic(CARTPOLE, (8,))), np.ones(4, np.float32)),
    "box": (*of(PENDULUM, a2c.mlp_actor_critic(PENDULUM, (8,))), np.ones(3, np.float32)),
    "tree": (*of_a_tree(), {"state": np.array([0.5, -2.0], np.float32), "time": np.int32(3)}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_policy_acts_as_its_network(case, tmp_path):
    env, network, params, obs = CASES[case]
    path = experiment.save_policy(tmp_path / "a.b", env, network, params)
    assert path == tmp_path / "a.b.npz"
    policy = experiment.load_policy(tmp_path / "a.b")
    distribution = a2c.distribution_for(env.action_space)
    outputs = network.policy(params, jax.tree.map(lambda leaf: leaf[None], obs))
    np.testing.assert_array_equal(policy(obs), distribution.mode(outputs)[0])
    assert policy(obs).shape == env.action_space.action.shape
    many = jax.tree.map(lambda leaf: np.stack([leaf] * 2_000), obs)
    drawn = policy(many, KEY)
    np.testing.assert_array_equal(drawn, experiment.make_policy(env, network, params)(many, KEY))
    assert drawn.shape[0] == 2_000
    assert not np.array_equal(drawn, policy(many, jax.random.key(1)))
    if case == "box":
        assert drawn.min() == -2.0, "clipped to the action space"
        return
    rows = outputs.repeat(2_000, 0)
    expected = distribution.sample(rows, distribution.noise(jax.random.key(2), (2_000,)))
    np.testing.assert_allclose(drawn.mean(axis=0), np.mean(expected, axis=0), atol=0.07)


def test_narrow_parameters_are_saved_too(tmp_path):
    env, network, params, obs = CASES["discrete"]
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    network = network._replace(init=lambda key: narrow)
    policy = experiment.make_policy(env, network, narrow)
    loaded = experiment.load_policy(policy.save(tmp_path / "narrow"))
    assert loaded(obs) == policy(obs)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, narrow)


def test_parameters_come_back_as_nested_dictionaries(tmp_path):
    env, network, params, _ = CASES["discrete"]
    loaded = experiment.load_policy(experiment.save_policy(tmp_path / "p", env, network, params))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    assert a2c.actor_critic(  # so they can start another training
        env, network, experiment_optimizer(), num_envs=2, num_steps=2
    ).init(KEY, loaded.params)


def experiment_optimizer():
    import optax

    return optax.sgd(0.1)


def test_a_policy_needs_neither_its_network_nor_its_environment(tmp_path):
    env, network, params, obs = CASES["discrete"]
    path = experiment.save_policy(tmp_path / "p.npz", env, network, params)
    code = f"from a2c_jax import experiment; print(experiment.load_policy({str(path)!r})({[*obs]}))"
    code = code.replace("np.float32", "")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) == experiment.load_policy(path)(obs)


def test_a_policy_with_a_memory_continues_from_step_to_step(tmp_path):
    env, _, _, obs = CASES["discrete"]
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
    for legal in np.eye(8, dtype=bool):
        obs = a2c.MaskedObservation(legal.astype(np.float32), legal)
        assert experiment.load_policy(path)(obs) == legal.argmax()


def test_wrong_arguments_are_named(tmp_path):
    env, network, params, _ = CASES["discrete"]
    policy = experiment.make_policy(env, network, params)
    for obs in (np.ones(3), np.ones((2, 3)), np.float32(1)):
        with pytest.raises(ValueError, match=r"obs has shape .*; give \(4,\), or a batch of them"):
            policy(obs)
    with pytest.raises(ValueError, match="obs has the structure"):
        policy({"obs": np.ones(4)})
    with pytest.raises(ValueError, match="params has nothing at"):
        experiment.make_policy(env, network, {})
    path = policy.save(tmp_path / "p")
    path.write_bytes(path.read_bytes()[:1000])
    for wrong in (path, tmp_path / "none.npz"):
        with pytest.raises(ValueError, match="which holds no policy"):
            experiment.load_policy(wrong)


@pytest.mark.slow("learning")
def test_the_best_seed_plays_500_in_gymnasium(tmp_path):
    """The default preset solves CartPole-v1 in every seed long before 60,000 steps."""
    run = experiment.train_run(num_seeds=2, total_steps=60_000, out=tmp_path / "run")
    finals = dict(zip(run.job.seeds, run.summary["final_returns"], strict=True))
    assert finals[run.best_seed] == max(finals.values())
    policy = experiment.load_policy(run.policy(run.best_seed).save(tmp_path / "best.npz"))
    env = gymnasium.make("CartPole-v1")
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(policy(obs))
            total, ended = total + reward, terminated or truncated
        assert total == 500.0
    with pytest.raises(ValueError, match=r"seed is 7, which the run did not train; it has 0, 1\."):
        run.policy(7)
