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
from probe_envs import always_surviving

import a2c_jax as a2c
from a2c_jax import diagnostics


@contextlib.contextmanager
def strict():
    """Refuses promotion of ranks and types, and leaked tracers; each has an error of its own."""
    gc.freeze()  # or every trace would search all objects of the earlier tests
    try:
        with (
            jax.numpy_rank_promotion("raise"),
            jax.numpy_dtype_promotion("strict"),
            jax.checking_leaks(),
        ):
            yield
    finally:
        gc.unfreeze()


MODES = {"strict": strict, "x64": lambda: jax.enable_x64(True)}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(1e-3, momentum=0.9))


def with_mask(env):
    def masked(obs):
        return a2c.MaskedObservation(obs, jnp.ones(2, bool))

    def reset(key):
        state, obs = env.reset(key)
        return state, masked(obs)

    def step(key, state, action):
        timestep = env.step(key, state, action)
        return timestep._replace(obs=masked(timestep.obs))

    observation = jax.eval_shape(reset, jax.random.key(0))[1]
    return env._replace(reset=reset, step=step, observation=observation)


def algorithms():
    env = always_surviving(6)
    network = a2c.mlp_actor_critic(env, (8,))
    scaled = a2c.scaled(network, env, observation_scale=(2.0,), value_scale=3.0)
    box = env._replace(
        action_space=a2c.Box(-1.0, 1.0, (1,)),
        step=lambda key, state, action: env.step(key, state, (action[0] > 0).astype(jnp.int32)),
    )
    many = env._replace(
        action_space=a2c.MultiDiscrete((2, 3)),
        step=lambda key, state, action: env.step(key, state, action[0]),
    )
    recurrent = a2c.as_agent(env, a2c.gru_actor_critic(env, (4,), memory_size=3))
    recurrent = a2c.scaled_rewards(a2c.normalized(recurrent, env), num_envs=2)
    masks = with_mask(env)
    sizes = {"num_envs": 2, "num_steps": 4, "entropy_coef": 0.1}
    estimator = a2c.normalized_advantages(a2c.gae(0.9))
    return [
        a2c.actor_critic(env, scaled, OPTIMIZER, estimator=estimator, num_resets=3, **sizes),
        a2c.actor_critic(env, network, OPTIMIZER, estimator=a2c.reinforce_with_baseline, **sizes),
        a2c.actor_critic(box, a2c.mlp_actor_critic(box, (8,)), OPTIMIZER, **sizes),
        a2c.actor_critic(many, a2c.article_network(many, (4,)), OPTIMIZER, **sizes),
        a2c.q_actor_critic(
            env, a2c.mlp_q_actor_critic(env, (8,)), OPTIMIZER, expected=True, **sizes
        ),
        a2c.a3c(env, network, OPTIMIZER, num_workers=2, order=a2c.random_order, **sizes),
        a2c.article(env, network, OPTIMIZER, defects=a2c.AS_PRINTED),
        a2c.actor_critic(env, recurrent, OPTIMIZER, **sizes),
        a2c.actor_critic(masks, a2c.masked(network, masks), OPTIMIZER, **sizes),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_every_algorithm_and_function_traces(mode):
    key, env = jax.random.key(0), always_surviving(6)
    network = a2c.mlp_actor_critic(env, (8,))
    with MODES[mode]():
        for algorithm in algorithms():
            result = jax.eval_shape(lambda key, a=algorithm: a2c.train(a, key, 2), key)
            types = {leaf.dtype for leaf in jax.tree.leaves((result.state.params, result.metrics))}
            assert types == {jnp.dtype(jnp.float32)}
        for greedy in (True, False):
            jax.eval_shape(
                lambda key, greedy=greedy: a2c.evaluate(
                    env, network, network.init(key), key, 3, greedy
                ),
                key,
            )

        def gradients(key):
            params = network.init(key)
            weights = {
                "a2c": diagnostics.state_value_weights(env, network, params, a2c.n_step, 0.9, 3)
            }
            each = diagnostics.policy_gradients(key, env, network, params, weights, 3)["a2c"]
            return diagnostics.gradient_noise(each, each)

        jax.eval_shape(gradients, key)


def test_x64_changes_no_number():
    def train():
        algorithm = algorithms()[0]
        return jax.jit(lambda key: a2c.train(algorithm, key, 3))(jax.random.key(0))

    plain = train()
    with jax.enable_x64(True):
        wide = train()
    for one, other in zip(*map(jax.tree.leaves, (plain.metrics, wide.metrics)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_run_is_free_of_nan_under_debug_nans():
    with jax.debug_nans(True):
        for algorithm in algorithms()[:2]:
            jax.block_until_ready(
                jax.jit(lambda key, a=algorithm: a2c.train(a, key, 2))(jax.random.key(0))
            )


def test_a_policy_is_exported_with_a_symbolic_batch():
    env = a2c.make_env("CartPole-v1")
    network = a2c.mlp_actor_critic(env)
    params = network.init(jax.random.key(0))
    (batch,) = jax.export.symbolic_shape("b")
    shapes = jax.ShapeDtypeStruct((batch, 4), jnp.float32)
    exported = jax.export.export(jax.jit(lambda obs: network.policy(params, obs)))(shapes)
    obs = jax.random.normal(jax.random.key(1), (5, 4))
    np.testing.assert_allclose(exported.call(obs), network.policy(params, obs), rtol=1e-5)
