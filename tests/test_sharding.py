"""One seed over several devices: the numbers of one device, and no more passed than sums."""

import functools
import os
import re
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax import sharding

pytestmark = pytest.mark.slow("bits")

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
PAIRS = [(kind, True) for kind in KINDS] + [(a2c.a3c, False)]


@functools.cache
def on_one_device(kind):
    """The first state, and the result."""
    algorithm = make(kind, a2c.make_env("CartPole-v1"), False)
    start = jax.jit(algorithm.init)(KEY)
    return start, jax.jit(lambda state: a2c.run(algorithm, state, UPDATES))(start)


def compiled_text(algorithm):
    init, proceed = sharding.split_programs(algorithm, UPDATES, sharding.mesh_of())
    return proceed.lower(jax.eval_shape(init, KEY)).compile().as_text()


@pytest.fixture(
    scope="module",
    params=PAIRS,
    ids=lambda param: f"{param[0].__name__}{'' if param[1] else ' without split_network'}",
)
def pair(request, cartpole):
    """An algorithm of a kind, and its results on one device and split over all of them."""
    algorithm = make(request.param[0], cartpole, request.param[1])
    split = a2c.train_split(algorithm, KEY, UPDATES)
    return algorithm, on_one_device(request.param[0]), split


def test_what_has_rows_for_environments_is_split_and_the_rest_is_everywhere(pair):
    *_, split = pair
    for name, field in split.state._asdict().items():
        for leaf in jax.tree.leaves(field):
            assert len(leaf.sharding.device_set) == jax.local_device_count() == 2
            if name in ("actors", "episodes"):
                assert leaf.addressable_shards[0].data.shape[0] == 6
            else:
                assert leaf.is_fully_replicated
    assert all(leaf.is_fully_replicated for leaf in split.metrics)


def test_the_numbers_are_those_of_one_device(pair):
    algorithm, (start, whole), split = pair
    init, _ = sharding.split_programs(algorithm, UPDATES, sharding.mesh_of())
    assert_identical(init(KEY), start)
    # The same noise and the same actions: to the bit.
    for name in ("actors", "episodes", "key", "update"):
        assert_identical(getattr(split.state, name), getattr(whole.state, name))
    for name in ("episode_return_sum", "episode_length_sum", "episode_count", "steps"):
        assert_identical(getattr(split.metrics, name), getattr(whole.metrics, name))
    for ours, theirs in zip(
        jax.tree.leaves((split.state.params, split.state.opt_state, split.metrics)),
        jax.tree.leaves((whole.state.params, whole.state.opt_state, whole.metrics)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


# Not a3c, whose workers are no axis of the rows that split_network spreads over devices: whole
# rollouts pass between them.
@pytest.mark.parametrize("pair", PAIRS[:2], indirect=True)
def test_only_sums_of_gradients_and_scalars_pass_between_devices(pair):
    text = compiled_text(pair[0])
    passed = PASSED.findall(text)
    assert passed
    assert {kind for _, kind in passed} == {"all-reduce"}
    for shapes, _ in passed:
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes):
            assert len(shape) == 0 or np.prod([int(n) for n in shape.split(",")]) <= 8 * 8
    # No device has the rows of all environments at any time, noise included.
    assert "[7,6" in text
    assert "[7,12" not in text


def test_one_batch_axis_without_split_network_gathers_rollouts(cartpole):
    """Why there is split_network; and that the test above would see it."""
    kinds = PASSED.findall(compiled_text(make(a2c.actor_critic, cartpole, False)))
    assert "all-gather" in {kind for _, kind in kinds}


FOUR = """
import jax, numpy as np, a2c_jax as a2c
import sys; sys.path[:0] = [{tests!r}]
from comparing import assert_identical
from test_sharding import CLOSE, make
assert jax.local_device_count() == 4
env = a2c.make_env("CartPole-v1")
keys = jax.random.split(jax.random.key(0), 5)
algorithm = make(a2c.actor_critic, env, False)
one, four = (
    a2c.train_seeds(algorithm, keys, 4, devices=jax.devices()[:number]) for number in (1, 4)
)
assert_identical(one, four)
split = a2c.train_split(make(a2c.actor_critic, env, True), keys[0], 4)
assert split.state.actors.obs.addressable_shards[3].data.shape == (3, 4)
first = jax.tree.map(lambda leaf: leaf[0], one)
assert_identical(split.state.actors.obs, first.state.actors.obs)
np.testing.assert_allclose(split.metrics.value_loss, first.metrics.value_loss, **CLOSE)
"""


def test_four_devices_give_what_one_gives():
    code = FOUR.format(tests=os.path.dirname(__file__))
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def test_what_cannot_be_split_is_refused(cartpole, small_algorithm):
    key = jax.random.key(0)
    network = a2c.mlp_actor_critic(cartpole, (8,))
    odd = a2c.actor_critic(cartpole, network, optax.sgd(0.1), num_envs=3, num_steps=2)
    with pytest.raises(ValueError, match="num_envs is 3, which 2 devices cannot split evenly"):
        a2c.train_split(odd, key, 2)
    with pytest.raises(ValueError, match=r"algorithm has .* without environments that continue"):
        a2c.train_split(a2c.article(cartpole, network, optax.sgd(0.1)), key, 2)
    with pytest.raises(ValueError, match="num_updates is 0"):
        a2c.train_split(small_algorithm, key, 0)
    with pytest.raises(ValueError, match="devices is empty"):
        a2c.train_split(small_algorithm, key, 2, devices=[])
