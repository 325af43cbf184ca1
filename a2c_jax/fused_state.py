"""The state of an actor-critic as the fused kernel's inputs, and the state that it leaves."""

import jax
import jax.numpy as jnp
import optax

from a2c_jax.actor_critic import ActorCriticState
from a2c_jax.fused_layout import pack, turned_second, unpack
from a2c_jax.fused_memory import Inputs, Outputs, Scalars, Static
from a2c_jax.metrics import OpenEpisodes
from a2c_jax.rollout import draw_noise
from a2c_jax.types import Environment


def kernel_inputs(
    static: Static, env: Environment, state: ActorCriticState, scalars: Scalars
) -> Inputs:
    """What the kernel reads, noise included: that of the state's update, as ever.

    Args:
        static: what the kernel is compiled for.
        env: gives the states that ended episodes start again from.
        state: before the update.
        scalars: the numbers of the update.
    """
    layout = static.layout
    params = pack(state.params, layout)
    key = jax.random.fold_in(state.key, state.update)
    noise = draw_noise(key, env, static.num_steps, static.num_envs)

    def by_lane(x: jax.Array) -> jax.Array:
        missing = static.lanes - static.num_envs
        return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))

    return Inputs(
        scalars=jnp.stack([jnp.asarray(scalar, jnp.float32) for scalar in scalars]),
        params=params,
        mu=pack(optax.tree.get(state.opt_state, "mu"), layout),
        nu=pack(optax.tree.get(state.opt_state, "nu"), layout),
        turned=turned_second(params, layout),
        is_policy=jnp.repeat(jnp.array([1.0, 0.0]), layout.units),
        is_real=by_lane(jnp.ones(static.num_envs)),
        cart=by_lane(state.obs.T),
        time=by_lane(state.env_state.time),
        returns=by_lane(state.episodes.returns),
        lengths=by_lane(state.episodes.lengths),
        noise=by_lane(jnp.swapaxes(noise.action, 1, 2)),
        resets=by_lane(jnp.swapaxes(noise.reset_obs, 1, 2)),
    )


def output_shapes(inputs: Inputs, num_metrics: int) -> Outputs:
    """The shape and type of each array of :class:`a2c_jax.fused_memory.Outputs`."""
    like = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in inputs._asdict().items()
        if name in Outputs._fields
    }
    return Outputs(**like, metrics=jax.ShapeDtypeStruct((num_metrics,), jnp.float32))


def state_after(
    static: Static, state: ActorCriticState, count: jax.Array, outputs: Outputs
) -> ActorCriticState:
    """The state with what the kernel has written.

    Args:
        static: what the kernel is compiled for.
        state: before the update.
        count: steps that Adam has taken, this one included.
        outputs: what the kernel has written.
    """
    layout, num_envs = static.layout, static.num_envs
    cart = outputs.cart[:, :num_envs]
    return ActorCriticState(
        params=unpack(outputs.params, layout),
        opt_state=optax.tree.set(
            state.opt_state,
            count=count,
            mu=unpack(outputs.mu, layout),
            nu=unpack(outputs.nu, layout),
        ),
        env_state=state.env_state.replace(
            x=cart[0],
            x_dot=cart[1],
            theta=cart[2],
            theta_dot=cart[3],
            time=outputs.time[:num_envs],
        ),
        obs=cart.T,
        episodes=OpenEpisodes(outputs.returns[:num_envs], outputs.lengths[:num_envs]),
        key=state.key,
        update=state.update + 1,
    )
