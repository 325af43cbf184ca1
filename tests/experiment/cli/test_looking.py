"""Looking at a run on disk: evaluate, plot, replay."""

import json
import shutil

import jax
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import experiment, presets
from a2c_jax.experiment.cli import main as cli

SMALL = {
    "preset": "general", "num_seeds": 3, "hidden_sizes": (8,), "total_steps": 8000,
    "max_episode_steps": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    one = experiment.train_run(experiment.configure(**SMALL, out=folder / "one"))
    config = experiment.configure(**{**SMALL, "num_seeds": 2}, out=folder / "other" / "one")
    return one, experiment.train_run(config)


@pytest.fixture(scope="module")
def greedy(runs):
    return experiment.evaluate_run(runs[0], num_episodes=500)


def test_an_evaluation_is_that_of_the_core(runs, greedy):
    run, _ = runs
    assert greedy.returns.shape == greedy.lengths.shape == (3, 500)
    np.testing.assert_array_equal(greedy.returns, greedy.lengths)  # a reward of 1 a step
    # The mean over many episodes does not depend on the keys: compare with other ones.
    state = jax.tree.map(lambda leaf: leaf[1], run.state.agent)
    stats = a2c.evaluate(run.job.env, run.job.agent, state, jax.random.key(9), 500)
    ours = greedy.returns[1]
    error = np.sqrt((ours.var() + np.var(stats.returns)) / 500)
    assert abs(ours.mean() - np.mean(stats.returns)) < 4 * error + 1e-6


def test_the_evaluate_command_writes_what_it_tells(runs, greedy, capsys):
    run, _ = runs
    flags = ["--num-episodes", "500", "--sampled", "--seed", "1"]
    assert cli.main(["evaluate", str(run.folder), *flags]) == 0
    text = capsys.readouterr().out
    figures = json.loads((run.folder / "evaluation.json").read_text())
    assert figures["greedy"] is False
    assert f"{figures['return_iqm']:.1f}" in text
    with np.load(run.folder / "evaluation.npz") as arrays:
        returns = arrays["returns"]
    assert returns.shape == (3, 500)
    np.testing.assert_allclose(figures["mean_returns"], returns.mean(axis=1), rtol=1e-6)
    assert figures["highest_return"] == returns.max()
    same, other = (experiment.evaluate_run(run, 500, greedy=False, seed=seed) for seed in (1, 0))
    np.testing.assert_array_equal(same.returns, returns)
    assert not np.array_equal(other.returns, returns)
    assert other.returns.mean() != greedy.returns.mean()


def test_plots_of_one_run_lie_in_it_and_of_several_in_a_folder_of_their_own(runs, tmp_path, capsys):
    one, other = runs
    assert cli.main(["plot", str(one.folder)]) == 0
    drawn = {path.name for path in (one.folder / "plots").iterdir()}
    quantities = "returns lengths policy_loss value_loss entropy grad_norm explained_variance"
    assert drawn >= {f"{name}.png" for name in quantities.split()} | {"statistics.json"}
    capsys.readouterr()
    flags = ["--format", "svg", "--out", str(tmp_path / "plots")]
    assert cli.main(["plot", str(one.folder), str(other.folder), *flags]) == 0
    assert b"<svg" in (tmp_path / "plots" / "returns.svg").read_bytes()
    figures = json.loads((tmp_path / "plots" / "statistics.json").read_text())
    (first, second), (pair,) = figures["runs"], figures["probability_of_improvement"]
    assert (first.split("/")[-1], second) == ("one", "other/one")
    ours, theirs = one.summary["final_returns"], other.summary["final_returns"]
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs])
    assert pair["probability"] == pytest.approx(wins)
    assert "P(" in capsys.readouterr().out


def test_a_run_that_was_not_finished_can_be_plotted(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs[0].folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["total_steps"] = 10**8  # as if it had been stopped, or still ran
    (folder / "config.json").write_text(json.dumps(config))
    assert experiment.load_run(folder).summary["finished"] is False
    assert cli.main(["plot", str(folder)]) == 0


def test_a_replay_is_of_the_newest_policies(runs, capsys):
    run, _ = runs
    flags = ["--seeds", "2", "0", "--num-episodes", "1"]
    assert cli.main(["replay", str(run.folder), *flags]) == 0
    page = (run.folder / "replay.html").read_text()
    assert "After 8,000 steps of training; the most probable action at every step." in page
    recording = experiment.record_run(run, seeds=(2, 0), num_episodes=1)
    assert recording.seeds == (2, 0)
    params = jax.tree.map(lambda leaf: leaf[2], run.state.params)
    network = presets.make_network(run.config.settings, run.job.env)
    logits = network.policy(params, recording.observations[0, 0])
    length = recording.lengths[0, 0]
    np.testing.assert_array_equal(
        recording.actions[0, 0, :length], np.argmax(logits, axis=-1)[:length]
    )


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["evaluate", "RUN", "--num-episodes", "0"], "num_episodes is 0; give"),
        (["evaluate", "RUN", "--seed", "-1"], "seed is -1; give a whole number from 0"),
        (["evaluate", "nowhere"], "run is 'nowhere', which holds no run"),
        (["plot"], "runs is empty"),
        (["plot", "RUN", "RUN"], "more than once; give every run once"),
        (["plot", "RUN", "nowhere"], "which holds no run"),
        (
            ["replay", "RUN", "--seeds", "7"],
            "seeds is 7, which the run did not train; it has 0, 1, 2.",
        ),
        (["replay", "RUN", "--seeds"], "seeds is empty"),
        (["replay", "RUN", "--num-episodes", "-1"], "num_episodes is -1"),
        (["replay", "RUN", "--out", "/dev/null"], "which is a file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    runs, command, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = [str(runs[0].folder) if word == "RUN" else word for word in command]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_exits_1(runs, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    sizes = {"evaluate": ["--num-episodes", "500"], "plot": [], "replay": ["--num-episodes", "1"]}
    for command, flags in sizes.items():
        room = "replay" if command == "replay" else "run"
        monkeypatch.setattr(f"a2c_jax.experiment.{room}.{command}.write_together", full)
        assert cli.main([command, str(runs[0].folder), *flags]) == 1
        assert (
            "could not be written: [Errno 28] No space left on device." in capsys.readouterr().err
        )
