"""The generator written out gives the bits of JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_identical

from a2c_jax._devices.threefry import _rolled, _unrolled, fast_random

DRAWS = {
    "uniform": lambda key: jax.random.uniform(key, (5, 3)),
    "one number": jax.random.uniform,
    "gumbel": lambda key: jax.random.gumbel(key, (7, 2)),
    "normal of children": lambda key: jax.vmap(jax.random.normal)(jax.random.split(key, 9)),
    "grandchildren": lambda key: jax.vmap(jax.vmap(lambda key: jax.random.uniform(key, (4,))))(
        jax.vmap(lambda key: jax.random.split(key, 3))(jax.random.split(key, 2))
    ),
    "folded in": lambda key: jax.random.bits(jax.random.fold_in(key, 12345), (2,)),
    "integers": lambda key: jax.random.randint(key, (6,), 0, 1000),
    "permutation": lambda key: jax.random.permutation(key, 10),
    "bytes": lambda key: jax.random.bits(key, (9,), jnp.uint8),
    "half words": lambda key: jax.random.bits(key, (9,), jnp.uint16),
    "nothing": lambda key: jax.random.uniform(key, (0,)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_numbers_are_jax_s_own(draw):
    both = jax.jit(lambda key: (draw(_unrolled(key)), draw(key)))
    for seed in (0, 1, 2**31 - 1):
        assert_identical(*both(jax.random.key(seed)))


def test_a_fast_function_gives_the_same_numbers_and_ordinary_keys():
    def draw(key, count, *, scale):
        return jax.random.split(key, count), {"noise": scale * jax.random.normal(key, (count,))}

    key = jax.random.key(5)
    ours, expected = fast_random(draw)(key, 3, scale=2.0), draw(key, 3, scale=2.0)
    assert ours[0].dtype == key.dtype
    assert_identical(ours, expected)
    untouched = jnp.ones(3)
    assert _rolled({"number": untouched})["number"] is untouched


def test_other_keys_are_left_alone():
    raw, other = jax.random.PRNGKey(0), jax.random.key(0, impl="rbg")
    assert _unrolled(raw) is raw
    assert _unrolled(other) is other
    with jax.threefry_partitionable(False):
        key = jax.random.key(0)
        assert _unrolled(key) is key


def test_a_new_key_can_be_made_of_it():
    implementation = jax.random.key_impl(_unrolled(jax.random.key(0)))
    made = jax.random.key(7, impl=implementation)
    np.testing.assert_array_equal(jax.random.key_data(made), jax.random.key_data(jax.random.key(7)))
