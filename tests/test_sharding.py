"""One seed over several devices: the numbers of one device, and no more passed than sums."""

import functools
import re

import jax
import numpy as np
import optax
import pytest
from comparing import assert_identical, assert_same_bits

import a2c_jax as a2c
from a2c_jax import sharding

UPDATES = 5
SETTINGS = {"num_steps": 7, "entropy_coef": 0.01}
NUM_ENVS = 12  # of all workers together
# Of float32 sums of 84 rows in another order, carried through five steps of Adam.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
PASSED = re.compile(
    r"= (.*?) (all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast|"
    r"all-reduce)(?:-start)?\("
)


KINDS = {
    a2c.actor_critic: (a2c.mlp_actor_critic, a2c.n_step, {"num_envs": NUM_ENVS}),
    a2c.q_actor_critic: (a2c.mlp_q_actor_critic, a2c.sarsa, {"num_envs": NUM_ENVS}),
    a2c.a3c: (a2c.mlp_actor_critic, a2c.n_step, {"num_envs": NUM_ENVS // 2, "num_workers": 2}),
}


def make(kind, env, split, hidden_sizes=(8,)):
    mlp, estimator, sizes = KINDS[kind]
    network = mlp(env, hidden_sizes)
    network = a2c.split_network(network, env) if split else network
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))
    estimator = a2c.normalized_advantages(estimator)
    return kind(env, network, optimizer, estimator=estimator, **sizes, **SETTINGS)


KEY = jax.random.key(3)
SLOW = pytest.mark.slow("compiles four more programs")
A2C = pytest.param(a2c.actor_critic, True, id="actor_critic")
Q = pytest.param(a2c.q_actor_critic, True, id="q_actor_critic", marks=SLOW)
A3C = pytest.param(a2c.a3c, True, id="a3c", marks=SLOW)
PLAIN = pytest.param(a2c.a3c, False, id="a3c without split_network", marks=SLOW)


@functools.cache
def on_one_device(kind):
    """The first state, and the result."""
    algorithm = make(kind, a2c.make_env("CartPole-v1"), False)
    start = jax.jit(algorithm.init)(KEY)
    return start, jax.jit(lambda state: a2c.run(algorithm, state, UPDATES))(start)


@functools.cache
def over_all_devices(kind, split):
    """The first state, the result, and the text of the program between them."""
    algorithm = make(kind, a2c.make_env("CartPole-v1"), split)
    init, proceed = sharding.split_programs(algorithm, UPDATES, sharding.mesh_of())
    start = init(KEY)
    program = proceed.lower(start).compile()
    return start, program(init(KEY)), program.as_text()


@pytest.mark.bits
@pytest.mark.parametrize(("kind", "split"), [A2C, Q, A3C, PLAIN])
def test_a_run_is_that_of_one_device_with_its_environments_spread(kind, split):
    start, result, _ = over_all_devices(kind, split)
    expected_start, expected = on_one_device(kind)
    assert_same_bits(start, expected_start)
    for name, field in result.state._asdict().items():
        for leaf in jax.tree.leaves(field):
            assert len(leaf.sharding.device_set) == jax.local_device_count() == 2
            if name in ("actors", "episodes"):
                assert leaf.addressable_shards[0].data.shape[0] == 6
            else:
                assert leaf.is_fully_replicated
    assert all(leaf.is_fully_replicated for leaf in result.metrics)
    # The same noise and the same actions: to the bit.
    for name in ("actors", "episodes", "key", "update"):
        assert_same_bits(getattr(result.state, name), getattr(expected.state, name))
    for name in ("episode_return_sum", "episode_length_sum", "episode_count", "steps"):
        assert_identical(getattr(result.metrics, name), getattr(expected.metrics, name))
    for ours, theirs in zip(
        jax.tree.leaves((result.state.params, result.state.opt_state, result.metrics)),
        jax.tree.leaves((expected.state.params, expected.state.opt_state, expected.metrics)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


# Not a3c, whose workers are no axis of the rows that split_network spreads over devices: whole
# rollouts pass between them.
@pytest.mark.parametrize(("kind", "split"), [A2C, Q])
def test_only_sums_of_gradients_and_scalars_pass_between_devices(kind, split):
    *_, text = over_all_devices(kind, split)
    passed = PASSED.findall(text)
    assert passed
    assert {kind for _, kind in passed} == {"all-reduce"}
    for shapes, _ in passed:
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes):
            assert len(shape) == 0 or np.prod([int(n) for n in shape.split(",")]) <= 8 * 8
    # No device has the rows of all environments at any time, noise included.
    assert "[7,6" in text
    assert "[7,12" not in text


@SLOW
def test_one_batch_axis_without_split_network_gathers_rollouts():
    """Why there is split_network; and that the test above would see it."""
    *_, text = over_all_devices(a2c.actor_critic, False)
    assert "all-gather" in {kind for _, kind in PASSED.findall(text)}


def test_what_cannot_be_split_is_refused(cartpole, small_algorithm):
    network = a2c.mlp_actor_critic(cartpole, (8,))
    odd = a2c.actor_critic(cartpole, network, optax.sgd(0.1), num_envs=3, num_steps=2)
    of_episodes = a2c.article(cartpole, network, optax.sgd(0.1))
    for algorithm, updates, options, sentence in [
        (odd, 2, {}, "num_envs is 3, which 2 devices cannot split evenly"),
        (of_episodes, 2, {}, r"algorithm has .* without environments that continue"),
        (small_algorithm, 0, {}, "num_updates is 0"),
        (small_algorithm, 2, {"devices": []}, "devices is empty"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            a2c.train_split(algorithm, KEY, updates, **options)
