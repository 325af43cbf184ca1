"""The memory of a run, estimated before it is begun."""

import math
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from a2c_jax import experiment
from a2c_jax.experiment.run import job as jobs
from a2c_jax.parallel import abstract_group, over_seeds, seed_layout, split_groups
from a2c_jax.types import Metrics


def job_of(num_seeds, **changes):
    return jobs.make_job(experiment.configure(num_seeds=num_seeds, hidden_sizes=(8,), **changes))


def set_free(monkeypatch, number):
    memory = SimpleNamespace(available=number)
    monkeypatch.setattr(jobs.psutil, "virtual_memory", lambda: memory)


def test_the_estimate_is_of_the_arrays_that_there_are(monkeypatch):
    job = job_of(16, total_steps=4000)
    groups = split_groups(job.keys, job.layout)
    states = [jax.eval_shape(over_seeds(job.algorithm.init, job.layout), group) for group in groups]
    leaves = jax.tree.leaves([state.tree for state in states])
    state = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    metrics = 16 * 100 * len(Metrics._fields) * 4
    assert jobs.estimate_memory(job) == (5 * state + 2 * metrics, 0)
    monkeypatch.setattr(type(job.layout), "on_cpu", False)
    assert jobs.estimate_memory(job) == (3 * state + 2 * metrics, 2 * state)


def test_a_run_that_does_not_fit_is_refused_with_a_number_that_does(monkeypatch):
    job = job_of(1000)
    total = sum(jobs.estimate_memory(job))
    set_free(monkeypatch, total)
    with pytest.raises(ValueError, match="num_seeds is 1000: together they take about") as error:
        jobs.check_memory(job)
    fitting = int(str(error.value).split("at most ")[1].split()[0])
    assert 800 < fitting < 900
    jobs.check_memory(job_of(fitting // 16 * 16))
    with pytest.raises(ValueError, match="num_seeds is 500 at each of 2 settings"):
        jobs.check_memory(job, num_settings=2)
    set_free(monkeypatch, total // 2000)
    with pytest.raises(ValueError, match="are free; give smaller hidden_sizes, num_envs or total"):
        jobs.check_memory(job)


def test_devices_of_their_own_memory_are_asked_for_it(monkeypatch):
    job = job_of(1000)
    monkeypatch.setattr(type(job.layout), "on_cpu", False)
    _, need = jobs.estimate_memory(job)
    monkeypatch.setattr(jobs, "free_on_device", lambda layout: need)
    with pytest.raises(ValueError, match="num_seeds is 1000"):
        jobs.check_memory(job)
    monkeypatch.setattr(jobs, "free_on_device", lambda layout: None)  # unknown
    jobs.check_memory(job)


def test_what_does_not_fit_is_refused_and_nothing_is_left_of_it(tmp_path, monkeypatch, refused):
    out = ("--out", tmp_path / "run")
    error = refused("train", "--num-seeds", 2000, "--hidden-sizes", 9000, 9000, *out)
    assert "GiB are free; give at most" in error
    monkeypatch.setattr(jobs, "program_bytes", lambda program: 2**60)
    error = refused("train", "--num-seeds", 2, "--hidden-sizes", 4, "--total-steps", 800, *out)
    assert "The compiled program takes" in error
    assert not list(tmp_path.iterdir())


def test_the_bytes_of_a_program_are_what_goes_in_and_comes_out_on_each_device(monkeypatch):
    layout = seed_layout(4)
    group = abstract_group(jax.ShapeDtypeStruct((1000,), np.float32), layout)
    program = over_seeds(lambda row: 2 * row, layout).lower(group).compile()
    in_and_out = 2 * layout.batch_size * 1000 * 4
    need = jobs.program_bytes(program)
    assert in_and_out <= need < 1.1 * in_and_out
    set_free(monkeypatch, 2.4 * need)  # two devices, and a margin
    jobs.check_program(program, layout)
    set_free(monkeypatch, 2.2 * need)
    with pytest.raises(experiment.BadInput, match="num_envs, num_steps or hidden_sizes, or a sm"):
        jobs.check_program(program, layout)
