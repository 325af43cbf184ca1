import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax import parallel

UPDATES = 8


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), 6)


def test_the_tests_have_two_devices():
    assert jax.local_device_count() == 2


def row(result, index):
    return jax.tree.map(lambda leaf: leaf[index], result)


def test_a_seed_is_train_itself_bit_for_bit(small_algorithm, keys):
    result = a2c.train_seeds(small_algorithm, keys, UPDATES)
    alone = jax.jit(lambda key: a2c.train(small_algorithm, key, UPDATES))
    for seed in range(6):
        assert_identical(row(result, seed), alone(keys[seed]))


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_seed_does_not_depend_on_the_others_bit_for_bit(small_algorithm, keys, batch_size):
    def train(keys):
        return a2c.train_seeds(small_algorithm, keys, UPDATES, batch_size=batch_size)

    everyone = train(keys)
    backwards = train(keys[::-1])
    some = train(keys[2:5])
    for seed in range(6):
        assert_identical(row(everyone, seed), row(backwards, 5 - seed))
    for seed in range(2, 5):
        assert_identical(row(everyone, seed), row(some, seed - 2))
    assert_identical(row(everyone, 4), row(train(keys[4:5]), 0))


def test_one_device_gives_what_two_give(small_algorithm, keys):
    one = a2c.train_seeds(small_algorithm, keys, UPDATES, devices=jax.devices()[:1])
    assert_identical(one, a2c.train_seeds(small_algorithm, keys, UPDATES))


def test_batches_are_vmapped_where_the_device_is_no_cpu(small_algorithm, keys, monkeypatch):
    monkeypatch.setattr(parallel.SeedLayout, "on_cpu", False)
    vmapped = a2c.train_seeds(small_algorithm, keys, UPDATES + 1, batch_size=2)
    monkeypatch.undo()
    mapped = a2c.train_seeds(small_algorithm, keys, UPDATES + 1)
    np.testing.assert_allclose(
        vmapped.metrics.value_loss, mapped.metrics.value_loss, rtol=1e-3, atol=1e-6
    )


def test_seeds_differ(small_algorithm, keys):
    losses = np.asarray(a2c.train_seeds(small_algorithm, keys, UPDATES).metrics.value_loss)
    assert len(np.unique(losses, axis=0)) == 6


def test_old_style_keys_are_taken_too(small_algorithm, keys):
    raw = jax.random.key_data(keys)
    np.testing.assert_array_equal(
        a2c.train_seeds(small_algorithm, raw, UPDATES).metrics.value_loss,
        a2c.train_seeds(small_algorithm, keys, UPDATES).metrics.value_loss,
    )


def test_orthogonal_networks_train_in_batches_on_two_devices(cartpole, keys):
    """A batch of factorisations over two CPU devices never ended with jaxlib 0.10.2."""
    algorithm = a2c.presets.build(a2c.presets.general, cartpole)
    result = a2c.train_seeds(algorithm, keys, 2, batch_size=3)
    assert np.isfinite(result.metrics.value_loss).all()


def test_bad_arguments_are_named(small_algorithm, keys):
    def train(keys, num_updates=UPDATES, **options):
        a2c.train_seeds(small_algorithm, keys, num_updates, **options)

    with pytest.raises(ValueError, match="keys holds 3 keys of which only 2 differ"):
        train(keys[np.array([0, 1, 0])])
    with pytest.raises(ValueError, match=r"keys has shape \(\)"):
        train(keys[0])
    with pytest.raises(ValueError, match=r"keys has shape \(0,\)"):
        train(keys[:0])
    with pytest.raises(ValueError, match="num_updates is 0"):
        train(keys, 0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        train(keys, batch_size=0)
    with pytest.raises(ValueError, match="devices is empty"):
        train(keys, devices=[])


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
