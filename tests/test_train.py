import jax
import jax.numpy as jnp
import pytest
from comparing import assert_identical

import a2c_jax as a2c


@pytest.mark.parametrize("count", [2, 7])
def test_two_runs_are_one_of_twice_the_length_bit_for_bit(small_algorithm, count):
    run = jax.jit(lambda state, n: a2c.run(small_algorithm, state, n), static_argnums=1)
    start = jax.jit(small_algorithm.init)(jax.random.key(0))
    first = run(start, count)
    second = run(first.state, count)
    whole = run(start, 2 * count)
    assert_identical(second.state, whole.state)
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), first.metrics, second.metrics)
    assert_identical(joined, whole.metrics)


def test_train_is_init_then_run(small_algorithm):
    key = jax.random.key(1)
    whole = jax.jit(lambda key: a2c.train(small_algorithm, key, 6))(key)
    start = jax.jit(small_algorithm.init)(key)
    assert_identical(whole, jax.jit(lambda state: a2c.run(small_algorithm, state, 6))(start))


def test_every_update_has_noise_of_its_own(small_algorithm):
    state = small_algorithm.init(jax.random.key(0))
    step = jax.jit(small_algorithm.step)
    after, _ = step(state)
    assert after.update == state.update + 1
    other_update, _ = step(state._replace(update=after.update))
    assert not jnp.array_equal(after.actors.obs, other_update.actors.obs)


@pytest.mark.parametrize("count", [0, -3, 1.5, True])
def test_fewer_than_one_update_is_refused(small_algorithm, count):
    for function, start in [(a2c.train, jax.random.key(0)), (a2c.run, None)]:
        with pytest.raises(ValueError, match=f"num_updates is {count}"):
            function(small_algorithm, start, count)
