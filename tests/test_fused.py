"""The fused kernel, interpreted, against :func:`a2c_jax.actor_critic` on the same noise.

Tolerances: after an update all numbers are within 1e-5 of the reference, relative or absolute,
after 20 within 1e-4; integers, and thereby every decision, are equal. Both compute in float32 and
add up in different orders.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax.fused import fused_actor_critic
from a2c_jax.fused_layout import Layout, pack, unpack

NUM_ENVS, NUM_STEPS, LIMIT = 4, 16, 10
CASES = {
    "article": (a2c.article_network, (256,), {"entropy_coef": 0.001}),
    "default": (
        a2c.mlp_actor_critic,
        (64, 64),
        {
            "max_grad_norm": 0.5,
            "discount": 0.9,
            "lambda_": 0.8,
            "value_coef": 0.3,
            "entropy_coef": 0.01,
            "normalize_advantages": True,
        },
    ),
}


def both(env, make_network, hidden_sizes, settings):
    """The fused algorithm and the one that it must equal."""
    sizes = {"num_envs": NUM_ENVS, "num_steps": NUM_STEPS}
    fused = fused_actor_critic(
        env, make_network, hidden_sizes, learning_rate=3e-3, interpret=True, **sizes, **settings
    )
    rest = dict(settings)
    optimizer = optax.adam(3e-3)
    if "max_grad_norm" in rest:
        optimizer = optax.chain(optax.clip_by_global_norm(rest.pop("max_grad_norm")), optimizer)
    estimator = a2c.gae(rest.pop("lambda_")) if "lambda_" in rest else a2c.n_step
    network = make_network(env, hidden_sizes)
    return fused, a2c.actor_critic(env, network, optimizer, estimator=estimator, **sizes, **rest)


def assert_close(got, want, tolerance):
    """Fails unless structures and types agree, integers are equal and the rest is near."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, left), right in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        assert left.dtype == right.dtype, path
        assert left.shape == right.shape, path
        if jax.dtypes.issubdtype(left.dtype, jnp.floating):
            np.testing.assert_allclose(
                left, right, rtol=tolerance, atol=tolerance, err_msg=str(path)
            )
        else:
            assert jnp.all(left == right), path


@pytest.mark.parametrize("case", CASES)
def test_its_updates_are_those_of_the_actor_critic(case):
    # A limit that is reached in the middle of a rollout, and soon after which poles fall.
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=LIMIT)
    make_network, hidden_sizes, settings = CASES[case]
    fused, plain = both(env, make_network, hidden_sizes, settings)
    network = make_network(env, hidden_sizes)

    @jax.jit
    def compared(state):
        key = jax.random.fold_in(state.key, state.update)
        _, _, rows = a2c.rollout(
            key, lambda obs: network.policy(state.params, obs), env, state.env_state, state.obs,
            NUM_STEPS,
        )  # fmt: skip
        return plain.step(state), rows.terminated, rows.truncated & ~rows.terminated

    step = jax.jit(fused.step)
    state = fused.init(jax.random.key(0))
    assert_close(state, plain.init(jax.random.key(0)), 0.0)
    got = want = state
    kinds = np.zeros(3, int)
    clipped = []
    for number in range(20):
        got, got_metrics = step(got)
        (want, want_metrics), terminated, truncated = compared(want)
        tolerance = 1e-5 if number == 0 else 1e-4
        assert_close(got, want, tolerance)
        assert_close(got_metrics, want_metrics, tolerance)
        assert got_metrics.episode_count == want_metrics.episode_count
        assert got_metrics.episode_length_sum == want_metrics.episode_length_sum
        np.testing.assert_array_equal(got.episodes.lengths, want.episodes.lengths)
        kinds += [terminated.sum(), truncated[:-1].sum(), truncated[-1].sum()]
        clipped.append(want_metrics.grad_norm > settings.get("max_grad_norm", np.inf))
    assert np.all(kinds > 0), "no fall, or no time limit within or at the end of a rollout"
    assert any(clipped) == ("max_grad_norm" in settings)


