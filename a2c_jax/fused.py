"""A2C on CartPole-v1 with a whole update in one GPU kernel (Pallas, Mosaic GPU).

In interpret mode, on a CPU, its updates are those of :func:`a2c_jax.actor_critic` up to rounding;
with jax 0.11 it lowers for CUDA as far as that goes without a GPU. It has not run on a GPU.

XLA writes activations to memory and launches kernels for every step of a rollout. Here a block of
threads keeps a seed's parameters, environments and transitions on its chip for a whole update,
and ``vmap`` over seeds adds blocks. Noise comes in as an argument, drawn as in
:func:`a2c_jax.rollout`, so that both can be compared number by number.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from jax.experimental import pallas as pl

from a2c_jax import checks
from a2c_jax.actor_critic import ActorCriticState, actor_critic
from a2c_jax.advantages import gae
from a2c_jax.fused_cartpole import require_cartpole
from a2c_jax.fused_layout import Layout, round_up
from a2c_jax.fused_memory import Inputs, Outputs, Scalars, Static, scratch_shapes
from a2c_jax.fused_state import kernel_inputs, output_shapes, state_after
from a2c_jax.fused_update import B1, B2, update
from a2c_jax.networks import article_network, mlp_actor_critic
from a2c_jax.types import Algorithm, Environment, Metrics, Network, Scalar

NetworkMaker = Callable[[Environment, Sequence[int]], Network]
_SHARED_MEMORY = 227 * 1024  # bytes that a block of Hopper may have
_REDUCTIONS = 4 * 1024  # of them, at least those that sums over threads need
_MAX_LAYERS = 2


def fused_actor_critic(
    env: Environment,
    make_network: NetworkMaker,
    hidden_sizes: Sequence[int],
    *,
    learning_rate: Scalar,
    num_envs: int,
    num_steps: int,
    max_grad_norm: Scalar = float("inf"),
    discount: Scalar = 0.99,
    lambda_: Scalar = 1.0,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
    interpret: bool = False,
) -> Algorithm:
    """:func:`a2c_jax.actor_critic` with Adam on CartPole-v1, each update one kernel.

    The state is that of ``actor_critic(env, make_network(env, hidden_sizes), optimizer,
    estimator=gae(lambda_), ...)``, where the optimizer is ``optax.adam(learning_rate)``, behind
    ``optax.clip_by_global_norm(max_grad_norm)`` unless that is infinite. Either algorithm can
    go on from the other's.

    Args:
        env: CartPole-v1, with any time limit.
        make_network: :func:`a2c_jax.article_network` (ReLU) or
            :func:`a2c_jax.mlp_actor_critic` (tanh).
        hidden_sizes: units of one or two hidden layers.
        learning_rate: of Adam; it and the other numbers of type Scalar may be traced.
        num_envs: environments, N.
        num_steps: steps of a rollout, T.
        max_grad_norm: gradients are scaled down to this global norm; infinity leaves them.
        discount: in [0, 1].
        lambda_: of :func:`a2c_jax.gae`; 1 is :func:`a2c_jax.n_step`.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to normalise advantages over the rollout.
        interpret: run the kernel's operations one by one through XLA, on any device.

    Raises:
        ValueError: if an argument lies outside its range, or the kernel does not serve it.
    """
    require_cartpole(env)
    layout = _layout(make_network, hidden_sizes)
    checks.positive("learning_rate", learning_rate)
    is_clipped = _is_clipped(max_grad_norm)
    adam = optax.adam(learning_rate, b1=B1, b2=B2)
    clip = optax.clip_by_global_norm(max_grad_norm)
    plain = actor_critic(
        env,
        make_network(env, layout.hidden_sizes),
        optax.chain(clip, adam) if is_clipped else adam,
        num_envs=num_envs,
        num_steps=num_steps,
        discount=discount,
        estimator=gae(lambda_),
        value_coef=value_coef,
        entropy_coef=entropy_coef,
        normalize_advantages=normalize_advantages,
    )
    static = _static(env, make_network, layout, num_envs, num_steps, normalize_advantages)
    if not interpret:
        _require_room(static)

    def step(state: ActorCriticState) -> tuple[ActorCriticState, Metrics]:
        count = jnp.asarray(optax.safe_increment(optax.tree.get(state.opt_state, "count")))
        scalars = Scalars(
            learning_rate, 1 - B1**count, 1 - B2**count, max_grad_norm,
            discount, lambda_, value_coef, entropy_coef,
        )  # fmt: skip
        outputs = _call(static, kernel_inputs(static, env, state, scalars), interpret)
        return state_after(static, state, count, outputs), Metrics(*outputs.metrics)

    return Algorithm(plain.init, step, plain.steps_per_update)


def _layout(make_network: NetworkMaker, hidden_sizes: Sequence[int]) -> Layout:
    if make_network not in (article_network, mlp_actor_critic):
        raise ValueError(
            f"make_network is {make_network!r}, which the fused kernel does not contain; give "
            "article_network or mlp_actor_critic, or use actor_critic."
        )
    sizes = tuple(checks.positive_int("hidden_sizes", size) for size in hidden_sizes)
    if not 1 <= len(sizes) <= _MAX_LAYERS:
        raise ValueError(
            f"hidden_sizes is {sizes}, {len(sizes)} layers; give one or two, or use actor_critic."
        )
    return Layout(sizes)


def _is_clipped(max_grad_norm: Scalar) -> bool:
    if not checks.is_known(max_grad_norm):
        return True
    if not max_grad_norm > 0:
        raise ValueError(
            f"max_grad_norm is {max_grad_norm}; give a number above 0, or inf not to clip."
        )
    return float(max_grad_norm) != float("inf")


def _static(
    env: Environment,
    make_network: NetworkMaker,
    layout: Layout,
    num_envs: int,
    num_steps: int,
    normalize_advantages: bool,
) -> Static:
    is_relu = make_network is article_network
    return Static(
        layout=layout,
        num_envs=int(num_envs),
        num_steps=int(num_steps),
        lanes=round_up(int(num_envs)),
        max_episode_steps=env.max_episode_steps,
        activation=_relu if is_relu else jnp.tanh,
        slope=_relu_slope if is_relu else _tanh_slope,
        normalize_advantages=normalize_advantages,
    )


def _relu(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0.0)


def _relu_slope(y: jax.Array) -> jax.Array:
    return jnp.where(y > 0, 1.0, 0.0)


def _tanh_slope(y: jax.Array) -> jax.Array:
    return 1.0 - y * y


def _require_room(static: Static) -> None:
    needed = _REDUCTIONS + sum(4 * math.prod(shape) for shape in scratch_shapes(static))
    if needed > _SHARED_MEMORY:
        raise ValueError(
            f"num_steps is {static.num_steps}, and with {static.num_envs} environments and layers "
            f"of {static.layout.hidden_sizes} the kernel needs {needed} bytes of shared memory, "
            f"more than the {_SHARED_MEMORY} there are; give fewer steps, or use actor_critic."
        )


def _call(static: Static, inputs: Inputs, interpret: bool) -> Outputs:
    body = functools.partial(update, static)
    outputs = list(output_shapes(inputs, len(Metrics._fields)))
    shapes = scratch_shapes(static)
    if interpret:
        scratch = [pl.ANY(shape, jnp.float32) for shape in shapes]
        return Outputs(
            *pl.pallas_call(body, outputs, scratch_shapes=scratch, interpret=True)(*inputs)
        )
    # Not every platform that can interpret has it.
    from jax.experimental.pallas import mosaic_gpu

    kernel = mosaic_gpu.kernel(
        body,
        out_type=outputs,
        scratch_types=[mosaic_gpu.SMEM(shape, jnp.float32) for shape in shapes],
        compiler_params=mosaic_gpu.CompilerParams(
            lowering_semantics=mosaic_gpu.LoweringSemantics.Warpgroup
        ),
    )
    return Outputs(*kernel(*inputs))
