"""The memory of a run, estimated before it is begun."""

import math

import jax
import pytest

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.run import memory
from a2c_jax.experiment.run.chunks import compile_chunk
from a2c_jax.experiment.run.job import make_job
from a2c_jax.parallel import abstract_group, over_seeds, split_groups
from a2c_jax.types import Metrics


def job_of(num_seeds, **changes):
    return make_job(experiment.configure(num_seeds=num_seeds, hidden_sizes=(8,), **changes))


def first_states(job):
    init = over_seeds(job.algorithm.init, job.layout)
    return [init(group) for group in split_groups(job.keys, job.layout)]


def test_the_estimate_is_of_the_arrays_that_there_are():
    job = job_of(16, total_steps=4000)
    groups = first_states(job)
    leaves = jax.tree.leaves([group.tree for group in groups])
    state = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    metrics = 16 * 100 * len(Metrics._fields) * 4
    need = memory.estimate_memory(job)
    assert need.on_devices == 2 * state
    assert need.on_host == 2 * state + 4 * metrics


def test_a_run_that_does_not_fit_is_refused_with_a_number_that_does(monkeypatch):
    need = memory.estimate_memory(job_of(1000))
    total = need.on_devices + need.on_host
    monkeypatch.setattr(memory, "free_on_host", lambda: total)
    with pytest.raises(ValueError, match="num_seeds is 1000: together they take about") as error:
        memory.check_memory(job_of(1000))
    fitting = int(str(error.value).split("at most ")[1].split()[0])
    assert 800 < fitting < 900
    memory.check_memory(job_of(fitting // 16 * 16))
    with pytest.raises(ValueError, match="num_seeds is 500 at each of 2 settings"):
        memory.check_memory(job_of(1000), num_settings=2)
    monkeypatch.setattr(memory, "free_on_host", lambda: total // 2000)
    with pytest.raises(ValueError, match="are free; give smaller hidden_sizes, num_envs or total"):
        memory.check_memory(job_of(1000))


def test_devices_of_their_own_memory_are_asked_for_it(monkeypatch):
    job = job_of(1000)
    monkeypatch.setattr(type(job.layout), "on_cpu", False)
    need = memory.estimate_memory(job)
    monkeypatch.setattr(memory, "free_on_device", lambda layout: need.on_devices)
    with pytest.raises(ValueError, match="num_seeds is 1000"):
        memory.check_memory(job)
    monkeypatch.setattr(memory, "free_on_device", lambda layout: None)  # unknown
    memory.check_memory(job)


def test_a_run_beyond_all_memory_is_refused_before_anything_is_written(tmp_path, capsys):
    flags = ["--num-seeds", "2000", "--hidden-sizes", "9000", "9000"]
    flags += ["--out", str(tmp_path / "run")]
    assert cli.main(["train", *flags]) == 2
    assert "GiB are free; give at most" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_too_large_is_refused_before_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "free_on_host", lambda: 10_000_000)
    flags = ["--num-seeds", "2", "--num-envs", "2000", "--num-steps", "20", "--hidden-sizes", "8"]
    flags += ["--total-steps", "80000", "--out", str(tmp_path / "run")]
    assert cli.main(["train", *flags]) == 2
    error = capsys.readouterr().err
    assert "The compiled program takes" in error
    assert "give a smaller num_envs, num_steps or hidden_sizes" in error
    assert not list(tmp_path.iterdir()), "nothing is left of it"


def test_the_bytes_of_a_program_come_from_its_analysis():
    job = job_of(4)
    seed = jax.eval_shape(job.algorithm.init, job.keys[0])
    group = abstract_group(seed, job.layout)
    program = compile_chunk(job.algorithm, 2, job.layout, group)
    whole = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(group))
    assert memory.program_bytes(program) > 2 * whole / 2  # in and out, on each of two devices
    states = first_states(job)
    assert int(program(states[0]).number.sum()) == 4, "it takes what training has"
