import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax.metrics import count_episodes, open_episodes


@pytest.mark.parametrize("included", [None, 0.7])
@pytest.mark.parametrize("ending", [0.1, 0.6])
def test_episodes_are_counted_as_a_loop_would(ending, included):
    """Rows that are excluded count as if they were absent."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(4, 6, 3)).astype(np.float32)  # four rollouts, T = 6, N = 3
    terminated, truncated = rng.random((2, 4, 6, 3)) < ending
    where = rng.random((4, 6, 3)) < (included or 1.0)
    episodes, running = open_episodes(3), np.zeros((2, 3))
    for rollout in range(4):
        rows = (jnp.asarray(x[rollout]) for x in (rewards, terminated, truncated))
        rows = a2c.Transition(None, None, *rows, None)
        mask = jnp.asarray(where[rollout]) if included else None
        episodes, got = count_episodes(episodes, rows, mask)
        want = np.zeros(3)
        for t in range(6):
            counts = where[rollout, t]
            running += counts * [rewards[rollout, t], np.ones(3)]
            ended = (terminated[rollout, t] | truncated[rollout, t]) & counts
            want += [*(running * ended).sum(axis=1), ended.sum()]
            running *= ~ended
        np.testing.assert_allclose(got, [*want, where[rollout].sum()], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(episodes, running, rtol=1e-4, atol=1e-5)


def test_learning_curve_pools_episodes_and_carries_the_last_mean_forward():
    # Stretches of two updates: 3 episodes sum 9; none; 1 episode of 5 (a short last stretch).
    # Before the first episode there is no mean; a mean that is not a number is not replaced.
    counts = jnp.array([[1.0, 2.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0, 0.0]])
    sums = jnp.array([[1.0, 8.0, 0.0, 0.0, 5.0], [0.0, 0.0, np.nan, 3.0, 0.0]])
    unused = dict.fromkeys(a2c.Metrics._fields)
    metrics = a2c.Metrics(**unused | {"episode_count": counts, "episode_return_sum": sums})
    algorithm = a2c.Algorithm(None, None, steps_per_update=10)
    steps, returns = a2c.learning_curve(metrics, algorithm, num_points=3)
    np.testing.assert_array_equal(steps, [20, 40, 50])
    np.testing.assert_array_equal(returns, [[3.0, 3.0, 5.0], [np.nan] * 3])
    steps, returns = a2c.learning_curve(metrics, algorithm)  # a point for each update
    np.testing.assert_array_equal(steps, [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(returns, [[1, 4, 4, 4, 5], [np.nan, np.nan, np.nan, 3, 3]])


@pytest.mark.parametrize("array", [np.array, jnp.array])
def test_seeds_with_a_number_that_is_not_finite_are_told(array):
    tree = {
        "kernel": array([[[1.0], [2.0]], [[np.nan], [0.0]], [[0.0], [0.0]], [[1.0], [1.0]]]),
        "count": array([1, 2, 3, 4]),
        "loss": array([0.0, 0.0, -np.inf, 1e38]),
    }
    assert a2c.finite_seeds(tree).tolist() == [True, False, False, True]
    if array is jnp.array:
        assert jax.jit(a2c.finite_seeds)(tree).tolist() == [True, False, False, True]
