"""Equality of trees, bit for bit, keys included."""

import jax
import numpy as np


def leaves(tree):
    """The arrays of a tree as NumPy arrays, keys as their data."""

    def to_numpy(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return [to_numpy(leaf) for leaf in jax.tree.leaves(tree)]


def assert_identical(left, right):
    """Fails unless both trees hold the same numbers, bit for bit."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)
