import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

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
    start = jax.jit(algorithm.init)(jax.random.key(4))
    theta, w, s, a, falls = algorithm_1(cartpole, start, 60, 0.05, 0.1, 0.9)
    state = jax.jit(lambda start: a2c.run(algorithm, start, 60).state)(start)
    moved = jax.tree.map(jnp.subtract, state.params, start.params)
    assert all(jnp.abs(x).max() > 1e-3 for x in jax.tree.leaves(moved)), "something happened"
    np.testing.assert_allclose(state.params["policy"], theta, atol=1e-5)
    np.testing.assert_allclose(state.params["value"], w, atol=1e-5)
    np.testing.assert_allclose(state.actors.obs[0], s, atol=1e-5)
    assert int(state.actors.memory[0]) == a
    assert falls >= 1, "an episode ended on the way"


def test_the_expected_target_is_the_mean_of_the_sampled_ones(cartpole):
    network = linear_q_network(cartpole)
    params = network.init(jax.random.key(1))
    collector = sarsa_rollouts(cartpole, action_values(network, 2), 8, 40)
    start = a2c.Actors(
        *a2c.reset_envs(jax.random.key(2), cartpole, 8), memory=jnp.zeros(8, jnp.int32)
    )
    _, rollout = jax.jit(collector.collect)(jax.random.key(3), a2c.AgentState(params), start)
    loss = a2c.combined_loss(0.9, a2c.sarsa, value_coef=0.5, entropy_coef=0.0)

    @functools.partial(jax.jit, static_argnums=1)
    def targets(rollout, expected=False):
        agent = action_values(network, 2, expected=expected)
        return loss(agent.unroll(a2c.AgentState(params), rollout), rollout)[1].targets

    probs = jax.nn.softmax(network.policy(params, rollout.transitions.next_obs))
    by_action = [
        targets(rollout._replace(memory=jnp.full_like(rollout.memory, a))) for a in range(2)
    ]
    mean = probs[..., 0] * by_action[0] + probs[..., 1] * by_action[1]
    np.testing.assert_allclose(targets(rollout, True), mean, rtol=1e-5)
    assert not np.allclose(targets(rollout), mean)
    fell, reward = rollout.transitions.terminated, rollout.transitions.reward
    assert fell.any()
    np.testing.assert_array_equal(mean[fell], reward[fell])  # nothing follows


def test_what_does_not_fit_is_refused(cartpole):
    network, q_network = (
        make(cartpole, (4,)) for make in (a2c.mlp_actor_critic, a2c.mlp_q_actor_critic)
    )
    continuous = cartpole._replace(action_space=a2c.Box(-1.0, 1.0, (1,)))
    of_values = r"network.value returns {} for .*, but {} is needed; .*\.$".format
    one, each = r"\[\.\.\.\]", r"\[\.\.\., 2\]"
    for make, env, given, sentence in [
        (a2c.q_actor_critic, cartpole, network, of_values(one, each)),
        (a2c.actor_critic, cartpole, q_network, of_values(each, one)),
        (a2c.q_actor_critic, continuous, q_network, "CartPole-v1 has the action space Box.*; use "),
    ]:
        with pytest.raises(ValueError, match=f"^{sentence}"):
            make(env, given, optax.adam(1e-3), num_envs=2, num_steps=3)


@pytest.mark.parametrize(
    ("of_states", "of_actions"),
    [
        (a2c.mlp_actor_critic, a2c.mlp_q_actor_critic),
        (a2c.article_network, a2c.article_q_network),
    ],
)
def test_both_networks_have_the_same_policy(cartpole, of_states, of_actions):
    key, obs = jax.random.key(0), jnp.ones((3, 4))
    network, q_network = of_states(cartpole, (4,)), of_actions(cartpole, (4,))
    params, q_params = jax.jit(lambda key: (network.init(key), q_network.init(key)))(key)
    np.testing.assert_array_equal(network.policy(params, obs), q_network.policy(q_params, obs))
    assert q_network.value(q_params, obs).shape == (3, 2)


def test_episodes_that_begin_at_one_start_draw_actions_of_their_own():
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=2)
    agent = action_values(a2c.mlp_q_actor_critic(env, (4,)), 2)
    collector = sarsa_rollouts(env, agent, num_envs=4, num_steps=20, num_resets=1)

    @jax.jit
    def collect(keys):
        state = agent.init(keys[0])
        return collector.collect(keys[1], state, collector.init(keys[2], state))[1].transitions

    transitions = collect(jax.random.split(jax.random.key(0), 3))
    first = transitions.action[1:][transitions.truncated[:-1]]
    assert first.size == 36
    assert 0.1 < first.mean() < 0.9
