"""The core under the modes of JAX that users switch on.

Two limits are not the library's: under strict promotion of types optax's Adam and gymnax's
environments fail by themselves, so SGD trains an environment of our own there.
"""

import contextlib
import gc

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import always_surviving, partly_legal

import a2c_jax as a2c
from a2c_jax import diagnostics


@contextlib.contextmanager
def strict():
    """Refuses promotion of ranks and types."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


MODES = {"strict": strict, "x64": lambda: jax.enable_x64(True)}
SIZES = {"num_envs": 2, "num_steps": 4, "entropy_coef": 0.1}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(1e-3, momentum=0.9))


def scaled_mlp():
    env = always_surviving(6)
    network = a2c.scaled(
        a2c.mlp_actor_critic(env, (4,)), env, observation_scale=(2.0,), value_scale=3.0
    )
    estimator = a2c.normalized_advantages(a2c.gae(0.9))
    return a2c.actor_critic(env, network, OPTIMIZER, estimator=estimator, num_resets=3, **SIZES)


def recurrent_workers():
    env = always_surviving(6)
    agent = a2c.as_agent(env, a2c.gru_actor_critic(env, (4,), memory_size=3))
    agent = a2c.scaled_rewards(a2c.normalized(agent, env), num_envs=4)
    return a2c.a3c(env, agent, OPTIMIZER, num_workers=2, order=a2c.random_order, **SIZES)


def algorithms():
    """Each kind of algorithm, network, agent and action space at least once."""
    env = always_surviving(6)
    box = env._replace(
        action_space=a2c.Box(-1.0, 1.0, (1,)),
        step=lambda key, state, action: env.step(key, state, (action[0] > 0).astype(jnp.int32)),
    )
    legal = partly_legal(5)

    def masked_step(key, state, action):
        timestep = legal.step(key, state, action[0])
        return timestep._replace(reward=timestep.reward.astype(jnp.float32))

    masks = legal._replace(action_space=a2c.MultiDiscrete((2, 3)), step=masked_step)
    return [
        scaled_mlp(),
        recurrent_workers(),
        a2c.actor_critic(
            box, a2c.mlp_actor_critic(box, (4,)), OPTIMIZER,
            estimator=a2c.reinforce_with_baseline, **SIZES,
        ),
        a2c.actor_critic(
            masks, a2c.masked(a2c.article_network(a2c.unmasked(masks), (4,)), masks), OPTIMIZER,
            **SIZES,
        ),
        a2c.q_actor_critic(
            env, a2c.mlp_q_actor_critic(env, (4,)), OPTIMIZER, expected=True, **SIZES
        ),
        a2c.article(
            env, a2c.mlp_actor_critic(env, (4,)), OPTIMIZER, defects=a2c.AS_PRINTED
        ),
    ]  # fmt: skip


def traced(algorithm):
    return jax.eval_shape(lambda key: a2c.train(algorithm, key, 2), jax.random.key(0))


@pytest.mark.parametrize("mode", MODES)
def test_every_algorithm_and_function_traces(mode):
    key, env = jax.random.key(0), always_surviving(6)
    network = a2c.mlp_actor_critic(env, (4,))
    with MODES[mode]():
        for algorithm in algorithms():
            result = traced(algorithm)
            types = {leaf.dtype for leaf in jax.tree.leaves((result.state.params, result.metrics))}
            assert types == {jnp.dtype(jnp.float32)}

        def functions(key):
            params = network.init(key)
            for greedy in (True, False):
                a2c.evaluate(env, network, params, key, 3, greedy)
            weights = {
                "a2c": diagnostics.state_value_weights(env, network, params, a2c.n_step, 0.9, 3)
            }
            each = diagnostics.policy_gradients(key, env, network, params, weights, 3)["a2c"]
            return diagnostics.gradient_noise(each, each)

        jax.eval_shape(functions, key)


def test_no_tracer_leaks():
    gc.freeze()  # or every trace would search all objects of the earlier tests
    with jax.checking_leaks():
        traced(scaled_mlp())
        traced(recurrent_workers())


def test_x64_and_debug_nans_change_no_number():
    numbers = []
    for mode in (jax.debug_nans, jax.enable_x64):
        with mode(True):
            algorithm = scaled_mlp()
            result = jax.jit(lambda key, one=algorithm: a2c.train(one, key, 3))(jax.random.key(0))
            numbers.append([np.asarray(leaf) for leaf in result.metrics])
    for one, other in zip(*numbers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_policy_is_exported_with_a_symbolic_batch(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (4,))
    params = jax.jit(network.init)(jax.random.key(0))
    (batch,) = jax.export.symbolic_shape("b")
    shapes = jax.ShapeDtypeStruct((batch, 4), jnp.float32)
    exported = jax.export.export(jax.jit(lambda obs: network.policy(params, obs)))(shapes)
    obs = jax.random.normal(jax.random.key(1), (5, 4))
    np.testing.assert_allclose(exported.call(obs), network.policy(params, obs), rtol=1e-5)
