"""Equality of trees and of runs, keys included."""

import jax
import numpy as np

import a2c_jax as a2c
from a2c_jax.experiment import Run, load_run


def leaves(tree):
    """The arrays of a tree as NumPy arrays, keys as their data."""

    def to_numpy(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return [to_numpy(leaf) for leaf in jax.tree.leaves(tree)]


def some_metrics(counts, sums):
    """Metrics ``[S, U]`` of episodes alone."""
    zeros = np.zeros_like(counts)
    return a2c.Metrics(sums, zeros, counts, *[zeros] * 6)


def assert_identical(left, right):
    """Fails unless both trees hold the same numbers, bit for bit."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_bits(left, right):
    """Fails unless two programs computed the same: bit for bit if compiled as users compile them.

    The fast tier's quick compilation rounds differently in different programs.
    """
    if not jax.config.read("jax_disable_most_optimizations"):
        return assert_identical(left, right)
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def assert_same_run(ours, theirs):
    """Fails unless two runs hold the same results; either may be the folder of one."""
    ours, theirs = (run if isinstance(run, Run) else load_run(run) for run in (ours, theirs))
    assert_identical(ours.state, theirs.state)
    assert_identical(ours.metrics, theirs.metrics)
    assert_identical(ours.evaluations, theirs.evaluations)
    assert ours.summary["final_returns"] == theirs.summary["final_returns"]
