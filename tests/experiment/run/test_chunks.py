import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax.experiment.run import chunks as training
from a2c_jax.experiment.run.chunks import chunk_length, train_in_chunks
from a2c_jax.parallel import gather_groups, join_groups, seed_layout

pytestmark = pytest.mark.optimized

NUM_UPDATES = 10


@pytest.fixture(scope="module")
def whole(small_algorithm):
    """The keys of three seeds, and what a single program makes of them."""
    keys = jax.random.split(jax.random.key(0), 3)
    return keys, a2c.train_seeds(small_algorithm, keys, NUM_UPDATES)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Chunks of the same length have the same program, which is compiled once for all tests."""
    programs, compile_chunk = {}, training.compile_chunk

    def compile_once(algorithm, num_updates, *rest):
        if num_updates not in programs:
            programs[num_updates] = compile_chunk(algorithm, num_updates, *rest)
        return programs[num_updates]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(training, "compile_chunk", compile_once)
        yield


def assert_beginning(outcome, whole):
    """Fails unless these are the metrics of the first updates, and at the end the state."""
    number = outcome.num_updates
    metrics = jax.tree.map(lambda field: np.asarray(field)[:, :number], whole.metrics)
    assert_identical(outcome.metrics, metrics)
    if number == NUM_UPDATES:
        assert_identical(join_groups(outcome.state, seed_layout(3)), whole.state)


@pytest.mark.parametrize(
    ("num_updates", "chunk_updates", "stop", "expected"),
    [
        (NUM_UPDATES, 2, 10, [0, 2, 4, 6, 8, 10]),
        (5, 2, 10, [0, 2, 5]),  # a single update is never left over
        (5, 100, 10, [0, 5]),
        (NUM_UPDATES, 2, 4, [0, 2, 4]),  # stops after the chunk in which it is told to
    ],
)
def test_chunks_are_the_whole_bit_for_bit(
    small_algorithm, whole, num_updates, chunk_updates, stop, expected
):
    keys, undivided = whole
    seen = []
    outcome = train_in_chunks(
        small_algorithm, keys, num_updates, seed_layout(3), chunk_updates=chunk_updates,
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
        should_stop=lambda: seen[-1] >= stop,
    )  # fmt: skip
    assert seen == expected
    assert outcome.num_updates == expected[-1]
    assert_beginning(outcome, undivided)


def test_states_take_the_place_of_those_before_and_are_read_without_a_copy(small_algorithm, whole):
    # Otherwise the states of many seeds would be in memory two or three times.
    layout, seen = seed_layout(3), []
    outcome = train_in_chunks(
        small_algorithm, whole[0], 4, layout, chunk_updates=2, on_chunk=seen.append
    )
    replaced = [leaf.is_deleted() for before in seen[:-1] for leaf in jax.tree.leaves(before.state)]
    assert np.mean(replaced) > 0.9  # XLA may keep some small arrays
    gather_groups(outcome.state, layout)
    arrays = [leaf for leaf in jax.tree.leaves(outcome.state) if leaf.dtype == np.float32]
    assert arrays
    assert all(len(leaf.addressable_shards) == 2 and leaf._npy_value is None for leaf in arrays)


@pytest.mark.parametrize("num_seeds", [1, 16, 10**4, 10**9])
def test_chunks_divide_the_run_where_they_can(small_algorithm, num_seeds):
    layout = seed_layout(3)._replace(num_seeds=num_seeds)
    for num_updates in [*range(2, 200), 7500, 12_500, 99_991]:
        assert 2 <= chunk_length(num_updates, small_algorithm, layout, 1000) <= num_updates
    assert 7500 % chunk_length(7500, small_algorithm, layout, 1000) == 0
    assert chunk_length(1, small_algorithm, layout, 1000) == 1


def test_a_chunk_that_takes_too_long_is_followed_by_shorter_ones(
    small_algorithm, whole, monkeypatch
):
    keys, undivided = whole
    seen = []
    monkeypatch.setattr(training, "_LONG", 0.0)
    monkeypatch.setattr(training, "_COMPILES", 0.0)
    monkeypatch.setattr(training, "_GOOD", 1e-9)
    monkeypatch.setitem(training._STEPS_A_SECOND, "cpu", 150)  # chunks of 5 updates of 20 steps
    outcome = train_in_chunks(
        small_algorithm, keys, NUM_UPDATES, seed_layout(3),
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
    )  # fmt: skip
    assert seen == [0, 5, 7, 10]
    assert_beginning(outcome, undivided)
