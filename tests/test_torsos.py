"""Networks made of a torso and heads."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c


@pytest.fixture(scope="module")
def breakout():
    return a2c.make_env("Breakout-MinAtar")


def size_of(network):
    params = jax.eval_shape(network.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_convolution_is_that_of_flax():
    images = jax.random.normal(jax.random.key(0), (5, 7, 6, 3))
    ours = a2c.Convolution(4, size=3)
    params = ours.init(jax.random.key(1), images)
    kernel = params["params"]["Dense_0"]["Linear_0"]["kernel"]
    kernel = kernel.T if kernel.shape[0] == 4 else kernel
    bias = jnp.arange(4.0)
    params["params"]["Dense_0"]["Linear_0"]["bias"] = bias
    theirs = {"params": {"kernel": kernel.reshape(3, 3, 3, 4), "bias": bias}}
    expected = nn.relu(nn.Conv(4, (3, 3), padding="VALID").apply(theirs, images))
    np.testing.assert_allclose(ours.apply(params, images), expected, rtol=1e-4, atol=1e-5)


def test_the_number_of_parameters_is_that_of_young_and_tian(breakout):
    """A convolution of 16 filters of 3x3, 128 units, and two heads on 10x10 images."""
    channels, actions = breakout.observation.shape[-1], breakout.action_space.n
    expected = (9 * channels * 16 + 16) + (8 * 8 * 16 * 128 + 128) + 128 * (actions + 1)
    expected += actions + 1
    assert size_of(a2c.conv_actor_critic(breakout)) == expected
    separate = a2c.conv_actor_critic(breakout, shared=False)
    assert size_of(separate) == 2 * expected - 128 * (actions + 1) - actions - 1


@pytest.mark.parametrize("shared", [True, False])
def test_functions_take_any_leading_axes_and_agree(breakout, shared):
    network = a2c.conv_actor_critic(breakout, (8,), features=4, shared=shared)
    params = jax.jit(network.init)(jax.random.key(0))
    obs = jax.random.bernoulli(jax.random.key(1), 0.3, (3, 2, 10, 10, 4)).astype(jnp.float32)
    outputs, values = network.policy(params, obs), network.value(params, obs)
    assert outputs.shape == (3, 2, breakout.action_space.n)
    assert values.shape == (3, 2)
    for given, expected in zip(
        network.outputs_and_values(params, obs), (outputs, values), strict=True
    ):
        np.testing.assert_allclose(given, expected, rtol=1e-5)
    np.testing.assert_allclose(network.value(params, obs[1, 1]), values[1, 1], rtol=1e-4)


def test_shared_layers_get_the_gradient_of_both_heads(breakout):
    torso = a2c.Perceptron((8,))
    network = a2c.torso_actor_critic(breakout, torso, policy_init=a2c.orthogonal())
    obs = jnp.ones((2, 10, 10, 4))

    @jax.jit
    def gradients(key):
        def sums(params):
            both = network.outputs_and_values(params, obs)
            of_each = (network.policy(params, obs).sum(), network.value(params, obs).sum())
            return both[0].sum() + both[1].sum(), *of_each

        return [gradient["torso"] for gradient in jax.jacrev(sums)(network.init(key))]

    jax.tree.map(
        lambda x, y, z: np.testing.assert_allclose(x, y + z, rtol=1e-3, atol=1e-4),
        *gradients(jax.random.key(0)),
    )


def test_layer_normalisation_ignores_the_scale_of_observations(cartpole):
    network = a2c.torso_actor_critic(cartpole, a2c.Perceptron((16,), layer_norm=True))
    params = jax.jit(network.init)(jax.random.key(0))
    obs = jnp.array([0.3, -0.2, 0.1, 0.5])
    value, of_large = network.value(params, jnp.stack([obs, 1e3 * obs]))
    np.testing.assert_allclose(value, of_large, rtol=1e-2)


def test_a_module_of_linen_is_a_torso(cartpole):
    class Own(nn.Module):
        @nn.compact
        def __call__(self, obs):
            return nn.silu(nn.Dense(8)(obs))

    network = a2c.torso_actor_critic(cartpole, Own())
    algorithm = a2c.actor_critic(cartpole, network, optax.adam(1e-3), num_envs=2, num_steps=3)
    result = jax.eval_shape(lambda key: a2c.train(algorithm, key, 2), jax.random.key(0))
    assert set(result.state.params) == {"torso", "policy", "value"}


def test_continuous_actions_have_a_deviation():
    env = a2c.make_env("Pendulum-v1")
    network = a2c.torso_actor_critic(env, a2c.Perceptron((4,)), log_std=-1.0)
    params = jax.jit(network.init)(jax.random.key(0))
    np.testing.assert_allclose(network.policy(params, jnp.ones(3))[1], -1.0)
    recurrent = a2c.gru_actor_critic(env, (4,), memory_size=4, log_std=-1.0)
    params = jax.jit(recurrent.init)(jax.random.key(0))
    np.testing.assert_allclose(params["policy"]["log_std"], [-1.0])


def test_bad_arguments_are_named(cartpole, breakout):
    for make, env, arguments, sentence in [
        (a2c.conv_actor_critic, cartpole, {}, r"CartPole-v1 observes arrays of shape \(4,\), but"),
        (a2c.conv_actor_critic, breakout, {"size": 11},
         "size is 11, but Breakout-MinAtar observes images of"),
        (a2c.conv_actor_critic, breakout, {"features": 0}, "features is 0; give a whole number"),
        (a2c.gru_actor_critic, cartpole, {"hidden_sizes": ()}, "hidden_sizes is empty; give"),
        (a2c.gru_actor_critic, cartpole, {"memory_size": 0}, "memory_size is 0; give"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"^{sentence}"):
            make(env, **arguments)

    class Wrong(nn.Module):
        def __call__(self, obs):
            return obs.sum()

    with pytest.raises(ValueError, match=r"^torso returns .*; make it return features \[B, F\]"):
        a2c.torso_actor_critic(cartpole, Wrong())
