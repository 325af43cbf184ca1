"""On a small Markov decision process, where the policy gradient can be computed exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import diagnostics

# Three states, two actions; what is missing to 1 in a row of MOVES is the chance to end.
START = np.array([0.6, 0.3, 0.1])
MOVES = np.array([
    [[0.1, 0.4, 0.2], [0.3, 0.0, 0.3]],
    [[0.2, 0.2, 0.2], [0.0, 0.5, 0.1]],
    [[0.4, 0.1, 0.1], [0.1, 0.1, 0.6]],
])  # [state, action, next state]  # fmt: skip
REWARDS = np.array([[3.0, 2.0], [5.0, 1.0], [2.0, 4.0]])
LOGITS = np.array([[0.3, -0.2], [-0.5, 0.4], [0.1, 0.6]])
EPISODES = 20_000


def tabular_mdp():
    def observe(state):
        return jax.nn.one_hot(state[0], 3)

    def reset(key):
        state = (jax.random.choice(key, 3, p=jnp.array(START)), jnp.int32(0))
        return state, observe(state)

    def step(key, state, action):
        place, time = state
        odds = jnp.array(MOVES, jnp.float32)[place, action]
        place_next = jax.random.choice(key, 4, p=jnp.append(odds, 1.0 - odds.sum()))
        state_next = (jnp.minimum(place_next, 2), time + 1)
        return a2c.Timestep(
            env_state=state_next,
            obs=observe(state_next),
            reward=jnp.array(REWARDS, jnp.float32)[place, action],
            terminated=place_next == 3,
            truncated=time + 1 >= 40,
        )

    observation = jax.ShapeDtypeStruct((3,), jnp.float32)
    return a2c.Environment("tabular", reset, step, observation, a2c.Discrete(2), 40)


NETWORK = a2c.Network(
    init=lambda key: {"policy": jnp.array(LOGITS, jnp.float32), "value": jnp.zeros(3)},
    policy=lambda params, obs: obs @ params["policy"],
    value=lambda params, obs: obs @ params["value"],
)
Q_NETWORK = NETWORK._replace(
    init=lambda key: {"policy": jnp.array(LOGITS, jnp.float32), "value": jnp.zeros((3, 2))}
)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def exact(logits, discount):
    """State values, action values, expected visits and policy gradient, in closed form."""
    pi = softmax(logits)
    moves = np.einsum("sa,sap->sp", pi, MOVES)
    values = np.linalg.solve(np.eye(3) - discount * moves, (pi * REWARDS).sum(-1))
    action_values = REWARDS + discount * MOVES @ values
    visits = np.linalg.solve(np.eye(3) - moves.T, START)
    gradient = visits[:, None] * pi * (action_values - values[:, None])
    return values, action_values, visits, gradient


ESTIMATORS = {
    "reinforce": a2c.reinforce,
    "baseline": a2c.reinforce_with_baseline,
    "td": a2c.td_actor_critic,
    "n_step": a2c.n_step,
    "gae": a2c.gae(0.7),
}


def weigh(name, discount, values, action_values):
    if name == "q":
        return diagnostics.action_value_weights(
            Q_NETWORK, {"value": jnp.array(action_values, jnp.float32)}
        )
    params = {**NETWORK.init(None), "value": jnp.array(values, jnp.float32)}
    return diagnostics.state_value_weights(
        tabular_mdp(), NETWORK, params, ESTIMATORS[name], discount
    )


NAMES = ["reinforce", "baseline", "q", "td", "n_step", "gae"]


@pytest.fixture(scope="module", params=[1.0, 0.8])
def sampled(request):
    """Gradients with respect to the logits, ``[R, 6]``, with the exact critic and a wrong one."""
    discount = request.param
    values, action_values, *_ = exact(LOGITS, discount)
    wrong = np.array([4.0, -1.0, 2.0])
    weights = {name: weigh(name, discount, values, action_values) for name in NAMES}
    weights |= {f"{name}, wrong": weigh(name, discount, wrong, None) for name in ("baseline", "td")}
    # Only the logits are parameters.
    policy = NETWORK._replace(
        policy=lambda params, obs: obs @ params, value=lambda params, obs: obs[..., 0]
    )
    gradients = jax.jit(
        lambda key: diagnostics.policy_gradients(
            key, tabular_mdp(), policy, jnp.array(LOGITS, jnp.float32), weights, EPISODES
        )
    )(jax.random.key(0))
    return discount, wrong, jax.tree.map(lambda x: np.asarray(x, np.float64), gradients)


def assert_mean_is(samples, expected):
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert (errors > 0).all()
    off = np.abs(samples.mean(axis=0) - expected.ravel()) / errors
    assert off.max() < 4.0, off


@pytest.mark.parametrize("name", NAMES)
def test_with_the_exact_critic_every_method_has_the_exact_gradient_on_average(sampled, name):
    """Below a discount of 1, of the direction in which all visited states count alike."""
    discount, _, gradients = sampled
    assert_mean_is(gradients[name], exact(LOGITS, discount)[3])


def test_any_baseline_leaves_the_mean_alone(sampled):
    discount, _, gradients = sampled
    assert_mean_is(gradients["baseline, wrong"], exact(LOGITS, discount)[3])


def test_td_with_a_wrong_critic_is_biased_just_as_it_should_be(sampled):
    discount, wrong, gradients = sampled
    *_, visits, gradient = exact(LOGITS, discount)
    pi = softmax(LOGITS)
    delta = REWARDS + discount * MOVES @ wrong - wrong[:, None]
    biased = visits[:, None] * pi * (delta - (pi * delta).sum(-1, keepdims=True))
    assert_mean_is(gradients["td, wrong"], biased)
    assert np.abs(biased - gradient).max() > 0.1


@pytest.mark.parametrize("name", ["baseline", "q", "td", "n_step", "gae"])
def test_every_critic_lowers_the_variance(sampled, name):
    _, _, gradients = sampled
    noise = diagnostics.gradient_noise(gradients[name], gradients["reinforce"])
    assert noise.ratio + 4 * noise.ratio_standard_error < 1.0, noise


@pytest.fixture(scope="module")
def endless_rows():
    """An episode of the same process, with an end only at the time limit of 40 steps."""
    ending = tabular_mdp()

    def step(key, state, action):
        timestep = ending.step(key, state, action)
        return timestep._replace(terminated=jnp.array(False))

    env = ending._replace(step=step)
    agent = a2c.feed_forward(NETWORK, a2c.categorical(2))
    start = a2c.AgentState(NETWORK.init(None))
    collect = jax.jit(lambda key: a2c.episodes(env, agent).collect(key, start, ())[1])
    return env, collect(jax.random.key(2))


@pytest.mark.parametrize("name", ["n_step", "td", "gae", "reinforce"])
def test_a_cut_episode_is_weighed_as_its_pieces_are(endless_rows, name):
    """Rollouts of 7 steps: each piece by itself, ending in a value, not in an end."""
    values = exact(LOGITS, 0.9)[0]
    env, rows = endless_rows
    critic = {**NETWORK.init(None), "value": jnp.array(values, jnp.float32)}
    parts = (env, NETWORK, critic, ESTIMATORS[name], 0.9)
    weigh = diagnostics.state_value_weights(*parts, num_steps=7)
    whole = diagnostics.state_value_weights(*parts)
    pieces = [whole(jax.tree.map(lambda x, t=t: x[t : t + 7], rows)) for t in range(0, 40, 7)]
    np.testing.assert_allclose(weigh(rows), jnp.concatenate(pieces), rtol=1e-5, atol=1e-5)
    assert np.allclose(weigh(rows), whole(rows), rtol=1e-5) == (name == "td")


@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 3, 4)])
def test_samples_that_are_none_are_refused(shape):
    with pytest.raises(ValueError, match=r"^samples has shape .*; give \[R, P\]"):
        diagnostics.total_variance(jnp.ones(shape))


def test_settings_outside_their_range_are_named():
    for settings, sentence in [({"num_steps": 0}, "num_steps is 0"), ({}, "discount is 7.0")]:
        discount = 0.9 if settings else 7.0
        with pytest.raises(ValueError, match=sentence):
            diagnostics.state_value_weights(
                tabular_mdp(), NETWORK, {}, a2c.n_step, discount, **settings
            )


def test_the_total_variance_is_the_trace_of_the_covariance():
    samples = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1.0, 2.0, 0.5, 3.0])
    expected = np.trace(np.cov(samples.T))
    np.testing.assert_allclose(diagnostics.total_variance(samples), expected, rtol=1e-5)
    noise = diagnostics.gradient_noise(samples, 2.0 * samples)
    np.testing.assert_allclose(noise.total_variance, expected, rtol=1e-5)
    np.testing.assert_allclose(noise.ratio, 0.25, rtol=1e-5)
    assert noise.ratio_standard_error < 1e-6, "the same samples: the ratio is certain"


def test_standard_errors_are_what_repetition_shows():
    """Many repetitions of the whole measurement scatter as much as its errors say."""
    rng = np.random.default_rng(1)
    ours = rng.normal(size=(400, 200, 3)) * [1.0, 2.0, 3.0]
    theirs = 0.5 * ours + rng.normal(size=(400, 200, 3))
    noise = jax.vmap(diagnostics.gradient_noise)(jnp.array(ours), jnp.array(theirs))
    for value, error in [
        (noise.total_variance, noise.standard_error),
        (noise.ratio, noise.ratio_standard_error),
    ]:
        np.testing.assert_allclose(np.mean(error), np.std(value), rtol=0.15)


def test_one_episode_is_not_enough(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (4,))
    params = network.init(jax.random.key(0))
    with pytest.raises(ValueError, match="num_episodes is 1; give at least 2"):
        diagnostics.policy_gradients(jax.random.key(0), cartpole, network, params, {}, 1)
