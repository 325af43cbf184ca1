"""An agent that remembers and counts: what the contract promises besides feed-forward agents."""

import jax
import jax.numpy as jnp

import a2c_jax as a2c
from a2c_jax.rollout import select

HIDDEN = 3


def remembering(env):
    """A recurrent agent with running means of its observations, which it subtracts."""
    distribution = a2c.distribution_for(env.action_space)
    (features,) = env.observation.shape

    def init(key):
        shapes = {
            "recurrent": (HIDDEN, HIDDEN),
            "input": (features, HIDDEN),
            "policy": (HIDDEN, distribution.num_outputs),
            "value": (HIDDEN, 1),
        }
        keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
        params = {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}
        return a2c.AgentState(params, {"count": jnp.zeros(()), "sum": jnp.zeros(features)})

    def remember(state, memory, obs):
        mean = state.moments["sum"] / jnp.maximum(state.moments["count"], 1.0)
        params = state.params
        return jnp.tanh(memory @ params["recurrent"] + (obs - mean) @ params["input"])

    def act(state, memory, obs, noise):
        memory = remember(state, memory, obs)
        outputs = memory @ state.params["policy"]
        if noise is None:
            return memory, distribution.mode(outputs)
        return memory, distribution.sample(outputs, noise)

    def unroll(state, rollout):
        def body(memory, row):
            obs, next_obs, ended = row
            memory = remember(state, memory, obs)
            after = remember(state, memory, next_obs)
            return select(ended, jnp.zeros_like(memory), memory), (memory, after)

        rows = rollout.transitions
        ended = rows.terminated | rows.truncated
        _, (memories, after) = jax.lax.scan(body, rollout.memory, (rows.obs, rows.next_obs, ended))
        outputs = memories @ state.params["policy"]
        value = state.params["value"]
        return a2c.Unrolled(
            outputs,
            distribution.log_prob(outputs, rows.action),
            distribution.entropy(outputs),
            (memories @ value)[..., 0],
            (after @ value)[..., 0],
        )

    def observe(state, rollout):
        obs = rollout.transitions.obs
        moments = {
            "count": state.moments["count"] + obs[..., 0].size,
            "sum": state.moments["sum"] + obs.sum((0, 1)),
        }
        return state._replace(moments=moments)

    return a2c.Agent(
        init=init,
        memory=lambda num_envs: jnp.zeros((num_envs, HIDDEN)),
        noise=distribution.noise,
        act=act,
        unroll=unroll,
        observe=observe,
    )
