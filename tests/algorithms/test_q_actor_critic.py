import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import action_dependent, delayed

import a2c_jax as a2c
from a2c_jax.algorithms.q_actor_critic import action_values, sarsa_rollouts
from a2c_jax.rollout import draw_noise, draw_starts


def linear_q_network(env):
    """Logits and action values linear in the observation, so that gradients are known."""
    shape = (*env.observation.shape, 2)

    def init(key):
        policy_key, value_key = jax.random.split(key)
        return {
            "policy": jax.random.normal(policy_key, shape),
            "value": jax.random.normal(value_key, shape),
        }

    return a2c.Network(
        init,
        policy=lambda params, obs: obs @ params["policy"],
        value=lambda params, obs: obs @ params["value"],
    )


def algorithm_1(env, state, updates, rate_policy, rate_value, discount):
    """The article's pseudocode in NumPy and float64; the environment and the noise are given."""

    def sample(obs, noise):
        return int(np.argmax(obs @ theta + noise))

    theta = np.asarray(state.params["policy"], np.float64)
    w = np.asarray(state.params["value"], np.float64)
    env_state = jax.tree.map(lambda x: x[0], state.actors.env_state)
    s, a = np.asarray(state.actors.obs[0], np.float64), int(state.actors.memory[0])
    falls = 0

    @jax.jit
    def draw(t):
        noise_key, first_key = jax.random.split(jax.random.fold_in(state.key, t))
        noise = draw_noise(noise_key, a2c.categorical(2).noise, 1, 1)
        starts, _ = draw_starts(noise_key, env, 1, 1, None)
        return noise, starts, jax.random.gumbel(first_key, (1, 1, 2))[0, 0]

    step = jax.jit(env.step)
    for t in range(updates):
        noise, (reset_state, reset_obs), first_noise = draw(t)
        # Sample reward r and next state s', then sample the next action a'.
        timestep = step(noise.step_key[0, 0], env_state, jnp.int32(a))
        r, s_next = float(timestep.reward), np.asarray(timestep.obs, np.float64)
        a_next = sample(s_next, np.asarray(noise.action[0, 0], np.float64))
        # Before anything moves: what the first action of a new episode would be.
        s_first = np.asarray(reset_obs[0, 0], np.float64)
        a_first = sample(s_first, np.asarray(first_noise, np.float64))
        # Update the policy parameters: theta += alpha_theta Q(s, a) grad log pi(a | s).
        logits = s @ theta
        pi = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        q = (s @ w)[a]
        q_next = 0.0 if timestep.terminated else (s_next @ w)[a_next]
        theta = theta + rate_policy * q * np.outer(s, np.eye(2)[a] - pi)
        # delta = r + gamma Q(s', a') - Q(s, a); w += alpha_w delta grad Q(s, a).
        delta = r + discount * q_next - q
        w = w + rate_value * delta * np.outer(s, np.eye(2)[a])
        # Move to a <- a' and s <- s'.
        s, a, env_state = s_next, a_next, timestep.env_state
        if timestep.terminated:
            falls += 1
            s, a = s_first, a_first
            env_state = jax.tree.map(lambda x: x[0, 0], reset_state)
    return theta, w, s, a, falls


def test_one_environment_and_one_step_are_the_printed_algorithm(cartpole):
    rates = {"policy": optax.sgd(0.05), "value": optax.sgd(0.1)}
    optimizer = optax.partition(rates, {"policy": "policy", "value": "value"})
    algorithm = a2c.q_actor_critic(
        cartpole, linear_q_network(cartpole), optimizer, num_envs=1, num_steps=1, discount=0.9
    )
    start = algorithm.init(jax.random.key(4))
    theta, w, s, a, falls = algorithm_1(cartpole, start, 60, 0.05, 0.1, 0.9)
    state = jax.jit(lambda: a2c.run(algorithm, start, 60))().state
    moved = jax.tree.map(jnp.subtract, state.params, start.params)
    assert all(jnp.abs(x).max() > 1e-3 for x in jax.tree.leaves(moved)), "something happened"
    np.testing.assert_allclose(state.params["policy"], theta, atol=1e-5)
    np.testing.assert_allclose(state.params["value"], w, atol=1e-5)
    np.testing.assert_allclose(state.actors.obs[0], s, atol=1e-5)
    assert int(state.actors.memory[0]) == a
    assert falls >= 1, "an episode ended on the way"


def targets(rollout, params, network, expected=False):
    """The critic's targets, of the loss that q_actor_critic descends."""
    agent = action_values(network, 2, expected=expected)
    loss = a2c.combined_loss(0.9, a2c.sarsa, value_coef=0.5, entropy_coef=0.0)
    return loss(agent.unroll(a2c.AgentState(params), rollout), rollout)[1].targets


@pytest.fixture(scope="module")
def collected(cartpole):
    network = linear_q_network(cartpole)
    params = network.init(jax.random.key(1))
    collector = sarsa_rollouts(cartpole, action_values(network, 2), 8, 40)
    start = a2c.Actors(
        *a2c.reset_envs(jax.random.key(2), cartpole, 8), memory=jnp.zeros(8, jnp.int32)
    )
    collect = jax.jit(collector.collect)
    _, rollout = collect(jax.random.key(3), a2c.AgentState(params), start)
    assert rollout.transitions.terminated.any()
    return network, params, rollout


