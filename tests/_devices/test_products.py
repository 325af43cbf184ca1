"""Linear layers and perceptrons: the numbers and derivatives of plain ones, in both forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from a2c_jax._devices import cpu_products, fused_products, perceptron, products, stored

FORMS = [cpu_products, fused_products]
# Few and many features; small and large batches; sizes that are no multiple of the lanes.
FROM_FEW = [(1, 1, 5), (7, 4, 33), (128, 4, 256), (16, 8, 64)]
TO_FEW = [(3, 9, 1), (8, 256, 2), (128, 256, 2), (64, 64, 8), (4, 96, 3)]
# By layers: few to few, few to many to few, many to few, few to many, and no hidden layer.
SIZES = [(4, 32, 2), (4, 32, 16, 2), (9, 32, 2), (4, 32, 9), (4, 2)]


@pytest.fixture(params=["cpu", "tpu", "default"])
def device(request, monkeypatch):
    """Takes the form for each kind of device."""
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *args, **forms: forms[request.param](*args)
    )


def operands(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def in_float64(function, *arrays):
    """What a function of NumPy arrays gives in double precision."""
    return function(*(np.asarray(array, np.float64) for array in arrays))


def check_layer(layer, x, kernel, bias, weights):
    """Compares a layer and its gradients with those in double precision."""
    expected = in_float64(lambda x, w, b: x @ w + b, x, kernel, bias)
    np.testing.assert_allclose(jax.jit(layer)(x, kernel, bias), expected, rtol=1e-5, atol=1e-4)
    gradients = jax.grad(lambda *a: jnp.sum(layer(*a) * weights), (0, 1, 2))(x, kernel, bias)
    by_hand = [
        in_float64(lambda d, w: d @ w.T, weights, kernel),
        in_float64(lambda x, d: x.T @ d, x, weights),
        in_float64(lambda d: d.sum(0), weights),
    ]
    for gradient, one in zip(gradients, by_hand, strict=True):
        np.testing.assert_allclose(gradient, one, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("batch", "features", "outputs"), FROM_FEW)
def test_a_layer_of_few_features(form, batch, features, outputs):
    shapes = (batch, features), (features, outputs), (outputs,), (batch, outputs)
    check_layer(form.from_few, *operands(*shapes))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("batch", "features", "outputs"), TO_FEW)
def test_a_layer_of_few_outputs(form, batch, features, outputs):
    shapes = (batch, features), (features, outputs), (outputs,), (batch, outputs)
    check_layer(lambda x, w, b: form.to_few(x, w.T, b), *operands(*shapes))


@pytest.mark.parametrize(("features", "outputs"), [(8, 8), (9, 8), (9, 9)])
def test_every_layer_takes_its_stored_kernel(device, features, outputs):
    shapes = (6, features), (features, outputs), (outputs,), (6, outputs)
    layer = lambda x, w, b: products.linear(x, stored(w), b)  # noqa: E731
    check_layer(layer, *operands(*shapes))


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


@pytest.mark.parametrize("sizes", SIZES)
def test_a_perceptron_and_its_gradients(device, sizes):
    ours, plain, layers = networks(sizes, jax.nn.relu)
    (x,) = operands((6, sizes[0]))
    close(jax.jit(ours)(layers, x), plain(layers, x))

    def of_seeds(network):
        gradient = jax.grad(lambda *a: jnp.sum(jnp.sin(network(*a))), (0, 1))
        seeds = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (layers, x))
        return jax.jit(jax.vmap(gradient))(*seeds)

    close(of_seeds(ours), of_seeds(plain))


@pytest.mark.parametrize("sizes", [(4, 32, 2), (9, 32, 2), (4, 16, 16, 9)])
def test_forward_mode_and_second_derivatives(device, sizes):
    ours, plain, layers = networks(sizes, jnp.tanh)
    (x,) = operands((6, sizes[0]))
    for order in (jax.jacfwd, jax.hessian, lambda f: jax.jacfwd(jax.grad(f))):
        by_scale = [
            order(lambda scale, n=network: jnp.sum(jnp.sin(n(layers, scale * x))))(0.3)
            for network in (ours, plain)
        ]
        close(*by_scale)
    by_parameters = [
        jax.jvp(jax.grad(lambda p, n=n: jnp.sum(jnp.sin(n(p, x)))), (layers,), (layers,))[1]
        for n in (ours, plain)
    ]
    close(*by_parameters)


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
