"""Linear layers and perceptrons: the numbers and derivatives of plain ones, in every form."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from a2c_jax._devices import perceptron, products, stored

# Batches, features and outputs: few to few, few to many, many to few (with whole lanes or not; of
# a batch that fits into a cache or not), and many to many; 8 are few, and 9 are many.
LAYERS = [(1, 1, 5), (7, 8, 33), (3, 9, 1), (8, 256, 2), (128, 256, 2), (4, 96, 8), (6, 9, 9)]


@pytest.fixture(params=["cpu", "tpu", "default"])
def device(request, monkeypatch):
    """Takes the form for each kind of device."""
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *args, **forms: forms[request.param](*args)
    )


def operands(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


@pytest.mark.parametrize(("batch", "features", "outputs"), LAYERS)
def test_a_layer_and_its_gradients(device, batch, features, outputs):
    """Against matrix products in double precision."""
    random = np.random.default_rng(0)
    shapes = (batch, features), (features, outputs), (outputs,), (batch, outputs)
    x, kernel, bias, weights = arrays = [random.normal(size=shape) for shape in shapes]

    @jax.jit
    def computed(x, kernel, bias, weights):
        layer = lambda x, w, b: products.linear(x, stored(w), b)  # noqa: E731
        result, gradients = jax.vjp(layer, x, kernel, bias)
        return result, *gradients(weights)

    expected = x @ kernel + bias, weights @ kernel.T, x.T @ weights, weights.sum(0)
    for one, other in zip(computed(*map(jnp.float32, arrays)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-4)


def networks(sizes, activation):
    """A perceptron with stored kernels, and a plain one, of the same layers; and the layers."""
    kernels = operands(*itertools.pairwise(sizes))
    layers = [(kernel / 3, kernel[0] / 5) for kernel in kernels]

    def ours(layers, x):
        return perceptron(x, [(stored(kernel), bias) for kernel, bias in layers], activation)

    def plain(layers, x):
        for kernel, bias in layers[:-1]:
            x = activation(x @ kernel + bias)
        return x @ layers[-1][0] + layers[-1][1]

    return ours, plain, layers


def close(ours, theirs):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-4), ours, theirs)


@functools.partial(jax.jit, static_argnums=0)
def derivatives(network, layers, x):
    """Of two seeds, the outputs, the gradients, and both along a direction in forward mode."""

    def of_seed(*arguments):
        gradients = jax.grad(lambda *arguments: jnp.sum(jnp.sin(network(*arguments))), (0, 1))
        both = lambda *arguments: (network(*arguments), gradients(*arguments))  # noqa: E731
        return jax.jvp(both, arguments, arguments)

    return jax.vmap(of_seed)(*jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (layers, x)))


# Few to many to few, from or to many, and no hidden layer.
@pytest.mark.parametrize("sizes", [(4, 32, 2), (4, 16, 9, 2), (9, 32, 9), (4, 2)])
def test_a_perceptron_and_its_derivatives(device, sizes):
    ours, plain, layers = networks(sizes, jnp.tanh)
    (x,) = operands((6, sizes[0]))
    close(derivatives(ours, layers, x), derivatives(plain, layers, x))


def test_a_program_for_any_batch_and_device_is_exported():
    ours, _, layers = networks((4, 32, 2), jax.nn.relu)
    batch = jax.export.symbolic_shape("b")[0]
    x = jax.ShapeDtypeStruct((batch, 4), jnp.float32)
    gradient = jax.jit(jax.grad(lambda layers, x: jnp.sum(ours(layers, x))))
    exported = jax.export.export(gradient, platforms=("cpu", "cuda", "tpu"))(layers, x)
    (few,) = operands((3, 4))
    close(exported.call(layers, few), gradient(layers, few))


def test_only_a_gpu_computes_activations_again():
    ours, _, layers = networks((4, 32, 2), jax.nn.tanh)
    (x,) = operands((6, 4))
    traced = jax.jit(jax.grad(lambda layers: jnp.sum(ours(layers, x) ** 2))).trace(layers)
    tanhs = [
        traced.lower(lowering_platforms=(device,)).as_text().count("stablehlo.tanh")
        for device in ("cpu", "tpu", "cuda")
    ]
    assert tanhs == [1, 1, 2]
