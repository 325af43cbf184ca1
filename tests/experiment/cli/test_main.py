"""The command line, with real files and real signals."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from a2c_jax import presets
from a2c_jax.experiment import files
from a2c_jax.experiment.cli import commands, flags as parsing, main as cli
from a2c_jax.experiment.cli.commands import COMMANDS
from a2c_jax.experiment.cli.configs import EvaluateConfig, JoinConfig, PlotConfig, ReplayConfig
from a2c_jax.experiment.config.config import SUITED
from a2c_jax.experiment.run import train as run_training
from a2c_jax.experiment.run.folder import Run
from a2c_jax.experiment.run.prepare import prepare
from a2c_jax.methods import METHODS

COMMAND = [sys.executable, "-m", "a2c_jax"]
SMALL = [
    "train", "--num-seeds", "3", "--total-steps", "2000", "--hidden-sizes", "8",
]  # fmt: skip
FILES = {
    "config.json", "metrics.npy", "summary.json", "learning_curve.png", "log.jsonl", "checkpoints",
    ".lock",
}  # fmt: skip


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    assert cli.main([*SMALL, "--out", str(folder)]) == 0
    return folder


def test_a_run_folder_holds_what_it_promises(run):
    assert {path.name for path in run.iterdir()} == FILES
    config = read(run, "config.json")
    assert config["about"]["seeds"] == [0, 1, 2]
    assert config["settings"]["learning_rate"] == presets.default.learning_rate
    assert config["settings"]["total_steps"] == 2000
    assert config["about"]["versions"].keys() >= {"a2c_jax", "jax", "jaxlib", "gymnax", "python"}
    assert config["about"]["device"]["platform"] == "cpu"
    assert (config["batch_size"], config["about"]["seeds_in_a_call"]) == (None, 8)
    assert config["settings"]["optimizer"]["name"] == "rmsprop"
    metrics = np.load(run / "metrics.npy")
    assert metrics.shape == (50, 3)
    assert (metrics["steps"] == 40).all()
    assert np.isfinite(metrics["value_loss"]).all()
    summary = read(run, "summary.json")
    assert summary["finished"] is True
    assert summary["num_seeds"] == 3
    assert summary["fraction_solved"] == 0.0
    assert summary["median_steps_to_solve"] is None
    assert (run / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_folder_is_refused_and_left_alone(run, capsys):
    before = contents(run)
    assert cli.main([*SMALL, "--out", str(run)]) == 2
    assert f"is not empty; {str(run) + '-2'!r} is free." in capsys.readouterr().err
    assert before == contents(run)


def test_the_folder_one_is_in_is_refused_with_a_free_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for command in (["train"], ["sweep", "--over", "discount=0.9,0.99"]):
        assert cli.main([*command, "--num-seeds", "1", "--out", "."]) == 2
        assert f"{str(tmp_path) + '-2'!r} is free." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a[b]c", "a[", "[bold]x", "x[/b]"])
def test_a_name_with_brackets_is_printed_unchanged(run, name, monkeypatch, capsys):
    other = Run(Path(name), None, None, None, None, None, read(run, "summary.json"))
    monkeypatch.setattr(commands, "train_run", lambda *args, **kwargs: other)
    assert cli.main(["train"]) == 0
    assert f"Files: {name}\n" in capsys.readouterr().out


def test_a_folder_that_another_run_has_claimed_is_refused(tmp_path, capsys):
    with files.open_folder(tmp_path / "run", False, "a name"):
        assert cli.main([*SMALL, "--out", str(tmp_path / "run")]) == 2
    assert "in which another process is writing; wait" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "nothing was written, so it is gone"


def test_two_runs_started_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        files.open_folder(None, False, "name") as first,
        files.open_folder(None, False, "name") as second,
    ):
        assert first != second
        assert first.name.startswith("name-")


def test_an_error_in_training_is_not_mistaken_for_bad_input(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr(run_training, "train_in_chunks", broken)
    with pytest.raises(ValueError, match="a bug"):
        cli.main([*SMALL, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--env", "CartPol-v1"], "the nearest names are: CartPole-v1"),
        (
            ["--env", "Pendulum-v1", "--algorithm", "q-actor-critic"],
            "Pendulum-v1 has the action space Box",
        ),
        (
            ["--preset", "defualt"],
            "There is no preset 'defualt'; did you mean default? choose one of: default, general",
        ),
        (
            ["--algorithm", "gea"],
            "There is no algorithm 'gea'; did you mean gae? choose one of: reinforce, rein",
        ),
        (["--preset", "article", "--algorithm", "gae"], "preset 'article' is an algorithm of its"),
        (["--num-steps", "0"], "num_steps is 0"),
        (["--seeds"], "seeds is empty"),
        (["--num-envs", "1", "--num-steps", "1"], "a single advantage"),
        (["--out", "x" * 300], "cannot be written to (File name too long)"),
        (["--learning-rate", "0"], "learning_rate is 0.0"),
        (["--out", "/dev/null"], "which is a file or inside one"),
        (["--out", "/proc/nowhere/run"], "cannot be written to"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(flags, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *flags]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "something was written"


def test_unknown_flags_and_commands_exit_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--no-such-flag"])
    assert exit_.value.code == 2
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--gae-lambda", "0.9"])
    assert exit_.value.code == 2
    assert "--gae-lambda" in capsys.readouterr().err, "a flag of another method is unknown, too"
    assert cli.main(["trian"]) == 2
    assert "no command 'trian'" in capsys.readouterr().err


def test_help(capsys):
    assert cli.main([]) == 0
    assert "train" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--preset", "article", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "0.0003" in text, "the preset's own rate is shown as the default"
    assert "--detached-critic" in text
    assert "--num-steps" not in text, "the article's loop has no rollouts"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_the_environments(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert parsing.EXAMPLES[command] in text
    assert ("MountainCarContinuous-v0" in text) == (command in ("train", "sweep", "compare"))


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_understood(command):
    words = parsing.EXAMPLES[command].split()
    assert words[:2] == ["a2c-jax", command]
    kinds = {
        "join": JoinConfig, "evaluate": EvaluateConfig, "plot": PlotConfig, "replay": ReplayConfig,
    }  # fmt: skip
    if command in kinds:
        parsing.parse(kinds[command], command, words[2:])
    else:
        getattr(parsing, f"parse_{command}")(words[2:])


@pytest.mark.parametrize("command", ["train", "compare"])
def test_the_parts_of_a_method_are_no_flags(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert "--uses" not in capsys.readouterr().out


@pytest.mark.parametrize("name", METHODS)
def test_an_algorithm_brings_what_suits_it_and_flags_come_before_that(name):
    settings = parsing.parse_train(["--algorithm", name]).settings
    assert settings.method == METHODS[name]
    for setting, value in SUITED.get(name, {}).items():
        assert getattr(settings, setting) == value
    flags = ["--algorithm", name, "--num-steps", "7", "--learning-rate", "1e-5"]
    changed = parsing.parse_train(flags).settings
    assert (changed.num_steps, changed.learning_rate) == (7, 1e-5)
    assert changed.num_envs == settings.num_envs


@pytest.mark.parametrize(("name", "steps_per_update"), [("q-actor-critic", 128), ("a3c", 160)])
def test_an_algorithm_runs_from_end_to_end(name, steps_per_update, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*SMALL, "--algorithm", name]) == 0
    (folder,) = (tmp_path / "runs").glob(f"CartPole-v1-{name}-*")
    assert {path.name for path in folder.iterdir()} == FILES
    assert read(folder, "config.json")["settings"]["method"] == name
    metrics = np.load(folder / "metrics.npy")
    assert (metrics["steps"] == steps_per_update).all()
    assert metrics["episode_count"].sum() > 0
    assert np.isfinite(metrics["policy_loss"]).all()
    assert read(folder, "summary.json")["steps_per_seed"] == len(metrics) * steps_per_update
    assert 2000 - steps_per_update < len(metrics) * steps_per_update <= 2000


def test_a_total_that_does_not_divide_is_said(tmp_path):
    flags = ["--num-seeds", "1", "--total-steps", "1001", "--out", str(tmp_path / "run")]
    with contextlib.ExitStack() as stack:
        (notice,) = prepare(parsing.parse_train(flags), stack).job.notices
    assert "1,000 steps (25 updates) are run" in notice


def test_ctrl_c_before_the_first_chunk_leaves_nothing(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    flags = ["--num-seeds", "2", "--total-steps", "400000000", "--hidden-sizes", "8"]
    with log.open("wb") as out:
        command = [*COMMAND, "train", *flags, "--out", str(folder)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    end = time.monotonic() + 120
    while not folder.exists():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
    assert b"Traceback" not in log.read_bytes()
    assert b"nothing was written" in log.read_bytes()
    assert not folder.exists()
