from types import SimpleNamespace

import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax.experiment.run import chunks as training
from a2c_jax.experiment.run.chunks import chunk_length, train_in_chunks
from a2c_jax.parallel import gather_groups, join_groups, seed_layout

pytestmark = pytest.mark.slow("bits")

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


def job_of(algorithm, num_updates, keys=None, num_seeds=3):
    layout = seed_layout(3)._replace(num_seeds=num_seeds)
    return SimpleNamespace(algorithm=algorithm, keys=keys, num_updates=num_updates, layout=layout)


@pytest.mark.parametrize(
    ("num_updates", "length", "stop", "expected"),
    [
        (NUM_UPDATES, 2, 10, [0, 2, 4, 6, 8, 10]),
        (5, 2, 10, [0, 2, 5]),  # a single update is never left over
        (5, 100, 10, [0, 5]),
        (NUM_UPDATES, 2, 4, [0, 2, 4]),  # stops after the chunk in which it is told to
    ],
)
def test_chunks_are_the_whole_bit_for_bit(
    small_algorithm, whole, num_updates, length, stop, expected, monkeypatch
):
    keys, undivided = whole
    seen = []
    monkeypatch.setattr(training, "chunk_length", lambda *_: length)
    monkeypatch.setattr(training, "_LONG", float("inf"))
    outcome = train_in_chunks(
        job_of(small_algorithm, num_updates, keys),
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
        should_stop=lambda: seen[-1] >= stop,
    )  # fmt: skip
    assert seen == expected
    assert outcome.num_updates == expected[-1]
    assert_beginning(outcome, undivided)


def test_states_take_the_place_of_those_before_and_are_read_without_a_copy(
    small_algorithm, whole, monkeypatch
):
    # Otherwise the states of many seeds would be in memory two or three times.
    seen = []
    monkeypatch.setattr(training, "chunk_length", lambda *_: 2)
    monkeypatch.setattr(training, "_LONG", float("inf"))
    outcome = train_in_chunks(job_of(small_algorithm, 4, whole[0]), on_chunk=seen.append)
    replaced = [leaf.is_deleted() for before in seen[:-1] for leaf in jax.tree.leaves(before.state)]
    assert np.mean(replaced) > 0.9  # XLA may keep some small arrays
    gather_groups(outcome.state, seed_layout(3))
    arrays = [leaf for leaf in jax.tree.leaves(outcome.state) if leaf.dtype == np.float32]
    assert arrays
    assert all(len(leaf.addressable_shards) == 2 and leaf._npy_value is None for leaf in arrays)


@pytest.mark.parametrize("num_seeds", [1, 16, 10**4, 10**9])
def test_chunks_divide_the_run_where_they_can(small_algorithm, num_seeds):
    def length(num_updates):
        return chunk_length(job_of(small_algorithm, num_updates, num_seeds=num_seeds), 1000)

    for num_updates in [*range(2, 200), 7500, 12_500, 99_991]:
        assert 2 <= length(num_updates) <= num_updates
    assert 7500 % length(7500) == 0
    assert length(1) == 1


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
        job_of(small_algorithm, NUM_UPDATES, keys),
        on_chunk=lambda outcome: seen.append(outcome.num_updates),
    )  # fmt: skip
    assert seen == [0, 5, 7, 10]
    assert_beginning(outcome, undivided)
