"""Networks made of a torso, which computes features of an observation, and linear heads."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from a2c_jax import checks, record_checks
from a2c_jax._devices import fast_random
from a2c_jax.layers import Activation, Convolution, LayerInit, Perceptron, orthogonal
from a2c_jax.networks import Half, actor, critic, on_one_axis, zeros
from a2c_jax.types import (
    Environment,
    Key,
    Memory,
    Network,
    Observation,
    Params,
    RecurrentNetwork,
)

_IMAGE = 3  # axes: height, width and channels


def torso_actor_critic(
    env: Environment,
    torso: nn.Module,
    shared: bool = True,
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
    log_std: float | None = 0.0,
) -> Network:
    """Two linear heads, for the policy and the value, on a torso.

    The parameters are ``{"policy", "value", "torso"}``, or with separate torsos
    ``{"policy", "value", "policy_torso", "value_torso"}``.

    Args:
        env: gives the shapes of an observation and the action space.
        torso: any module of flax.linen that maps observations ``[B, *O]`` to features ``[B, F]``,
            such as :class:`a2c_jax.Perceptron`.
        shared: give both heads the same torso, so that each update computes it once.
        policy_init: initialises the policy's head; by default small, so that the initial policy is
            nearly uniform.
        value_init: initialises the value's head.
        log_std: as in :func:`a2c_jax.mlp_actor_critic`.

    Raises:
        ValueError: if the torso does not take the observations or its features are not
            ``[B, F]``, or no distribution supports the action space.
    """
    features = on_one_axis(env, torso)
    heads = _heads(env, _num_features(env, torso), policy_init, value_init, log_std)
    (init_policy, policy), (init_value, value) = heads
    ours, theirs = ("torso",) * 2 if shared else ("policy_torso", "value_torso")

    @fast_random
    def init(key: Key) -> Params:
        policy_key, value_key, *torso_keys = jax.random.split(key, 4)
        named = zip(dict.fromkeys((ours, theirs)), torso_keys, strict=False)
        torsos = {name: torso.init(key, zeros(env)) for name, key in named}
        return {"policy": init_policy(policy_key), "value": init_value(value_key), **torsos}

    def both(params: Params, obs: Observation) -> tuple[jax.Array, jax.Array]:
        x = features(params[ours], obs)
        return policy(params["policy"], x), value(params["value"], x)

    return Network(
        init,
        lambda params, obs: policy(params["policy"], features(params[ours], obs)),
        lambda params, obs: value(params["value"], features(params[theirs], obs)),
        both if shared else None,
    )


def conv_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (128,),
    features: int = 16,
    size: int = 3,
    activation: Activation = nn.relu,
    layer_norm: bool = False,
    shared: bool = True,
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
    log_std: float | None = 0.0,
) -> Network:
    """A convolution, then linear layers, shared by policy and value: for images ``[H, W, C]``.

    The defaults are the sizes that Young & Tian (2019) use for MinAtar.

    Args:
        env: an environment that observes images.
        hidden_sizes: units of each layer after the convolution.
        features: number of filters.
        size: height and width of a filter, at most those of the image.
        activation: after the convolution and each layer.
        layer_norm: normalise the sums before each activation.
        shared: as in :func:`torso_actor_critic`; so are the others.
        policy_init: initialises the policy's head.
        value_init: initialises the value's head.
        log_std: as in :func:`a2c_jax.mlp_actor_critic`.

    Raises:
        ValueError: if the observation is not an image, is smaller than a filter, or a size is
            below 1.

    Source: Young & Tian (2019), "MinAtar", arXiv:1903.03176.
    """
    shape = record_checks.single_array(env)
    if len(shape) != _IMAGE:
        raise ValueError(
            f"{env.name} observes arrays of shape {shape}, but a convolution takes images "
            "[height, width, channels]; use mlp_actor_critic (--network mlp)."
        )
    size, features = checks.positive_int("size", size), checks.positive_int("features", features)
    if size > min(shape[:2]):
        raise ValueError(
            f"size is {size}, but {env.name} observes images of {shape[0]} by {shape[1]}; give at "
            f"most {min(shape[:2])}."
        )
    torso = nn.Sequential([
        Convolution(features, size, activation, layer_norm),
        Perceptron(_sizes(hidden_sizes), activation, layer_norm),
    ])  # fmt: skip
    return torso_actor_critic(env, torso, shared, policy_init, value_init, log_std)


def gru_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64,),
    memory_size: int = 64,
    torso: nn.Module | None = None,
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
    log_std: float | None = 0.0,
) -> RecurrentNetwork:
    """A torso, a gated recurrent unit, then linear heads for the policy and the value.

    The parameters are ``{"torso", "gru", "policy", "value"}``; the memory is zero at first.

    Args:
        env: gives the shapes of an observation and the action space.
        hidden_sizes: units of each layer before the recurrent unit.
        memory_size: numbers in the memory.
        torso: in place of these layers, as in :func:`torso_actor_critic`; so are the others, and
            the errors.
        policy_init: initialises the policy's head.
        value_init: initialises the value's head.
        log_std: as in :func:`a2c_jax.mlp_actor_critic`.

    Source: Cho et al. (2014), arXiv:1406.1078.
    """
    memory_size = checks.positive_int("memory_size", memory_size)
    torso = Perceptron(_sizes(hidden_sizes)) if torso is None else torso
    features, num_features = on_one_axis(env, torso), _num_features(env, torso)
    heads = _heads(env, memory_size, policy_init, value_init, log_std)
    (init_policy, policy), (init_value, value) = heads
    cell = nn.GRUCell(memory_size, recurrent_kernel_init=_square)
    sizes = memory_size, num_features

    @fast_random
    def init(key: Key) -> Params:
        policy_key, value_key, torso_key, cell_key = jax.random.split(key, 4)
        return {
            "policy": init_policy(policy_key),
            "value": init_value(value_key),
            "torso": torso.init(torso_key, zeros(env)),
            "gru": cell.init(cell_key, *(jnp.zeros(n, jnp.float32) for n in sizes)),
        }

    def remember(params: Params, memory: Memory, inputs: jax.Array) -> Memory:
        after: Any = cell.apply(params["gru"], memory, inputs)
        return after[0]

    return RecurrentNetwork(
        init=init,
        memory=lambda num_envs: jnp.zeros((num_envs, memory_size), jnp.float32),
        encode=lambda params, obs: features(params["torso"], obs),
        remember=remember,
        policy=lambda params, memory, obs: policy(params["policy"], memory),
        value=lambda params, memory, obs: value(params["value"], memory),
    )


def _square(key: Key, shape: tuple[int, int], dtype: Any = None) -> jax.Array:
    return orthogonal(1.0).kernel(key, shape)


def _sizes(hidden_sizes: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(checks.positive_int("hidden_sizes", size) for size in hidden_sizes)
    if not sizes:
        raise ValueError("hidden_sizes is empty; give at least one layer.")
    return sizes


def _heads(
    env: Environment,
    num_features: int,
    policy_init: LayerInit,
    value_init: LayerInit,
    log_std: float | None,
) -> tuple[Half, Half]:
    """Linear functions of features: perceptrons without hidden layers."""
    shape = jax.ShapeDtypeStruct((num_features,), jnp.float32)
    on_features, no_layers = env._replace(observation=shape), ((), nn.tanh, orthogonal())
    policy = actor(on_features, (*no_layers, policy_init), log_std)
    return policy, critic(on_features, (*no_layers, value_init))


def _num_features(env: Environment, torso: nn.Module) -> int:
    try:
        out, _ = jax.eval_shape(torso.init_with_output, jax.random.key(0), zeros(env))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"torso does not take the observations of {env.name}: {error}") from error
    is_array = isinstance(out, jax.ShapeDtypeStruct)
    if not is_array or out.ndim != len(("batch", "features")):
        raise ValueError(f"torso returns {out}; make it return features [B, F].")
    return out.shape[-1]
