import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax.experiment.run import chunks as training
from a2c_jax.experiment.run.chunks import chunk_length, train_in_chunks
from a2c_jax.parallel import join_groups, seed_layout

NUM_UPDATES = 10


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), 3)


@pytest.mark.parametrize("chunk_updates", [2, 4, 5, 100])
def test_chunks_are_the_whole_bit_for_bit(small_algorithm, keys, chunk_updates):
    whole = a2c.train_seeds(small_algorithm, keys, NUM_UPDATES)
    outcome = train_in_chunks(
        small_algorithm, keys, NUM_UPDATES, seed_layout(len(keys)), chunk_updates=chunk_updates
    )
    assert outcome.num_updates == NUM_UPDATES
    assert_identical(outcome.metrics, jax.tree.map(np.asarray, whole.metrics))
    assert_identical(join_groups(outcome.state, seed_layout(len(keys))), whole.state)


def test_it_stops_after_the_chunk_in_which_it_is_told_to(small_algorithm, keys):
    seen = []
    outcome = train_in_chunks(
        small_algorithm, keys, NUM_UPDATES, seed_layout(len(keys)), chunk_updates=2,
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
        should_stop=lambda: len(seen) > 2,
    )  # fmt: skip
    assert seen == [0, 2, 4]
    assert outcome.num_updates == 4
    whole = a2c.train_seeds(small_algorithm, keys, NUM_UPDATES)
    np.testing.assert_array_equal(outcome.metrics.value_loss, whole.metrics.value_loss[:, :4])


@pytest.mark.parametrize("num_seeds", [1, 16, 10**4, 10**9])
def test_chunks_divide_the_run_where_they_can(small_algorithm, keys, num_seeds):
    layout = seed_layout(len(keys))._replace(num_seeds=num_seeds)
    for num_updates in [*range(2, 200), 7500, 12_500, 99_991]:
        assert 2 <= chunk_length(num_updates, small_algorithm, layout, 1000) <= num_updates
    assert 7500 % chunk_length(7500, small_algorithm, layout, 1000) == 0
    assert chunk_length(1, small_algorithm, layout, 1000) == 1


def test_a_single_update_is_never_left_over(small_algorithm, keys):
    seen = []
    train_in_chunks(
        small_algorithm, keys, 5, seed_layout(len(keys)), chunk_updates=2,
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
    )  # fmt: skip
    assert seen == [0, 2, 5]


def test_a_chunk_that_takes_too_long_is_followed_by_shorter_ones(
    small_algorithm, keys, monkeypatch
):
    seen = []
    monkeypatch.setattr(training, "_LONG", 0.0)
    monkeypatch.setattr(training, "_COMPILES", 0.0)
    monkeypatch.setattr(training, "_GOOD", 1e-9)
    monkeypatch.setitem(training._STEPS_A_SECOND, "cpu", 150)  # chunks of 5 updates of 20 steps
    outcome = train_in_chunks(
        small_algorithm, keys, NUM_UPDATES, seed_layout(len(keys)),
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
    )  # fmt: skip
    assert seen == [0, 5, 7, 10]
    whole = a2c.train_seeds(small_algorithm, keys, NUM_UPDATES)
    assert_identical(outcome.metrics, jax.tree.map(np.asarray, whole.metrics))
