"""Thin products: the numbers and derivatives of plain ones, whatever form they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from a2c_jax._cpu.products import _from_few, _to_few, linear, stored

# Few and many features; small and large batches; sizes that are no multiple of the lanes.
FROM_FEW = [(1, 1, 5), (7, 4, 33), (128, 4, 256), (16, 8, 64), (16, 9, 64)]
TO_FEW = [(3, 5, 1), (8, 256, 2), (128, 256, 2), (64, 64, 8), (64, 64, 9), (4, 96, 3)]


def operands(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def in_float64(function, *arrays):
    """What a function of NumPy arrays gives in double precision."""
    return function(*(np.asarray(array, np.float64) for array in arrays))


def derivatives(function, arrays, weights):
    return jax.grad(lambda *a: jnp.sum(function(*a) * weights), tuple(range(len(arrays))))(*arrays)


def linear_without_bias(x, kernel):
    """A layer whose kernel is stored as that of ``_to_few``, ``[out, in]``."""
    return linear(x, stored(kernel.T), jnp.zeros(kernel.shape[0]))


@pytest.mark.parametrize(("batch", "features", "outputs"), FROM_FEW)
def test_a_layer_of_few_features_and_its_gradient_are_the_product_s(batch, features, outputs):
    x, kernel, bias, weights = operands(
        (batch, features), (features, outputs), (outputs,), (batch, outputs)
    )
    expected = in_float64(lambda x, w, b: x @ w + b, x, kernel, bias)
    np.testing.assert_allclose(jax.jit(linear)(x, kernel, bias), expected, rtol=1e-5, atol=1e-5)
    by_x, by_kernel, by_bias = derivatives(linear, (x, kernel, bias), weights)
    np.testing.assert_allclose(by_x, in_float64(lambda d, w: d @ w.T, weights, kernel), atol=1e-4)
    np.testing.assert_allclose(by_kernel, in_float64(lambda x, d: x.T @ d, x, weights), atol=1e-4)
    np.testing.assert_allclose(by_bias, in_float64(lambda d: d.sum(0), weights), atol=1e-4)


@pytest.mark.parametrize(
    ("function", "batch", "features", "outputs"),
    [(_to_few, *sizes) for sizes in TO_FEW] + [(linear_without_bias, 8, 256, 2)],
)
def test_a_layer_of_few_outputs_and_its_gradient_are_the_product_s(
    function, batch, features, outputs
):
    x, kernel, weights = operands((batch, features), (outputs, features), (batch, outputs))
    expected = in_float64(lambda x, w: x @ w.T, x, kernel)
    np.testing.assert_allclose(jax.jit(function)(x, kernel), expected, rtol=1e-5, atol=1e-4)
    by_x, by_kernel = derivatives(function, (x, kernel), weights)
    np.testing.assert_allclose(by_x, in_float64(lambda d, w: d @ w, weights, kernel), atol=1e-4)
    np.testing.assert_allclose(by_kernel, in_float64(lambda x, d: d.T @ x, x, weights), atol=1e-4)


@pytest.mark.parametrize("features", [4, 9])
def test_forward_mode_second_derivatives_and_vmap(features):
    x, kernel, bias, out = operands((6, features), (features, 32), (32,), (2, 32))

    def through(scale, x):
        return jnp.sum(jnp.sin(_to_few(jnp.tanh(_from_few(scale * x, kernel, bias)), out)))

    def plain(scale, x):
        return jnp.sum(jnp.sin(jnp.tanh(scale * x @ kernel + bias) @ out.T))

    for order in (jax.jacfwd, jax.hessian, lambda f: jax.jacfwd(jax.grad(f))):
        np.testing.assert_allclose(order(through)(0.3, x), order(plain)(0.3, x), rtol=1e-3)
    stacked = jnp.stack([x, 2 * x])
    batched = jax.vmap(lambda x: through(0.3, x))(stacked)
    np.testing.assert_allclose(batched, [plain(0.3, x) for x in stacked], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [4, 9])
def test_gradients_of_many_seeds_and_second_derivatives_by_the_parameters(features):
    x, kernel, bias, out = operands((3, 6, features), (3, features, 32), (3, 32), (3, 2, 32))

    def through(kernel, bias, out, x):
        return jnp.sum(jnp.sin(_to_few(jnp.tanh(_from_few(x, kernel, bias)), out)))

    def plain(kernel, bias, out, x):
        return jnp.sum(jnp.sin(jnp.tanh(x @ kernel + bias) @ out.T))

    def derivatives_of(loss):
        gradient = jax.grad(loss, (0, 1, 2))
        along = (kernel[0], bias[0], out[0])
        second = jax.jvp(lambda *p: gradient(*p, x[0]), along, along)[1]
        return jax.tree.leaves((jax.vmap(gradient)(kernel, bias, out, x), second))

    for ours, theirs in zip(derivatives_of(through), derivatives_of(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-4)
