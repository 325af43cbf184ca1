"""Training in chunks: what a single program computes, wherever the chunks end."""

import itertools
import signal
import threading
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from comparing import assert_same_bits

import a2c_jax as a2c
from a2c_jax.experiment.run import engine
from a2c_jax.experiment.run.interrupts import deferred_interrupt
from a2c_jax.parallel import gather_groups, join_groups, seed_layout

NUM_UPDATES = 10


@pytest.fixture(scope="module")
def job(small_algorithm):
    """Three seeds of ten updates."""
    keys = jax.random.split(jax.random.key(0), 3)
    return SimpleNamespace(
        algorithm=small_algorithm, keys=keys, num_updates=NUM_UPDATES, layout=seed_layout(3)
    )


@pytest.fixture(scope="module")
def whole(job):
    return a2c.train_seeds(job.algorithm, job.keys, NUM_UPDATES)


@pytest.mark.bits
def test_chunks_are_the_whole_bit_for_bit(job, whole, monkeypatch):
    """Each is up to eight times as long as the one before, and ends at pauses."""
    for pause, ends in ((None, [0, 1, 9, 10]), (5, [0, 1, 5, 10]), (1, range(11))):
        seen = []
        last = engine.train_in_chunks(job, pause_every=pause, on_chunk=seen.append)
        assert [outcome.num_updates for outcome in seen] == [*ends]
        assert_same_bits(last.metrics, jax.tree.map(np.asarray, whole.metrics))
        assert_same_bits(join_groups(last.state, job.layout), whole.state)
    monkeypatch.setattr(engine, "_GOOD", 1e-9)
    monkeypatch.setattr(engine, "_SHORTEST_CALL", 0.0)
    seen.clear()
    engine.train_in_chunks(job, on_chunk=seen.append)
    assert [outcome.num_updates for outcome in seen] == [*range(11)], "chunks that take too long"


@pytest.mark.bits
def test_a_loaded_result_is_continued(job, whole):
    stop = iter([False, False, True])  # after two chunks, of 1 and 8 updates
    first = engine.train_in_chunks(job, should_stop=lambda: next(stop))
    assert first.num_updates == 9
    loaded = first._replace(state=gather_groups(first.state, job.layout))
    last = engine.train_in_chunks(job, earlier=loaded)
    assert_same_bits(join_groups(last.state, job.layout), whole.state)
    finished = last._replace(state=gather_groups(last.state, job.layout))
    assert engine.train_in_chunks(job, earlier=finished).num_updates == NUM_UPDATES


def test_states_take_the_place_of_those_before_and_are_read_without_a_copy(job):
    # Otherwise the states of many seeds would be in memory two or three times.
    seen = []
    engine.train_in_chunks(job, on_chunk=seen.append)
    *earlier, last = seen
    replaced = [leaf.is_deleted() for before in earlier for leaf in jax.tree.leaves(before.state)]
    assert np.mean(replaced) > 0.9  # XLA may keep some small arrays
    gather_groups(last.state, job.layout)
    arrays = [leaf for leaf in jax.tree.leaves(last.state) if leaf.dtype == np.float32]
    assert arrays
    assert all(len(leaf.addressable_shards) == 2 and leaf._npy_value is None for leaf in arrays)


@pytest.mark.parametrize("num_seeds", [1, 16, 10**4, 10**9])
def test_the_metrics_of_a_chunk_have_a_bound(num_seeds):
    for num_updates in (1, 200, 99_991):
        layout = SimpleNamespace(num_seeds=num_seeds)
        most = engine._most_updates(SimpleNamespace(num_updates=num_updates, layout=layout))
        assert 1 <= most < 2 * num_updates + 1
        assert most == 1 or 36 * most * num_seeds <= 2 * engine._ROOM


def test_a_signal_is_seen_while_a_chunk_runs_and_the_second_is_the_system_s(job, monkeypatch):
    """The main thread waits for chunks in Python, so its handlers run at once."""
    before, times = signal.getsignal(signal.SIGTERM), itertools.count()
    seen = []

    def slow(*args):
        if not next(times):
            time.sleep(0.1)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            time.sleep(0.1)
            in_main = threading.current_thread() is threading.main_thread()
            seen.append((signal.getsignal(signal.SIGINT), in_main))
        return advance(*args)

    advance = engine._advance
    monkeypatch.setattr(engine, "_advance", slow)
    with deferred_interrupt(own_process=True) as interrupted:
        engine.train_in_chunks(job, on_chunk=seen.append, should_stop=interrupted)
        assert interrupted() == signal.SIGTERM
    first, handler, second = seen
    assert (first.num_updates, second.num_updates) == (0, 1)
    assert handler == (signal.SIG_DFL, False), "it has run, although this chunk had not ended"
    assert signal.getsignal(signal.SIGTERM) is before
