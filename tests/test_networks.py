import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c

KEY = jax.random.key(0)


def kernels(params, which):
    return [layer["kernel"] for layer in params[which]["params"].values()]


@pytest.fixture(scope="module")
def network(cartpole):
    return a2c.mlp_actor_critic(cartpole)


@pytest.fixture(scope="module")
def params(network):
    return jax.jit(network.init)(KEY)


def test_shapes_follow_the_leading_axes_and_a_batch_is_its_rows(network, params):
    obs = jax.random.normal(jax.random.key(1), (5, 3, 4))
    all_outputs, all_values = network.policy(params, obs), network.value(params, obs)
    assert all_outputs.shape == (5, 3, 2)
    for row in ((2,), (2, 1)):
        outputs, values = network.policy(params, obs[row]), network.value(params, obs[row])
        np.testing.assert_allclose(outputs, all_outputs[row], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values, all_values[row], rtol=1e-5, atol=1e-6)


def test_a_forward_pass_by_hand(cartpole):
    # relu(x W + b) with W all 1 and b = -1: x = (1, 2, 0, 0) gives 2 in both units;
    # head columns (1, 1) and (0, 1) with bias 0.5: logits 4.5 and 2.5
    network = a2c.article_network(cartpole, (2,))
    layers = {
        "Linear_0": {"kernel": jnp.ones((4, 2)), "bias": -jnp.ones(2)},
        "Linear_1": {"kernel": jnp.array([[1.0, 0.0], [1.0, 1.0]]), "bias": jnp.full(2, 0.5)},
    }
    outputs = network.policy({"policy": {"params": layers}}, jnp.array([1.0, 2.0, 0.0, 0.0]))
    np.testing.assert_array_equal(outputs, [4.5, 2.5])


@pytest.mark.parametrize(("which", "gain", "size"), [("policy", 0.01, 2), ("value", 1.0, 1)])
def test_orthogonal_initialisation(params, which, gain, size):
    first, second, head = kernels(params, which)
    np.testing.assert_allclose(first @ first.T, 2 * np.eye(4), atol=1e-5)
    np.testing.assert_allclose(second @ second.T, 2 * np.eye(64), atol=1e-5)
    np.testing.assert_allclose(head @ head.T, gain**2 * np.eye(size), atol=1e-5)
    assert all(np.all(layer["bias"] == 0) for layer in params[which]["params"].values())


def test_article_network_starts_as_pytorch_does(cartpole):
    # torch.nn.Linear: weights and biases uniform within ±1/sqrt(fan_in), variance bound²/3.
    params = jax.jit(a2c.article_network(cartpole).init)(KEY)
    for which in ("policy", "value"):
        hidden, head = params[which]["params"].values()
        assert hidden["kernel"].shape == (4, 256)
        assert head["kernel"].shape == (2 if which == "policy" else 1, 256)
        for array, fan_in in [
            (hidden["kernel"], 4), (hidden["bias"], 4), (head["kernel"], 256),
        ]:  # fmt: skip
            bound = 1 / np.sqrt(fan_in)
            assert np.max(np.abs(array)) <= bound
            np.testing.assert_allclose(np.var(array), bound**2 / 3, rtol=0.15)
        assert np.max(np.abs(head["bias"])) <= 1 / 16
        assert np.all(head["bias"] != 0)


def test_the_two_networks_are_separate_and_differ(network, params):
    assert not np.array_equal(kernels(params, "policy")[0], kernels(params, "value")[0])
    obs = jnp.ones(4)
    changed = {**params, "value": jax.tree.map(lambda leaf: leaf + 1, params["value"])}
    np.testing.assert_array_equal(network.policy(changed, obs), network.policy(params, obs))
    assert network.value(changed, obs) != network.value(params, obs)


@pytest.mark.parametrize("make", [a2c.mlp_actor_critic, a2c.mlp_q_actor_critic])
def test_a_scaled_network_is_the_same_one_in_other_units(make, cartpole):
    network = make(cartpole, hidden_sizes=(4,))
    assert a2c.scaled(network, cartpole) is network
    scaled = a2c.scaled(
        network, cartpole, observation_scale=(1.0, 2.0, 3.0, 4.0), value_scale=10.0
    )  # fmt: skip
    params, same = jax.jit(lambda key: (network.init(key), scaled.init(key)))(KEY)
    assert_identical(params, same)
    obs = jax.random.normal(jax.random.key(1), (5, 2, 4))
    seen = obs * np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(scaled.policy(params, obs), network.policy(params, seen), rtol=1e-6)
    np.testing.assert_allclose(
        scaled.value(params, obs), 10.0 * network.value(params, seen), rtol=1e-6
    )


def test_one_scale_is_for_all_features_whatever_their_shape():
    env = a2c.make_env("Catch-bsuite")
    network = a2c.mlp_actor_critic(env, hidden_sizes=(4,))
    params = jax.jit(network.init)(KEY)
    obs = jax.random.normal(jax.random.key(1), (3, *env.observation.shape))
    scaled = a2c.scaled(network, env, observation_scale=np.array([2.0]))
    doubled = network.policy(params, 2.0 * obs)
    np.testing.assert_allclose(scaled.policy(params, obs), doubled, rtol=1e-6)
    every = a2c.scaled(network, env, observation_scale=(2.0,) * 50)
    np.testing.assert_array_equal(every.policy(params, obs), scaled.policy(params, obs))


def test_bad_sizes_and_scales_are_named(cartpole, network):
    for scales, sentence in [
        ({"observation_scale": (1.0, 2.0)}, "^observation_scale has 2 numbers, but an observation "
         "of CartPole-v1 has 4; give one for each, one for all, or another preset"),
        ({"observation_scale": (0.0,)}, "^observation_scale is 0.0; give a finite number above 0"),
        ({"value_scale": -1.0}, "^value_scale is -1.0; give a finite number above 0"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            a2c.scaled(network, cartpole, **scales)
    with pytest.raises(ValueError, match="hidden_sizes is 0"):
        a2c.mlp_actor_critic(cartpole, (64, 0))


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.bool_, jnp.int32])
def test_observations_of_any_type_are_numbers(cartpole, dtype):
    env = cartpole._replace(observation=jax.ShapeDtypeStruct((3, 2), dtype))
    network = a2c.scaled(a2c.mlp_actor_critic(env, (4,)), env, observation_scale=(0.5,))
    params = jax.jit(network.init)(KEY)
    obs = jnp.array([[[0, 1], [1, 1], [0, 0]]], dtype)
    outputs = network.policy(params, obs)
    assert outputs.dtype == jnp.float32
    np.testing.assert_array_equal(outputs, network.policy(params, obs.astype(jnp.float32)))


def test_an_activation_may_have_parameters(cartpole):
    network = a2c.mlp_actor_critic(
        cartpole, (4, 4), activation=lambda x: nn.relu(nn.LayerNorm()(x))
    )

    @jax.jit
    def gradient(key):
        return jax.grad(lambda params: network.value(params, jnp.ones((5, 4))).sum())(
            network.init(key)
        )

    layers = gradient(KEY)["value"]["params"]
    assert len(layers) == 2 * 2 + 1
    assert all(jnp.abs(layers[f"LayerNorm_{n}"]["scale"]).sum() > 0 for n in (0, 1))
