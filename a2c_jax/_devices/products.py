"""Linear layers and perceptrons, in the form that suits the device.

A network for a small task begins with few features and ends with few outputs. The products of such
thin layers have one form for a CPU, :mod:`a2c_jax._devices.cpu_products`, and one for a GPU,
:mod:`a2c_jax._devices.fused_products`. A TPU takes matrix products: compiled for four v5e, the
fused form moves three times the bytes. Other devices take the form for a GPU. The numbers are
those of matrix products up to rounding.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from a2c_jax._devices import cpu_products, fused_products

_FEW = 8
Activation = Callable[[jax.Array], jax.Array]
Weights = tuple[jax.Array, jax.Array]  # a kernel, as :func:`stored` returns it, and a bias


def stored(kernel: jax.Array) -> jax.Array:
    """Converts a kernel W ``[in, out]`` to the form that :func:`perceptron` takes.

    A kernel with few outputs is transposed. Without that, the article's network is 12 % slower;
    with a transposed copy for every product, 4 %.
    """
    return kernel.T if _leads_to_few(*kernel.shape) else kernel


def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """``x W + b``.

    Args:
        x: ``[B, in]``.
        kernel: W, as :func:`stored` returns it.
        bias: b, ``[out]``.

    Returns:
        ``[B, out]``.
    """
    if _leads_to_few(x.shape[1], bias.shape[0]):
        return jax.lax.platform_dependent(
            x,
            kernel,
            bias,
            cpu=cpu_products.to_few,
            tpu=lambda x, kernel, bias: x @ kernel.T + bias[None],
            default=fused_products.to_few,
        )
    if x.shape[1] > _FEW:
        return _product(x, kernel, bias)
    return jax.lax.platform_dependent(
        x, kernel, bias, cpu=cpu_products.from_few, tpu=_product, default=fused_products.from_few
    )


def perceptron(x: jax.Array, layers: Sequence[Weights], activation: Activation) -> jax.Array:
    """Linear layers with an activation between them, on a batch ``[B, in]``.

    Kernels are those of :func:`stored`.
    """
    *hidden, head = layers
    # Each form traces the activation again, which a module with parameters does not allow.
    is_pure = activation.__module__.startswith("jax.")
    one_by_one = functools.partial(_one_by_one, activation)
    if is_pure and len(hidden) == 1 and x.shape[1] <= _FEW and _leads_to_few(*_size(head)):
        return _on_gpu(
            lambda x, layers: fused_products.few_to_few(activation, x, *layers),
            one_by_one,
            x,
            layers,
        )
    return one_by_one(x, layers)


def _one_by_one(activation: Activation, x: jax.Array, layers: Sequence[Weights]) -> jax.Array:
    *hidden, head = layers
    for weights in hidden:
        units = activation(linear(x, *weights))
        # Without the barrier, a GPU would store a first layer's sums and its activations.
        few = x.shape[1] <= _FEW
        x = _on_gpu(jax.lax.optimization_barrier, lambda units: units, units) if few else units
    return linear(x, *head)


def _on_gpu(form: Callable[..., Any], otherwise: Callable[..., Any], *args: Any) -> Any:
    return jax.lax.platform_dependent(*args, cpu=otherwise, tpu=otherwise, default=form)


def _product(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    return x @ kernel + bias[None]


def _size(weights: Weights) -> tuple[int, int]:
    kernel, bias = weights
    return kernel.size // bias.size, bias.size


def _leads_to_few(features: int, outputs: int) -> bool:
    return outputs <= _FEW < features
