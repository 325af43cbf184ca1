"""The command line: flags, help, refusals and the folder of a run."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from a2c_jax.experiment import files
from a2c_jax.experiment.cli import flags as parsing, main as cli
from a2c_jax.experiment.cli.commands import COMMANDS
from a2c_jax.experiment.run import train as run_training
from a2c_jax.experiment.run.train import prepare
from a2c_jax.presets import METHODS, OVERRIDES

FILES = {
    "config.json", "metrics", "evaluations.npz", "summary.json", "learning_curve.png",
    "log.jsonl", "checkpoints", ".lock",
}  # fmt: skip


def test_a_run_folder_holds_what_it_promises(tiny_run):
    folder = tiny_run.folder
    assert {path.name for path in folder.iterdir()} == FILES
    config, summary = (
        json.loads((folder / f"{n}.json").read_text()) for n in ("config", "summary")
    )
    about, settings = config["about"], config["settings"]
    assert about["versions"].keys() >= {"a2c_jax", "jax", "jaxlib", "gymnax", "python"}
    assert (about["seeds"], about["device"]["platform"]) == ([0, 1], "cpu")
    assert (config["batch_size"], about["seeds_in_a_call"]) == (None, 8)
    assert (settings["total_steps"], settings["optimizer"]) == (800, "rmsprop")
    with np.load(folder / "metrics" / "20.npz") as metrics:
        np.testing.assert_array_equal(metrics["steps"], np.full((2, 20), 40))
    assert (summary["finished"], summary["num_seeds"], summary["steps_per_seed"]) == (True, 2, 800)
    assert (summary["fraction_solved"], summary["median_steps_to_solve"]) == (0.0, None)
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [["train"], ["sweep", "--over", "discount=0.9,0.99"]])
def test_a_full_folder_is_left_alone_and_answered_with_a_free_one(
    command, tiny_copy, tmp_path, monkeypatch, refused
):
    monkeypatch.chdir(tmp_path)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for out, full in ((tiny_copy, tiny_copy), (".", tmp_path)):
        error = refused(*command, "--out", out)
        assert f"is not empty; {str(full) + '-2'!r} is free." in error
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert before == after


def test_a_folder_that_another_run_has_claimed_is_refused(tmp_path, refused):
    with files.open_folder(tmp_path / "run", False, "a name"):
        error = refused("train", "--out", tmp_path / "run")
    assert "in which another process is writing; wait" in error
    assert not (tmp_path / "run").exists(), "nothing was written, so it is gone"


def test_two_runs_started_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        first = prepare(parsing.parse_train(["--algorithm", "a3c"]), stack).folder
        second = stack.enter_context(files.open_folder(None, False, "CartPole-v1-a3c"))
        assert first != second
        assert first.name.startswith("CartPole-v1-a3c-")


def test_an_error_in_training_is_not_mistaken_for_bad_input(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr(run_training, "train_in_chunks", broken)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["train", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "There is no command 'trian'; choose from: train, join"),
        ("train --preset defualt", "There is no preset 'defualt'; did you mean default? choose"),
        ("train --env CartPol-v1", "the nearest names are: CartPole-v1"),
        (f"train --out {'x' * 300}", "cannot be written to (File name too long)"),
        ("train --out /dev/null", "which is a file or inside one"),
        ("train --out /proc/nowhere/run", "cannot be written to"),
        ("evaluate RUN --num-episodes 0", "num_episodes is 0; give"),
        ("evaluate RUN --seed -1", "seed is -1; give a whole number from 0"),
        ("evaluate nowhere", "run is 'nowhere', which holds no run"),
        ("plot", "runs is empty"),
        ("plot RUN RUN", "more than once; give every run once"),
        ("replay RUN --seeds 7", "seeds is 7, which the run did not train; it has 0, 1."),
        ("replay RUN --seeds 1 1", "seeds is (1, 1); name every seed once."),
        ("replay RUN --seeds", "seeds is empty"),
        ("replay RUN --num-episodes -1", "num_episodes is -1"),
        ("sweep", "over is empty"),
        ("sweep --draws 3", "over is empty"),
        ("sweep --draws 0 --over discount=0.9:1", "draws is 0; give"),
        ("sweep --draws 4 --over discount=0.9:0.99:3", "a range for draws has no number"),
        ("sweep --over discount", "over is 'discount'; give values like discount=0.9,0.99"),
        ("sweep --over discount=0.9,", "over is 'discount=0.9,'; give"),
        ("sweep --over discount=0.9:0.99", "(the number is missing)"),
        ("sweep --over discount=0.9:0.8:3", "the first end must be below the second"),
        ("sweep --over discount=0:1:3:log", "a logarithmic range must begin above 0"),
        ("sweep --over discount=0.9 discount=0.8", "over names discount more than once"),
        ("sweep --over discount=0.9,0.9", "give at least one value, each once"),
        ("sweep --over num_envs=4,8", "over has num_envs=4.0, with which a run has another"),
        ("sweep --over optimizer=adam,adm", "There is no optimizer 'adm'; did you mean adam? "),
        ("sweep --over discount=adam", "over names discount, which is a number; give it finite"),
        (
            "train --gae-lambda 0.9",
            "--gae-lambda is given, but algorithm a2c with network mlp a",
        ),
        (
            "train --preset article --num-steps 5",
            "but algorithm article with network mlp and ad",
        ),
        ("train --network gru --conv-size 2", "--conv-size is given, but algorithm a2c with netwo"),
        ("sweep --over gae_lambda=0.9,1", "There is no setting 'gae_lambda'; "),
        ("sweep --over discount=0.9,1.1", "discount is 1.1; give a number of at most 1.0"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, tiny_run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tiny_run.folder
    assert sentence in refused(*(run if word == "RUN" else word for word in words.split()))
    assert not list(tmp_path.iterdir()), "something was written"


@pytest.mark.parametrize(
    "flags", ["--no-such-flag", "--optimizer adm", "--total-steps 1000.5", "--total-steps inf"]
)
def test_flags_of_no_or_another_method_and_values_of_another_type_exit_2(flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", *flags.split()])
    assert flags.split()[0] in capsys.readouterr().err


def test_help_lists_the_commands_and_shows_the_defaults_of_the_preset(capsys):
    assert cli.main([]) == 0
    usage = capsys.readouterr().out
    assert all(f"\n  {name} " in usage for name in COMMANDS)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--preset", "article", "--help"])
    text = capsys.readouterr().out
    assert "0.0003" in text, "the preset's own rate is shown as the default"
    assert "--detached-critic" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_environments_and_an_example_that_is_understood(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text, example = capsys.readouterr().out, parsing.EXAMPLES[command]
    assert example in text
    assert ("MountainCarContinuous-v0" in text) == (command in ("train", "sweep", "compare"))
    assert "--custom" not in text, "no flag makes a function"
    program, name, *words = example.split()
    assert (program, name) == ("a2c-jax", command)
    if hasattr(parsing, f"parse_{command}"):
        getattr(parsing, f"parse_{command}")(words)
    else:
        parsing.parse(getattr(parsing, f"{command.title()}Config"), command, words)


@pytest.mark.parametrize("name", METHODS)
def test_an_algorithm_brings_what_suits_it_and_flags_come_before_that(name):
    settings = parsing.parse_train(["--algorithm", name]).settings
    expected = {"method": name, **OVERRIDES.get(name, {})}
    assert settings == dataclasses.replace(settings, **expected)
    changed = parsing.parse_train(["--algorithm", name, "--num-steps", "7"]).settings
    assert changed == dataclasses.replace(settings, num_steps=7)
