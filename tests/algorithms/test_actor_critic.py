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


def test_a_constant_reward_without_end_is_worth_1_over_1_minus_discount():
    env = always_surviving()
    network, params = learn(env, 1500, discount=0.9)
    value = float(network.value(params, jnp.ones(1)))
    assert abs(value - 10.0) < 0.5


def test_masking_truncation_as_termination_undervalues_it():
    """The mistake that the test above is there to catch: it must be seen to be caught."""
    env = always_surviving()

    def masked_step(key, env_state, action):
        timestep = env.step(key, env_state, action)
        return timestep._replace(terminated=timestep.terminated | timestep.truncated)

    network, params = learn(env._replace(step=masked_step), 1500, discount=0.9)
    assert float(network.value(params, jnp.ones(1))) < 8.0


@pytest.mark.parametrize("estimator", [a2c.n_step, a2c.td_actor_critic, a2c.gae(0.9)])
def test_values_of_the_probes_are_exact(estimator):
    network, params = learn(observation_dependent(), 400, discount=0.9, estimator=estimator)
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, [0.0, 1.0], atol=0.02)

    network, params = learn(delayed(), 600, discount=0.9, estimator=estimator)
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, [0.9, 1.0], atol=0.02)


@pytest.mark.parametrize(
    "estimator",
    [a2c.reinforce, a2c.reinforce_with_baseline, a2c.td_actor_critic, a2c.n_step, a2c.gae(0.5)],
)
def test_every_estimator_learns_to_copy_the_coin(estimator):
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


def test_one_trace_serves_new_keys_rates_discounts_and_coefficients(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (8,))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def train(keys, rate, discount, entropy_coef, lambda_):
        algorithm = a2c.actor_critic(
            cartpole, network, optax.adam(rate), num_envs=2, num_steps=3, discount=discount,
            estimator=a2c.gae(lambda_), entropy_coef=entropy_coef,
        )  # fmt: skip
        return jax.vmap(lambda key: a2c.train(algorithm, key, 4))(keys)

    losses = []
    for seed, rate, discount in [(0, 1e-3, 0.9), (1, 1e-3, 0.9), (1, 1e-2, 0.5)]:
        keys = jax.random.split(jax.random.key(seed), 3)
        losses.append(train(keys, rate, discount, 0.01 * seed, 0.5).metrics.value_loss)
    assert not np.array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[1], losses[2])


def test_a_sweep_over_rates_and_seeds_is_one_program(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (8,))

    def train(rate, key):
        algorithm = a2c.actor_critic(
            cartpole, network, optax.adam(rate), num_envs=2, num_steps=3
        )  # fmt: skip
        return a2c.train(algorithm, key, 5)

    seeds = jax.vmap(train, (None, 0))
    sweep = jax.jit(jax.vmap(seeds, (0, None)))
    rates, keys = jnp.array([1e-3, 1e-2]), jax.random.split(jax.random.key(0), 3)
    together = sweep(rates, keys).metrics.value_loss
    assert together.shape == (2, 3, 5)
    alone = jax.jit(train)(rates[1], keys[2]).metrics.value_loss
    np.testing.assert_allclose(together[1, 2], alone, rtol=1e-3)


def test_vmapped_seeds_are_the_looped_ones(small_algorithm):
    keys = jax.random.split(jax.random.key(3), 3)
    together = jax.jit(jax.vmap(lambda key: a2c.train(small_algorithm, key, 5)))(keys)
    alone = jax.jit(lambda key: a2c.train(small_algorithm, key, 5))
    for seed in range(3):
        np.testing.assert_allclose(
            together.metrics.value_loss[seed], alone(keys[seed]).metrics.value_loss, rtol=1e-3
        )


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
