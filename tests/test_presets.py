import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax import presets


def test_stable_baselines3_has_that_librarys_numbers():
    # A2C's signature and ActorCriticPolicy's defaults in Stable-Baselines3 2.x.
    preset = presets.stable_baselines3
    assert (preset.learning_rate, preset.final_learning_rate) == (7e-4, 7e-4)
    assert (preset.num_steps, preset.discount, preset.gae_lambda) == (5, 0.99, 1.0)
    assert (preset.value_coef, preset.entropy_coef, preset.max_grad_norm) == (0.5, 0.0, 0.5)
    assert preset.normalize_advantages is False
    assert preset.hidden_sizes == (64, 64)


def test_article_has_the_articles_numbers():
    preset = presets.article
    assert (preset.learning_rate, preset.discount, preset.hidden_sizes) == (3e-4, 0.99, (256,))
    assert (preset.value_coef, preset.entropy_coef, preset.gae_lambda) == (0.5, 0.001, 1.0)
    assert preset.optimizer is optax.adam


def test_rmsprop_keeps_its_epsilon_outside_the_root_as_pytorch_does():
    # torch.optim.RMSprop: v = α v + (1 - α) g²; w -= rate * g / (sqrt(v) + eps)
    optimizer = presets.default.optimizer(0.1)
    weight, square = 1.0, 0.0
    params = jnp.array(1.0)
    state = optimizer.init(params)
    for gradient in (1e-5, 3e-5, -2e-5):
        updates, state = optimizer.update(jnp.array(gradient), state, params)
        params = optax.apply_updates(params, updates)
        square = 0.99 * square + 0.01 * gradient**2
        weight -= 0.1 * gradient / (np.sqrt(square) + 1e-5)
    np.testing.assert_allclose(params, weight, rtol=1e-5)


def test_the_rate_falls_linearly_to_its_end():
    """Without clipping, SGD moves by rate * gradient, which tells the rate of each update."""
    env = a2c.make_env("CartPole-v1")
    preset = dataclasses.replace(
        presets.default, num_envs=2, num_steps=2, total_steps=16, optimizer=optax.sgd,
        max_grad_norm=float("inf"), hidden_sizes=(4,),
    )  # fmt: skip
    algorithm = presets.build(preset, env)
    step, state = jax.jit(algorithm.step), algorithm.init(jax.random.key(0))
    rates = []
    for _ in range(4):
        after, metrics = step(state)
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, after.params, state.params))
        rates.append(float(moved / metrics.grad_norm))
        state = after
    np.testing.assert_allclose(rates, [2e-3, 1.5e-3, 1e-3, 0.5e-3], rtol=1e-2)


def test_a_preset_can_be_swept_over_traced_numbers(cartpole):
    def loss(rate, discount):
        preset = dataclasses.replace(
            presets.default, learning_rate=rate, discount=discount, total_steps=200
        )
        algorithm = presets.build(preset, cartpole)
        return a2c.train(algorithm, jax.random.key(0), 5).metrics.value_loss[-1]

    losses = jax.jit(jax.vmap(loss))(jnp.array([1e-3, 1e-2]), jnp.array([0.9, 0.5]))
    assert losses[0] != losses[1]


def test_updates_are_rounded_down():
    preset = dataclasses.replace(presets.default, total_steps=199)
    assert presets.num_updates(preset) == 4  # 4 * 40 = 160


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("total_steps", 0), ("total_steps", 39), ("num_envs", 0), ("num_steps", -1),
        ("learning_rate", 0.0), ("learning_rate", -1e-3), ("learning_rate", float("nan")),
        ("final_learning_rate", -1e-3), ("discount", 1.5), ("gae_lambda", 2.0),
        ("max_grad_norm", 0.0), ("max_grad_norm", float("nan")), ("entropy_coef", -0.1),
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_named(cartpole, setting, value):
    with pytest.raises(ValueError, match=rf"^{setting} is .*; give .*\.$"):
        presets.build(dataclasses.replace(presets.default, **{setting: value}), cartpole)
