"""Runs of different seeds, joined: the run that one process makes of all seeds, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from comparing import assert_identical, assert_same_run

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.config.settings import replace

SETTINGS = {
    "hidden_sizes": (8,), "total_steps": 2000, "max_episode_steps": 40, "evaluate_every": 20,
    "evaluate_episodes": 2, "learning_rate": 1e-3, "final_learning_rate": 1e-3,
}  # fmt: skip
LONGEST = 300.0  # seconds that any of these processes may take


def train(out, **changes):
    return experiment.train_run(experiment.configure(**{**SETTINGS, **changes}, out=out))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Seeds 0 to 4 in one run, and in two of three and two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    whole = train(folder / "whole", num_seeds=5)
    return whole, train(folder / "first", num_seeds=3), train(folder / "second", seeds=(3, 4))


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
        assert cli.main(["train", "--resume", str(folder), "--total-steps", "3200"]) == 0
    assert_same_run(out, expected)


def test_what_is_joined_is_returned(runs, tmp_path):
    whole, first, second = runs
    joined = experiment.join_runs([second.folder, first.folder], tmp_path / "joined")
    assert joined.job == whole.job._replace(
        env=joined.job.env, agent=joined.job.agent, algorithm=joined.job.algorithm,
        keys=joined.job.keys,
    )  # fmt: skip
    assert_identical(joined.metrics, whole.metrics)
    about = json.loads((joined.folder / "config.json").read_text())["about"]
    assert [part["seeds"] for part in about["joined"]] == [[0, 1, 2], [3, 4]]
    assert about["device"] == about["joined"][1]["device"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": (2, 7)}, "seeds holds 2 more than once"),
        ({"discount": 0.5}, "where discount is 0.5, and"),
        ({"num_updates": 40}, "where num_updates is 40, and"),
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
    monkeypatch.setattr("a2c_jax.experiment.run.join.load_run", loaded.__getitem__)
    words = [str(run.folder) for run in ([first] if "alone" in changes else [first, second])]
    assert cli.main(["join", *words, "--out", str(tmp_path / "joined")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "joined").exists()


def test_runs_of_other_lengths_or_batches_are_refused(runs, tmp_path, capsys):
    _, first, second = runs
    for change in ({"lengths": [20, 50]}, {"seeds_in_a_call": 4}):
        other = tmp_path / "other"
        shutil.copytree(second.folder, other, dirs_exist_ok=True)
        content = json.loads((second.folder / "config.json").read_text())
        content["about"] |= change
        (other / "config.json").write_text(json.dumps(content))
        words = ["join", str(first.folder), str(other), "--out", str(tmp_path / "joined")]
        assert cli.main(words) == 2
        assert f"where {next(iter(change))} is" in capsys.readouterr().err


def test_a_log_that_was_cut_short_is_joined_as_far_as_it_goes(runs, tmp_path):
    _, first, second = runs
    other = tmp_path / "other"
    shutil.copytree(second.folder, other)
    with (other / "log.jsonl").open("ab") as file:
        file.write(b'{"update": 90}\n5\n[1]\n\xff{"upd')
    joined = experiment.join_runs([first.folder, other], tmp_path / "joined")
    lines = [json.loads(line) for line in (joined.folder / "log.jsonl").read_text().splitlines()]
    assert max(line["update"] for line in lines) == 50


def test_a_folder_that_holds_something_is_refused(runs, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    words = [str(run.folder) for run in runs[1:]]
    assert cli.main(["join", *words, "--out", str(tmp_path)]) == 2
    assert "which is not empty; " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_disk_that_gives_out_leaves_nothing(runs, tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("a2c_jax.experiment.run.join.write_results", full)
    words = [str(run.folder) for run in runs[1:]]
    assert cli.main(["join", *words, "--out", str(tmp_path / "joined")]) == 1
    assert "the joined run could not be written" in capsys.readouterr().err
    assert not (tmp_path / "joined").exists()


@pytest.mark.slow
def test_a_killed_process_costs_its_own_share_alone(tmp_path):
    """Two processes train a run's seeds; one is killed, resumed, and joined with the other."""
    long = {**SETTINGS, "total_steps": 24_000}
    whole = train(tmp_path / "whole", num_seeds=4, total_steps=24_000)
    flags = ["--checkpoint-every", "1"]
    for name, value in long.items():
        words = value if isinstance(value, tuple) else (value,)
        flags += ["--" + name.replace("_", "-"), *map(str, words)]
    command = [sys.executable, "-m", "a2c_jax", "train", "--num-seeds", "2", *flags]
    folders = [tmp_path / name for name in ("first", "second")]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    processes = [
        subprocess.Popen(
            [*command, "--seed", seed, "--out", str(folder)],
            stdout=subprocess.DEVNULL, env=environment,
        )
        for seed, folder in zip("02", folders, strict=True)
    ]  # fmt: skip
    end = time.monotonic() + LONGEST
    while not list((folders[1] / "checkpoints").glob("[0-9]*")):
        assert processes[1].poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    processes[1].kill()
    assert processes[1].wait(LONGEST) == -signal.SIGKILL
    assert processes[0].wait(LONGEST) == 0
    assert experiment.resume_run(folders[1]).summary["finished"]
    joined = experiment.join_runs(folders, tmp_path / "joined")
    assert_same_run(joined.folder, whole.folder)