def test_seeds_and_rates_are_vmapped(cartpole):
    def algorithm(rate):
        return fused_actor_critic(
            cartpole, a2c.article_network, (6,), learning_rate=rate, num_envs=2, num_steps=5,
            interpret=True,
        )  # fmt: skip

    def step(rate, state):
        return algorithm(rate).step(state)

    states = jax.jit(jax.vmap(algorithm(1.0).init))(jax.random.split(jax.random.key(1), 3))
    rates = jnp.array([1e-3, 1e-2, 1e-1])
    together = jax.jit(jax.vmap(step))(rates, states)
    alone = jax.jit(step)
    for seed in range(3):
        one = alone(rates[seed], jax.tree.map(lambda x, seed=seed: x[seed], states))
        assert_close(jax.tree.map(lambda x, seed=seed: x[seed], together), one, 1e-5)
    kernels = together[0].params["policy"]["params"]["Linear_0"]["kernel"]
    moved = jnp.abs(kernels - states.params["policy"]["params"]["Linear_0"]["kernel"]).max((1, 2))
    np.testing.assert_allclose(moved, rates, rtol=0.01)  # Adam's first step is the rate


@pytest.mark.parametrize("sizes", [(5,), (256,), (7, 130), (64, 64)])
def test_laying_out_parameters_loses_nothing(cartpole, sizes):
    params = a2c.article_network(cartpole, sizes).init(jax.random.key(0))
    rows = pack(params, Layout(sizes))
    assert rows.shape == Layout(sizes).shape
    assert rows.shape[1] % 128 == 0
    assert_close(unpack(rows, Layout(sizes)), params, 0.0)
    assert jnp.sum(rows != 0) == sum(x.size for x in jax.tree.leaves(params)), "padding is zero"


def test_an_update_is_one_kernel_without_matrix_products(cartpole):
    make_network, hidden_sizes, settings = CASES["default"]
    fused, _ = both(cartpole, make_network, hidden_sizes, settings)
    state = jax.eval_shape(fused.init, jax.random.key(0))
    jaxpr = str(jax.make_jaxpr(fused.step)(state))
    assert jaxpr.count("pallas_call[") == 1
    assert "dot_general" not in jaxpr


@pytest.mark.slow
@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="Mosaic GPU lacks square roots")
def test_it_lowers_for_cuda(cartpole):
    make_network, hidden_sizes, settings = CASES["default"]
    algorithm = fused_actor_critic(
        cartpole, make_network, hidden_sizes, learning_rate=1e-3, num_envs=8, num_steps=16,
        **settings,
    )  # fmt: skip
    states = jax.eval_shape(jax.vmap(algorithm.init), jax.random.split(jax.random.key(0), 2))
    traced = jax.jit(jax.vmap(algorithm.step)).trace(states)
    assert "mosaic_gpu" in traced.lower(lowering_platforms=("cuda",)).as_text()


def with_other_rewards():
    env = a2c.make_env("CartPole-v1")

    def step(key, env_state, action):
        timestep = env.step(key, env_state, action)
        return timestep._replace(reward=timestep.reward / 10)

    return env._replace(step=step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": a2c.make_env("Acrobot-v1")}, "env is Acrobot-v1, .* use actor_critic"),
        ({"env": a2c.make_env("CartPole-v1", gravity=5.0)}, "env is .* other physics .* change"),
        ({"env": a2c.make_env("CartPole-v1", x_threshold=1.0)}, "env is .* other physics"),
        (
            {"env": a2c.make_env("CartPole-v1", theta_threshold_radians=0.3)},
            "env is .* other physics",
        ),
        ({"env": with_other_rewards()}, "env is .* other physics or rewards"),
        ({"make_network": a2c.mlp_q_actor_critic}, "make_network is .*; give article_network"),
        ({"hidden_sizes": ()}, r"hidden_sizes is \(\), 0 layers; give one or two"),
        ({"hidden_sizes": (8, 8, 8)}, r"hidden_sizes is \(8, 8, 8\), 3 layers; give one or two"),
        ({"hidden_sizes": (0,)}, "hidden_sizes is 0; give"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; give"),
        ({"max_grad_norm": -1.0}, "max_grad_norm is -1.0; give"),
        ({"lambda_": 1.5}, "lambda_ is 1.5; give"),
        ({"discount": -0.5}, "discount is -0.5; give"),
        ({"num_envs": 0}, "num_envs is 0; give"),
        ({"num_steps": 1.5}, "num_steps is 1.5; give"),
        ({"num_steps": 500}, "num_steps is 500, .* shared memory, .* give fewer steps"),
    ],
)
def test_what_it_does_not_serve_is_refused(cartpole, change, message):
    settings = {
        "env": cartpole,
        "make_network": a2c.article_network,
        "hidden_sizes": (8,),
        "learning_rate": 1e-3,
        "num_envs": 2,
        "num_steps": 3,
    }
    with pytest.raises(ValueError, match=f"^{message}.*\\.$"):
        fused_actor_critic(**{**settings, **change})
