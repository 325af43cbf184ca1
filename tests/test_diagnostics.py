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
WRONG = np.array([4.0, -1.0, 2.0])  # values of a critic


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
PI = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)


def exact(discount):
    """State values, action values, expected visits and policy gradient, in closed form."""
    moves = np.einsum("sa,sap->sp", PI, MOVES)
    values = np.linalg.solve(np.eye(3) - discount * moves, (PI * REWARDS).sum(-1))
    action_values = REWARDS + discount * MOVES @ values
    visits = np.linalg.solve(np.eye(3) - moves.T, START)
    gradient = visits[:, None] * PI * (action_values - values[:, None])
    return values, action_values, visits, gradient


def biased(discount):
    """The mean gradient of TD actor-critic with the wrong critic."""
    *_, visits, gradient = exact(discount)
    delta = REWARDS + discount * MOVES @ WRONG - WRONG[:, None]
    mean = visits[:, None] * PI * (delta - (PI * delta).sum(-1, keepdims=True))
    assert np.abs(mean - gradient).max() > 0.1
    return mean


ESTIMATORS = {
    "reinforce": a2c.reinforce,
    "baseline": a2c.reinforce_with_baseline,
    "td": a2c.td_actor_critic,
    "n_step": a2c.n_step,
    "gae": a2c.gae(0.7),
}


@jax.jit
def computed(key, discount, values, action_values):
    def weigh(name, values):
        params = {**NETWORK.init(None), "value": values}
        parts = (tabular_mdp(), NETWORK, params, ESTIMATORS[name])
        return diagnostics.state_value_weights(*parts, discount)

    weights = {name: weigh(name, values) for name in ESTIMATORS}
    weights |= {f"{name}, wrong": weigh(name, jnp.array(WRONG)) for name in ("baseline", "td")}
    weights["q"] = diagnostics.action_value_weights(NETWORK, {"value": action_values})
    # Only the logits are parameters.
    policy = NETWORK._replace(
        policy=lambda params, obs: obs @ params, value=lambda params, obs: obs[..., 0]
    )
    logits = jnp.array(LOGITS, jnp.float32)
    return diagnostics.policy_gradients(key, tabular_mdp(), policy, logits, weights, 8000)


@pytest.fixture(scope="module", params=[1.0, 0.8])
def sampled(request):
    """Gradients with respect to the logits, ``[R, 6]``, with the exact critic and a wrong one."""
    discount = request.param
    critics = (jnp.float32(critic) for critic in exact(discount)[:2])
    gradients = computed(jax.random.key(0), discount, *critics)
    return discount, jax.tree.map(lambda x: np.asarray(x, np.float64), gradients)


@pytest.mark.parametrize("name", [*ESTIMATORS, "q", "baseline, wrong", "td, wrong"])
def test_the_mean_is_the_exact_gradient_and_that_of_td_is_as_wrong_as_its_critic(sampled, name):
    """Below a discount of 1, of the direction in which all visited states count alike."""
    discount, gradients = sampled
    samples = gradients[name]
    expected = biased(discount) if name == "td, wrong" else exact(discount)[3]
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert (errors > 0).all()
    off = np.abs(samples.mean(axis=0) - expected.ravel()) / errors
    assert off.max() < 4.0, off


def test_every_critic_lowers_the_variance(sampled):
    _, gradients = sampled
    for name in ("baseline", "q", "td", "n_step", "gae"):
        noise = diagnostics.gradient_noise(gradients[name], gradients["reinforce"])
        assert noise.ratio + 4 * noise.ratio_standard_error < 1.0, (name, noise)


def test_a_cut_episode_is_weighed_as_its_pieces_are():
    """Rollouts of 7 steps: each piece by itself, ending in a value, not in an end."""
    rng = np.random.default_rng(0)
    obs = jnp.array(np.eye(3)[rng.integers(0, 3, (41, 1))], jnp.float32)
    reward, no = jnp.array(rng.normal(size=(40, 1)), jnp.float32), jnp.zeros((40, 1), bool)
    action = jnp.zeros((40, 1), jnp.int32)
    rows = a2c.Transition(obs[:-1], action, reward, no, no.at[-1].set(True), obs[1:])
    critic = {**NETWORK.init(None), "value": jnp.array(WRONG, jnp.float32)}
    parts = (tabular_mdp(), NETWORK, critic, a2c.n_step, 0.9)
    weigh, whole = (
        jax.jit(diagnostics.state_value_weights(*parts, num_steps=steps)) for steps in (7, None)
    )
    starts = range(0, 40, 7)
    pieces = [whole(a2c.Rollout(jax.tree.map(lambda x, t=t: x[t : t + 7], rows))) for t in starts]
    weights = weigh(a2c.Rollout(rows))
    np.testing.assert_allclose(weights, jnp.concatenate(pieces), rtol=1e-5, atol=1e-5)
    assert not np.allclose(weights, whole(a2c.Rollout(rows)), rtol=1e-2)


def test_arguments_outside_their_range_are_named():
    for shape in [(3,), (1, 2), (2, 3, 4)]:
        with pytest.raises(ValueError, match=r"^samples has shape .*; give \[R, P\]"):
            diagnostics.total_variance(jnp.ones(shape))
    parts = (tabular_mdp(), NETWORK, {}, a2c.n_step)
    with pytest.raises(ValueError, match="num_steps is 0"):
        diagnostics.state_value_weights(*parts, 0.9, num_steps=0)
    with pytest.raises(ValueError, match=r"discount is 7\.0"):
        diagnostics.state_value_weights(*parts, 7.0)
    with pytest.raises(ValueError, match="num_episodes is 1; give at least 2"):
        diagnostics.policy_gradients(jax.random.key(0), tabular_mdp(), NETWORK, {}, {}, 1)


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
