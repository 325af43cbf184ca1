import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_identical, assert_same_bits

import a2c_jax as a2c
from a2c_jax import parallel

UPDATES = 5


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), 6)


@pytest.fixture(scope="module")
def trained(small_algorithm, keys):
    """All seeds, on two devices, in batches of 8 with padding."""
    assert jax.local_device_count() == 2
    return a2c.train_seeds(small_algorithm, keys, UPDATES)


def rows(result, index):
    return jax.tree.map(lambda leaf: leaf[index], result)


@pytest.mark.bits
def test_a_seed_is_train_itself(small_algorithm, keys, trained):
    alone = jax.jit(lambda key: a2c.train(small_algorithm, key, UPDATES))
    for seed in range(6):
        assert_same_bits(rows(trained, seed), alone(keys[seed]))
    losses = np.asarray(trained.metrics.value_loss)
    assert len(np.unique(losses, axis=0)) == 6, "seeds differ"


more = pytest.mark.slow("compiles more programs")


@pytest.mark.bits
@pytest.mark.parametrize("batch_size", [None, *(pytest.param(n, marks=more) for n in (1, 2))])
def test_a_seed_does_not_depend_on_the_others(small_algorithm, keys, trained, batch_size):
    def train(keys, **options):
        return a2c.train_seeds(small_algorithm, keys, UPDATES, batch_size=batch_size, **options)

    everyone = trained if batch_size is None else train(keys)
    assert_identical(everyone, rows(train(keys[::-1]), slice(None, None, -1)))
    assert_identical(rows(everyone, slice(2, 5)), train(keys[2:5]))
    if batch_size != 2:  # a single seed has a single device, and so a program of its own
        assert_same_bits(rows(everyone, slice(4, 5)), train(keys[4:5]))
        assert_same_bits(everyone, train(keys, devices=jax.devices()[:1]))


def test_every_seed_has_one_row_and_devices_have_equal_shares():
    layout = parallel.SeedLayout(num_seeds=21, batch_size=2, devices=tuple("abcd"))
    assert layout.rows.shape == (3, 4, 2)
    assert sorted(layout.rows[layout.rows >= 0]) == list(range(21))
    shares = (layout.rows >= 0).sum(axis=2)
    np.testing.assert_array_equal(shares, [[2, 2, 2, 2], [2, 2, 2, 2], [2, 1, 1, 1]])


def test_batches_are_vmapped_where_the_device_is_no_cpu(
    small_algorithm, keys, trained, monkeypatch
):
    """A batch of orthogonal kernels over two CPU devices never ended with jaxlib 0.10.2."""
    monkeypatch.setattr(parallel.SeedLayout, "on_cpu", False)
    # Fewer updates, so that the compiled program of a CPU is not taken.
    vmapped = a2c.train_seeds(small_algorithm, keys, 4, batch_size=2, chunk_updates=4)
    np.testing.assert_allclose(
        vmapped.metrics.value_loss, trained.metrics.value_loss[:, :4], rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("count", [0, -3, 1.5, True])
def test_fewer_than_one_update_is_refused(small_algorithm, keys, count):
    starts = {a2c.train: keys[0], a2c.run: None, a2c.train_seeds: keys}
    for function, start in starts.items():
        with pytest.raises(ValueError, match=f"num_updates is {count}"):
            function(small_algorithm, start, count)


def test_bad_arguments_are_named(small_algorithm, keys, trained):
    assert parallel.check_keys(jax.random.key_data(keys)) == 6  # an old-style key is a row
    for wrong, options, sentence in [
        (keys[np.array([0, 1, 0])], {}, "keys holds 3 keys of which only 2 differ"),
        (keys[0], {}, r"keys has shape \(\)"),
        (keys[:0], {}, r"keys has shape \(0,\)"),
        (jax.random.key_data(keys[0]), {}, r"keys has shape \(2,\)"),
        (keys, {"batch_size": 0}, "batch_size is 0"),
        (keys, {"devices": []}, "devices is empty"),
        *((keys, {"chunk_updates": n}, f"chunk_updates is {n}; give a whole") for n in (0, 2.5)),
    ]:
        with pytest.raises(ValueError, match=sentence):
            a2c.train_seeds(small_algorithm, wrong, UPDATES, **options)
    for wrong in (rows(trained.state, 0), (), (np.ones(2), np.ones(3))):
        with pytest.raises(ValueError, match="states has the leading axes"):
            a2c.run_seeds(small_algorithm, wrong, 2)
    wider = a2c.mlp_actor_critic(a2c.make_env("CartPole-v1"), (9,)).init(keys[0])
    for wrong in (wider, {"policy": wider["policy"]}):
        with pytest.raises(ValueError, match=r"params has .* but the network has"):
            a2c.train_seeds(small_algorithm, keys, 2, params=wrong)


def test_only_a_few_calls_wait_for_their_turn(monkeypatch):
    begun, done, most = [], [], []

    def program(group):
        begun.append(group)
        most.append(len(begun) - len(done))
        return group

    monkeypatch.setattr(parallel.jax, "block_until_ready", done.extend)
    assert parallel.run_groups(program, range(10)) == begun == list(range(10))
    assert done == list(range(7))
    assert max(most) == 3


@pytest.mark.bits
def test_chunks_and_continued_seeds_are_the_whole_run(small_algorithm, keys, trained):
    said = []
    chunked = a2c.train_seeds(
        small_algorithm, keys, UPDATES, chunk_updates=2,
        on_chunk=lambda done, metrics: said.append((done, metrics.entropy)),
    )  # fmt: skip
    assert_same_bits(chunked, trained)
    jax.jit(lambda result: jax.tree.map(jnp.sum, result.metrics))(chunked)  # on the same devices
    assert [done for done, _ in said] == [2, 4, 5]
    np.testing.assert_array_equal(
        np.concatenate([entropy for _, entropy in said], axis=1), chunked.metrics.entropy
    )


@pytest.mark.bits
def test_any_split_gives_the_same_bits_single_updates_included(small_algorithm, keys, trained):
    for first, *rest in ((1, 3, 1), (1, 1, 1, 2), (4, 1)):
        result = a2c.train_seeds(small_algorithm, keys, first)
        parts = [result.metrics]
        for number in rest:
            result = a2c.run_seeds(small_algorithm, result.state, number)
            parts.append(result.metrics)
        assert_same_bits(result.state, trained.state)
        metrics = jax.tree.map(lambda *each: jnp.concatenate(each, axis=1), *parts)
        assert_same_bits(metrics, trained.metrics)


@pytest.mark.bits
def test_training_starts_from_given_parameters(small_algorithm, keys, trained):
    given = rows(trained.state.agent, 0)
    init = small_algorithm.init
    state, same, other = jax.jit(
        lambda given: (init(keys[1], given), init(keys[1], given.params), init(keys[1]))
    )(given)
    assert_identical(state.agent, given)
    assert_identical(state._replace(agent=other.agent), other)
    assert_identical(same, state)
    result = a2c.train_seeds(small_algorithm, keys, 2, params=given.params, chunk_updates=2)
    alone = a2c.run_seeds(small_algorithm, jax.tree.map(lambda leaf: leaf[None], state), 2)
    assert_same_bits(rows(result, 1), rows(alone, 0))
