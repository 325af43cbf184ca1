"""Training in chunks: what a single program computes, wherever the chunks end."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from comparing import assert_same_bits

import a2c_jax as a2c
from a2c_jax.experiment.run import chunks as training
from a2c_jax.experiment.run.chunks import chunk_length, train_in_chunks
from a2c_jax.parallel import gather_groups, join_groups, seed_layout

NUM_UPDATES = 10


def job_of(algorithm, num_updates, keys=None, num_seeds=3):
    layout = seed_layout(3)._replace(num_seeds=num_seeds)
    return SimpleNamespace(algorithm=algorithm, keys=keys, num_updates=num_updates, layout=layout)


@pytest.fixture(scope="module")
def train(small_algorithm):
    """Trains three seeds in chunks of two updates, and returns the outcomes after each."""
    keys = jax.random.split(jax.random.key(0), 3)
    whole = a2c.train_seeds(small_algorithm, keys, NUM_UPDATES)
    programs, compile_chunk = {}, training.compile_chunk

    def compile_once(algorithm, num_updates, *rest):
        if num_updates not in programs:
            programs[num_updates] = compile_chunk(algorithm, num_updates, *rest)
        return programs[num_updates]

    def train(num_updates):
        seen = []
        last = train_in_chunks(job_of(small_algorithm, num_updates, keys), on_chunk=seen.append)
        metrics = jax.tree.map(lambda field: field[:, :num_updates], whole.metrics)
        assert_same_bits(last.metrics, metrics)
        if num_updates == NUM_UPDATES:
            assert_same_bits(join_groups(last.state, seed_layout(3)), whole.state)
        return seen

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(training, "compile_chunk", compile_once)
        monkeypatch.setattr(training, "chunk_length", lambda *_: 2)
        monkeypatch.setattr(training, "_LONG", float("inf"))
        yield train


@pytest.mark.bits
def test_chunks_are_the_whole_bit_for_bit(train):
    assert [outcome.num_updates for outcome in train(NUM_UPDATES)] == [0, 2, 4, 6, 8, 10]
    assert [outcome.num_updates for outcome in train(5)] == [0, 2, 5], "one update was left over"


@pytest.mark.bits
def test_a_chunk_that_takes_too_long_is_followed_by_shorter_ones(train, monkeypatch):
    monkeypatch.setattr(training, "chunk_length", chunk_length)
    monkeypatch.setattr(training, "_LONG", 0.0)
    monkeypatch.setattr(training, "_COMPILES", 0.0)
    monkeypatch.setattr(training, "_GOOD", 1e-9)
    monkeypatch.setitem(training._STEPS_A_SECOND, "cpu", 150)  # chunks of 5 updates of 20 steps
    assert [outcome.num_updates for outcome in train(NUM_UPDATES)] == [0, 5, 7, 10]


@pytest.mark.bits
def test_states_take_the_place_of_those_before_and_are_read_without_a_copy(train):
    # Otherwise the states of many seeds would be in memory two or three times.
    *earlier, last = train(4)
    replaced = [leaf.is_deleted() for before in earlier for leaf in jax.tree.leaves(before.state)]
    assert np.mean(replaced) > 0.9  # XLA may keep some small arrays
    gather_groups(last.state, seed_layout(3))
    arrays = [leaf for leaf in jax.tree.leaves(last.state) if leaf.dtype == np.float32]
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
