"""Runs of different seeds, joined: the run that one process makes of all seeds, bit for bit."""

import contextlib
import json
import shutil

import pytest
from comparing import assert_identical, assert_same_run
from rich.console import Console

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.config.settings import replace
from a2c_jax.experiment.run.prepare import prepare
from a2c_jax.experiment.run.train import carry_out

# The program of test_resume.py, in chunks of the same length, so that it is compiled once.
SETTINGS = {
    "hidden_sizes": (8,), "total_steps": 1600, "evaluate_every": 20, "evaluate_episodes": 2,
    "learning_rate": 1e-3, "final_learning_rate": 1e-3,
}  # fmt: skip


def configure(out, **changes):
    return experiment.configure(**SETTINGS, **changes, out=out)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Seeds 0 to 4 in one run, and in two of three and two seeds; the first of these is resumed."""
    folder = tmp_path_factory.mktemp("runs")
    log = folder / "first" / "log.jsonl"
    with contextlib.ExitStack() as stack:
        prepared = prepare(configure(log.parent, num_seeds=3), stack)
        # As if SIGTERM came during the first chunk.
        stopped = carry_out(prepared, Console(quiet=True), lambda: 15 * bool(log.read_bytes()))
    assert (stopped.signal, stopped.summary["finished"]) == (15, False)
    assert stopped.summary["num_updates"] == 20
    whole = experiment.train_run(configure(folder / "whole", num_seeds=5))
    second = experiment.train_run(configure(folder / "second", seeds=(3, 4)))
    return whole, experiment.resume_run(log.parent), second


def test_joined_runs_are_one_run_bit_for_bit_and_resume(runs, tmp_path, capsys):
    whole, first, second = runs
    out = tmp_path / "joined"
    assert cli.main(["join", str(first.folder), str(second.folder), "--out", str(out)]) == 0
    assert f"Files: {out}" in capsys.readouterr().out
    assert_same_run(out, whole.folder)
    names = {path.name for path in whole.folder.iterdir()}
    assert {path.name for path in out.iterdir()} == names
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {line["run"] for line in log} == {"first", "second"}
    expected = tmp_path / "whole"
    shutil.copytree(whole.folder, expected)
    for folder in (out, expected):
        assert cli.main(["train", "--resume", str(folder), "--total-steps", "2400"]) == 0
    assert_same_run(out, expected)


def test_what_is_joined_is_returned_with_logs_as_far_as_they_go(runs, tmp_path):
    whole, first, second = runs
    other = tmp_path / "other"
    shutil.copytree(second.folder, other)
    with (other / "log.jsonl").open("ab") as file:
        file.write(b'{"update": 90}\n5\n[1]\n\xff{"upd')
    joined = experiment.join_runs([other, first.folder], tmp_path / "joined")
    assert joined.job == whole.job._replace(
        env=joined.job.env, agent=joined.job.agent, algorithm=joined.job.algorithm,
        keys=joined.job.keys,
    )  # fmt: skip
    assert_identical(joined.metrics, whole.metrics)
    about = json.loads((joined.folder / "config.json").read_text())["about"]
    assert [part["seeds"] for part in about["joined"]] == [[0, 1, 2], [3, 4]]
    assert about["device"] == about["joined"][1]["device"]
    assert "resumed" not in about
    lines = [json.loads(line) for line in (joined.folder / "log.jsonl").read_text().splitlines()]
    assert max(line["update"] for line in lines) == 40


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": (2, 7)}, "seeds holds 2 more than once"),
        ({"discount": 0.5}, "where discount is 0.5, and"),
        ({"num_updates": 30}, "where num_updates is 30, and"),
        ({"alone": True}, "runs holds 1 folders; give at least two runs to join."),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    runs, changes, sentence, tmp_path, monkeypatch, capsys
):
    _, first, second = runs
    if "seeds" in changes:
        second = second._replace(job=second.job._replace(seeds=changes["seeds"]))
    if "discount" in changes:
        config = second.config.with_settings(replace(second.config.settings, **changes))
        second = second._replace(config=config)
    if "num_updates" in changes:
        second = second._replace(summary=second.summary | changes)
    loaded = {first.folder: first, second.folder: second}
    monkeypatch.setattr("a2c_jax.experiment.run.join.load_run", lambda one, env: loaded[one])
    words = [str(run.folder) for run in ([first] if "alone" in changes else [first, second])]
    assert cli.main(["join", *words, "--out", str(tmp_path / "joined")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "joined").exists()


def test_runs_of_other_lengths_or_batches_are_refused(runs, tmp_path, capsys):
    _, first, second = runs
    for change in ({"lengths": [20, 40]}, {"seeds_in_a_call": 4}):
        other = tmp_path / "other"
        shutil.copytree(second.folder, other, dirs_exist_ok=True)
        content = json.loads((second.folder / "config.json").read_text())
        content["about"] |= change
        (other / "config.json").write_text(json.dumps(content))
        words = ["join", str(first.folder), str(other), "--out", str(tmp_path / "joined")]
        assert cli.main(words) == 2
        assert f"where {next(iter(change))} is" in capsys.readouterr().err


def test_what_cannot_be_written_leaves_nothing_and_what_is_there_stays(
    runs, tmp_path, monkeypatch, capsys
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("a2c_jax.experiment.run.join.write_results", full)
    words = [str(run.folder) for run in runs[1:]]
    assert cli.main(["join", *words, "--out", str(tmp_path / "joined")]) == 1
    assert "the joined run could not be written" in capsys.readouterr().err
    assert not (tmp_path / "joined").exists()
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.main(["join", *words, "--out", str(tmp_path)]) == 2
    assert "which is not empty; " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
