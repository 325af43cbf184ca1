"""Runs of different seeds, joined: the run that one process makes of all seeds, bit for bit."""

import contextlib
import dataclasses
import json
import os

import jax
import numpy as np
import pytest
from comparing import assert_identical, assert_same_run
from rich.console import Console

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.run.train import WriteError, execute, prepare
from a2c_jax.parallel import seed_layout


def stopped(config, out):
    """A run, as if SIGTERM came during its first chunk."""
    log = out / "log.jsonl"
    with contextlib.ExitStack() as stack:
        prepared = prepare(dataclasses.replace(config, out=out), stack)
        return execute(
            prepared, Console(quiet=True), lambda: 15 * ('"update": 10,' in log.read_text())
        )


def test_stopped_runs_that_are_joined_go_on_as_one_run_bit_for_bit(tiny_run, tmp_path, capsys):
    # A seed of the tiny run is in each of two runs, and in the joined run's rows 0 and 2.
    for name, seeds in (("first", (0, 5)), ("second", (1, 7))):
        run = stopped(dataclasses.replace(tiny_run.config, seeds=seeds), tmp_path / name)
        assert (run.signal, run.summary["finished"], run.summary["num_updates"]) == (15, False, 10)
    out = tmp_path / "joined"
    words = [str(tmp_path / "second"), str(tmp_path / "first"), "--out", str(out)]
    assert cli.main(["join", *words]) == 0
    assert f"Files: {out}" in capsys.readouterr().out
    joined = experiment.resume_run(out)
    assert_same_run(joined, out)
    assert joined.job.seeds == (0, 5, 1, 7)
    assert joined.evaluations.updates.tolist() == [10, 20]
    ours, theirs = ((run.state, run.metrics, run.evaluations[1:]) for run in (joined, tiny_run))
    assert_identical(jax.tree.map(lambda leaf: leaf[::2], ours), theirs)
    assert sorted(os.listdir(out)) == sorted(os.listdir(tiny_run.folder))


@pytest.fixture
def other(tiny_run, tiny_copy):
    """The tiny run, as if it had trained other seeds."""
    metrics = jax.tree.map(lambda field: field[::-1], tiny_run.metrics)
    job = tiny_run.job._replace(seeds=(7, 3))
    return tiny_run._replace(folder=tiny_copy, job=job, metrics=metrics)


@pytest.fixture
def join(tmp_path, monkeypatch):
    """Joins runs as if they had been loaded."""

    def join(*runs):
        loaded = {run.folder: run for run in runs}
        monkeypatch.setattr("a2c_jax.experiment.run.join.load_run", lambda one, env: loaded[one])
        return experiment.join_runs([*loaded], tmp_path / "joined")

    return join


def edited(run, **about):
    path = run.folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "about": content["about"] | about}))
    return run


def test_what_is_joined_is_returned_with_logs_as_far_as_they_go(tiny_run, other, join):
    edited(other, device={"kind": "another"}, resumed=[{"num_updates": 10}])
    with (other.folder / "log.jsonl").open("ab") as file:
        file.write(b'{"update": 90}\n5\n[1]\n\xff{"upd')
    joined = join(other, tiny_run)
    assert (joined.job.seeds, joined.job.layout) == ((0, 1, 7, 3), seed_layout(4))
    for name, field in tiny_run.metrics._asdict().items():
        np.testing.assert_array_equal(getattr(joined.metrics, name), [*field, *field[::-1]])
    assert_same_run(joined.folder, joined)
    about = json.loads((joined.folder / "config.json").read_text())["about"]
    assert [part["seeds"] for part in about["joined"]] == [[0, 1], [7, 3]]
    assert about["device"] == about["joined"][0]["device"] != about["joined"][1]["device"]
    assert "resumed" not in about
    log = [json.loads(line) for line in (joined.folder / "log.jsonl").read_text().splitlines()]
    assert [line["run"] for line in log] == ["run"] * 20 + ["tiny copy"] * 20
    assert max(line["update"] for line in log) == 20


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (lambda run: run._replace(job=run.job._replace(seeds=(2, 1))), "seeds holds 1 more than"),
        (
            lambda run: run._replace(config=dataclasses.replace(run.config, evaluate_episodes=3)),
            "where evaluate_episodes is 3, and",
        ),
        (lambda run: run._replace(summary={"num_updates": 30}), "where num_updates is 30, and"),
        (lambda run: edited(run, lengths=[20, 40]), r"where lengths is \[20, 40\], and"),
        (lambda run: edited(run, seeds_in_a_call=4), "where seeds_in_a_call is 4, and"),
    ],
)
def test_runs_that_differ_are_refused(tiny_run, other, join, tmp_path, changed, sentence):
    with pytest.raises(experiment.BadInput, match=sentence):
        join(tiny_run, changed(other))
    with pytest.raises(experiment.BadInput, match="runs holds 1 folders; give at least two runs"):
        join(tiny_run)
    assert not (tmp_path / "joined").exists()


def test_a_failed_write_leaves_what_was_there(tiny_run, other, join, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("a2c_jax.experiment.run.join.write_results", full)
    out = tmp_path / "joined"
    with pytest.raises(WriteError, match="the joined run could not be written"):
        join(tiny_run, other)
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(experiment.BadInput, match="which is not empty; "):
        join(tiny_run, other)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
