import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import action_dependent, always_surviving, delayed, observation_dependent

import a2c_jax as a2c


def learn(env, num_updates, *, discount, rate=1e-2, **settings):
    """Trains a small network on a probe; returns it with its parameters."""
    network = a2c.mlp_actor_critic(env, (16,))
    optimizer = optax.adam(optax.linear_schedule(rate, 0.0, num_updates))
    algorithm = a2c.actor_critic(
        env, network, optimizer, num_envs=8, num_steps=8, discount=discount, **settings
    )
    result = jax.jit(lambda key: a2c.train(algorithm, key, num_updates))(jax.random.key(0))
    return network, result.state.params


def test_a_constant_reward_is_worth_1_over_1_minus_discount_unless_truncation_is_masked():
    """Masked, a time limit ends the reward: the mistake must be seen to be caught."""
    env = always_surviving()

    def learnt(masked):
        def step(key, env_state, action):
            timestep = env.step(key, env_state, action)
            ended = timestep.terminated | (timestep.truncated & masked)
            return timestep._replace(terminated=ended)

        network, params = learn(env._replace(step=step), 1500, discount=0.9)
        return network.value(params, jnp.ones(1))

    value, undervalued = jax.jit(jax.vmap(learnt))(jnp.array([False, True]))
    assert abs(value - 10.0) < 0.5
    assert undervalued < 8.0


@pytest.mark.parametrize(
    ("env", "first", "estimator"),
    [
        (observation_dependent(), 0.0, a2c.n_step),
        (delayed(), 0.9, a2c.n_step),
        (delayed(), 0.9, a2c.td_actor_critic),
        (delayed(), 0.9, a2c.gae(0.9)),
    ],
)
def test_values_of_the_probes_are_exact(env, first, estimator):
    network, params = learn(env, 600, discount=0.9, estimator=estimator)
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, [first, 1.0], atol=0.02)


# All others are the same on episodes of one step.
@pytest.mark.parametrize("estimator", [a2c.reinforce, a2c.n_step])
def test_it_learns_to_copy_the_coin(estimator):
    network, params = learn(action_dependent(), 400, discount=0.9, estimator=estimator)
    probs = jax.nn.softmax(network.policy(params, jnp.array([[0.0], [1.0]])))
    assert probs[0, 0] > 0.95
    assert probs[1, 1] > 0.95


def test_training_over_seeds_is_one_program_without_host_callbacks(small_algorithm):
    train = jax.jit(jax.vmap(lambda key: a2c.train(small_algorithm, key, 3)))
    text = train.lower(jax.random.split(jax.random.key(0), 4)).as_text()
    assert "while" in text
    assert "callback" not in text
    assert "infeed" not in text
    assert "outfeed" not in text


def test_one_trace_sweeps_over_keys_rates_discounts_and_coefficients(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (8,))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def sweep(keys, rates, discounts, entropy_coefs, lambdas):
        def train(rate, discount, entropy_coef, lambda_, key):
            algorithm = a2c.actor_critic(
                cartpole, network, optax.adam(rate), num_envs=2, num_steps=3, discount=discount,
                estimator=a2c.gae(lambda_), entropy_coef=entropy_coef,
            )  # fmt: skip
            return a2c.train(algorithm, key, 4).metrics.policy_loss

        seeds = jax.vmap(train, (None, None, None, None, 0))
        return jax.vmap(seeds, (0, 0, 0, 0, None))(rates, discounts, entropy_coefs, lambdas, keys)

    keys = jax.random.split(jax.random.key(0), 3)
    settings = np.array([[1e-3, 0.9, 0.0, 0.5]] * 5)
    settings[range(1, 5), range(4)] = 1e-2, 0.5, 0.1, 0.9  # each differs from the first in one
    losses = sweep(keys, *settings.T)
    assert losses.shape == (5, 3, 4)
    assert len(np.unique(losses[..., -1])) == 5 * 3
    other_way_round = sweep(keys[::-1], *settings[::-1].T)
    np.testing.assert_allclose(other_way_round[::-1, ::-1], losses, rtol=1e-3, atol=1e-4)


def test_gradients_are_clipped_by_their_global_norm(cartpole):
    """rejax clips each element instead; the norm after one step of SGD tells the two apart."""
    clip = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
    algorithm = a2c.actor_critic(
        cartpole, a2c.mlp_actor_critic(cartpole, (8,)), clip, num_envs=2, num_steps=3
    )
    state = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(algorithm.step)(state)
    moved = jax.tree.map(jnp.subtract, after.params, state.params)
    assert metrics.grad_norm > 1e-2, "reported before clipping"
    np.testing.assert_allclose(optax.tree.norm(moved), 1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_envs", 0), ("num_envs", 2.5), ("num_steps", 0), ("num_steps", True),
        ("discount", 1.1), ("discount", -0.1), ("discount", float("nan")),
        ("value_coef", -1.0), ("entropy_coef", float("inf")),
    ],
)  # fmt: skip
def test_arguments_outside_their_range_are_named(cartpole, argument, value):
    settings = {"num_envs": 2, "num_steps": 3, argument: value}
    with pytest.raises(ValueError, match=rf"^{argument} is .*; give .*\.$"):
        a2c.actor_critic(cartpole, a2c.mlp_actor_critic(cartpole), optax.adam(1e-3), **settings)


@pytest.mark.parametrize("num_workers", [None, 2])
def test_an_optimizer_may_use_the_loss(cartpole, num_workers):
    """One that adds up the losses which it is given: of A3C, those of all workers."""
    total = optax.GradientTransformationExtraArgs(
        lambda params: jnp.zeros(()),
        lambda updates, state, params, *, value, **others: (updates, state + value),
    )
    network, sizes = a2c.mlp_actor_critic(cartpole, (4,)), {"num_envs": 2, "num_steps": 4}
    make = functools.partial(a2c.a3c, num_workers=2) if num_workers else a2c.actor_critic
    algorithm = make(cartpole, network, optax.chain(optax.sgd(0.1), total), **sizes)
    state, metrics = jax.jit(lambda key: algorithm.step(algorithm.init(key)))(jax.random.key(0))
    opt_state = state.opt_state.opt_state if num_workers else state.opt_state
    expected = (num_workers or 1) * (metrics.policy_loss + 0.5 * metrics.value_loss)
    np.testing.assert_allclose(opt_state[-1], expected, rtol=1e-5)


def test_what_is_no_optimizer_and_no_key_is_refused(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (4,))
    with pytest.raises(ValueError, match="optimizer is a float; give an optax transformation"):
        a2c.actor_critic(cartpole, network, 0.1, num_envs=1, num_steps=1)
    algorithm = a2c.actor_critic(cartpole, network, optax.sgd(0.1), num_envs=1, num_steps=1)
    for key in (0, None, jax.random.split(jax.random.key(0), 2), jnp.zeros(2)):
        with pytest.raises(ValueError, match=r"key is not a key \(.*\); give one, such as"):
            a2c.train(algorithm, key, 1)
    with pytest.raises(ValueError, match="lambda_ is None; give a number from 0 to 1"):
        a2c.gae(None)