def test_the_expected_target_is_the_mean_of_the_sampled_ones(collected):
    network, params, rollout = collected
    probs = jax.nn.softmax(network.policy(params, rollout.transitions.next_obs))
    by_action = [
        targets(rollout._replace(memory=jnp.full_like(rollout.memory, a)), params, network)
        for a in range(2)
    ]
    mean = probs[..., 0] * by_action[0] + probs[..., 1] * by_action[1]
    expected = targets(rollout, params, network, expected=True)
    np.testing.assert_allclose(expected, mean, rtol=1e-5)
    assert not np.allclose(targets(rollout, params, network), mean)


def test_nothing_follows_a_fall(collected):
    network, params, rollout = collected
    fell, reward = np.asarray(rollout.transitions.terminated), rollout.transitions.reward
    for expected in (False, True):
        of_critic = targets(rollout, params, network, expected)
        np.testing.assert_array_equal(of_critic[fell], reward[fell])
        assert not np.allclose(of_critic[~fell], reward[~fell])


def learn(env, num_updates, **settings):
    network = a2c.mlp_q_actor_critic(env, (16,))
    optimizer = optax.adam(optax.linear_schedule(1e-2, 0.0, num_updates))
    algorithm = a2c.q_actor_critic(env, network, optimizer, num_envs=8, num_steps=8, **settings)
    result = jax.jit(lambda key: a2c.train(algorithm, key, num_updates))(jax.random.key(0))
    return network, result.state.params


@pytest.mark.parametrize(
    ("env", "expected", "exact"),
    [
        (action_dependent(), False, [[1.0, 0.0], [0.0, 1.0]]),
        (delayed(), False, [[0.9, 0.9], [1.0, 1.0]]),
        (delayed(), True, [[0.9, 0.9], [1.0, 1.0]]),
    ],
)
def test_the_value_of_each_action_is_exact(env, expected, exact):
    """Entropy keeps both actions in play: without it one would no longer be tried."""
    network, params = learn(env, 600, discount=0.9, entropy_coef=1.0, expected=expected)
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, exact, atol=0.03)


def test_it_learns_to_copy_the_coin():
    network, params = learn(action_dependent(), 600)
    probs = jax.nn.softmax(network.policy(params, jnp.array([[0.0], [1.0]])))
    assert probs[0, 0] > 0.95
    assert probs[1, 1] > 0.95


def test_a_network_with_the_wrong_critic_is_refused(cartpole):
    settings = {"num_envs": 2, "num_steps": 3}
    of_states = r"^network.value returns \[\.\.\.\] for .*, but \[\.\.\., 2\] is needed; .*\.$"
    with pytest.raises(ValueError, match=of_states):
        a2c.q_actor_critic(cartpole, a2c.mlp_actor_critic(cartpole), optax.adam(1e-3), **settings)
    q_network = a2c.mlp_q_actor_critic(cartpole)
    of_actions = r"^network.value returns \[\.\.\., 2\] for .*, but \[\.\.\.\] is needed; .*\.$"
    for make in (a2c.actor_critic, lambda *a, **k: a2c.a3c(*a, **k, num_workers=2)):
        with pytest.raises(ValueError, match=of_actions):
            make(cartpole, q_network, optax.adam(1e-3), **settings)
    with pytest.raises(ValueError, match=of_actions):
        a2c.article(cartpole, q_network)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("num_envs", 0), ("num_steps", 1.5), ("discount", 2.0), ("value_coef", -1.0)],
)
def test_arguments_outside_their_range_are_named(cartpole, argument, value):
    settings = {"num_envs": 2, "num_steps": 3, argument: value}
    with pytest.raises(ValueError, match=rf"^{argument} is .*; give .*\.$"):
        a2c.q_actor_critic(cartpole, a2c.mlp_q_actor_critic(cartpole), optax.adam(1e-3), **settings)


def test_both_networks_have_the_same_policy(cartpole):
    key, obs = jax.random.key(0), jnp.ones((3, 4))
    for state, action in [
        (a2c.mlp_actor_critic, a2c.mlp_q_actor_critic),
        (a2c.article_network, a2c.article_q_network),
    ]:
        network, q_network = state(cartpole), action(cartpole)
        logits = network.policy(network.init(key), obs)
        np.testing.assert_array_equal(logits, q_network.policy(q_network.init(key), obs))
        assert q_network.value(q_network.init(key), obs).shape == (3, 2)


def test_an_environment_that_does_not_fit_is_refused(cartpole):
    settings = {"num_envs": 2, "num_steps": 3}
    three = a2c.mlp_q_actor_critic(cartpole._replace(action_space=a2c.Discrete(3)))
    with pytest.raises(ValueError, match=r"^network.policy outputs 3, but .* needs 2; .*\.$"):
        a2c.q_actor_critic(cartpole, three, optax.adam(1e-3), **settings)
    continuous = cartpole._replace(action_space=a2c.Box(-1.0, 1.0, (1,)))
    network = a2c.mlp_q_actor_critic(cartpole)
    with pytest.raises(ValueError, match=r"^CartPole-v1 has the action space Box.*; use actor_cr"):
        a2c.q_actor_critic(continuous, network, optax.adam(1e-3), **settings)


def test_episodes_that_begin_at_one_start_draw_actions_of_their_own():
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=2)
    agent = action_values(a2c.mlp_q_actor_critic(env, (4,)), 2)
    collector = sarsa_rollouts(env, agent, num_envs=4, num_steps=20, num_resets=1)
    state = agent.init(jax.random.key(0))
    actors = collector.init(jax.random.key(1), state)
    transitions = collector.collect(jax.random.key(2), state, actors)[1].transitions
    first = transitions.action[1:][transitions.truncated[:-1]]
    assert first.size == 36
    assert 0.1 < first.mean() < 0.9
