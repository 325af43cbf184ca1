import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax.metrics import count_episodes, open_episodes


def transitions(rewards, terminated, truncated):
    return a2c.Transition(
        None, None, jnp.asarray(rewards), jnp.asarray(terminated), jnp.asarray(truncated), None
    )


@pytest.mark.parametrize("ending", [0.0, 0.1, 0.6])
def test_episodes_are_counted_as_a_loop_would(ending):
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(4, 6, 3)).astype(np.float32)  # four rollouts, T = 6, N = 3
    terminated, truncated = rng.random((2, 4, 6, 3)) < ending
    episodes, running = open_episodes(3), np.zeros((2, 3))
    for rollout in range(4):
        episodes, got = count_episodes(
            episodes, transitions(rewards[rollout], terminated[rollout], truncated[rollout])
        )
        want = np.zeros(3)
        for t in range(6):
            running += [rewards[rollout, t], np.ones(3)]
            ended = terminated[rollout, t] | truncated[rollout, t]
            want += [*(running * ended).sum(axis=1), ended.sum()]
            running *= ~ended
        np.testing.assert_allclose(got[:3], want, rtol=1e-4, atol=1e-5)
        assert got.steps == 6 * 3
        np.testing.assert_allclose(episodes, running, rtol=1e-4, atol=1e-5)


def test_rows_that_are_excluded_count_as_if_they_were_absent():
    rng = np.random.default_rng(1)
    rewards = rng.normal(size=(6, 3)).astype(np.float32)
    terminated, truncated = rng.random((2, 6, 3)) < 0.3
    where = np.arange(6)[:, None] < np.array([2, 6, 4])
    under_way = open_episodes(3)._replace(returns=jnp.array([1.0, 2.0, 3.0]))
    after, got = count_episodes(
        under_way, transitions(rewards, terminated, truncated), jnp.asarray(where)
    )
    assert got.steps == 12
    sums = np.zeros(3)
    for n, rows in enumerate([2, 6, 4]):
        alone = (x[:rows, n : n + 1] for x in (rewards, terminated, truncated))
        before = type(after)(*(x[n : n + 1] for x in under_way))
        after_alone, got_alone = count_episodes(before, transitions(*alone))
        np.testing.assert_allclose([x[n] for x in after], np.ravel(after_alone), atol=1e-6)
        sums += got_alone[:3]
    assert sums[2] > 1
    np.testing.assert_allclose(got[:3], sums, rtol=1e-5)


def test_explained_variance():
    targets = jnp.array([1.0, 2.0, 3.0])
    assert a2c.explained_variance(targets + 5.0, targets) == 1.0
    assert a2c.explained_variance(jnp.full(3, 7.0), targets) == 0.0
    # values 2, 0, -2 leave residuals -1, 2, 5 with variance 6, against 2/3: 1 - 9 = -8
    np.testing.assert_allclose(
        a2c.explained_variance(jnp.array([2.0, 0.0, -2.0]), targets), -8.0, rtol=1e-5
    )
    assert a2c.explained_variance(targets, jnp.ones(3)) == 0.0


def some_metrics(counts, sums):
    empty = jnp.zeros_like(jnp.asarray(counts))
    return a2c.Metrics(jnp.asarray(sums), empty, jnp.asarray(counts), *[empty] * 6)


def test_learning_curve_pools_episodes_and_carries_the_last_mean_forward():
    algorithm = a2c.Algorithm(None, None, steps_per_update=10)
    # stretches of two updates: 3 episodes sum 9; none; 1 episode of 5 (a short last stretch)
    metrics = some_metrics([1.0, 2.0, 0.0, 0.0, 1.0], [1.0, 8.0, 0.0, 0.0, 5.0])
    steps, returns = a2c.learning_curve(metrics, algorithm, num_points=3)
    np.testing.assert_array_equal(steps, [20, 40, 50])
    np.testing.assert_array_equal(returns, [3.0, 3.0, 5.0])
    # Before the first episode there is no mean; a mean that is not a number is not replaced.
    metrics = some_metrics([[0.0, 0.0, 1.0, 0.0], [1.0] * 4], [[0, 0, 7, 0], [1, np.nan, 3, 4]])
    _, returns = a2c.learning_curve(metrics, algorithm)
    np.testing.assert_array_equal(returns, [[np.nan, np.nan, 7, 7], [1, np.nan, 3, 4]])
    # By default a point for each update, along an axis of seeds.
    metrics = some_metrics(np.ones((3, 8)), np.arange(24.0).reshape(3, 8))
    steps, returns = a2c.learning_curve(metrics, algorithm)
    assert steps.shape == (8,)
    np.testing.assert_array_equal(returns, np.arange(24.0).reshape(3, 8))
    with pytest.raises(ValueError, match="num_points is 0"):
        a2c.learning_curve(metrics, algorithm, 0)


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
