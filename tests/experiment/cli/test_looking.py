"""Looking at a run on disk: evaluate, plot, replay."""

import contextlib
import json

import jax
import numpy as np
import pytest
from rich.console import Console

import a2c_jax as a2c
from a2c_jax import experiment, presets
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.run.prepare import prepare
from a2c_jax.experiment.run.train import carry_out

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


def test_an_evaluation_is_that_of_the_core(runs):
    run, _ = runs
    evaluated = experiment.evaluate_run(run, num_episodes=7)
    assert evaluated.returns.shape == evaluated.lengths.shape == (3, 7)
    np.testing.assert_array_equal(evaluated.returns, evaluated.lengths)  # a reward of 1 a step
    again = experiment.evaluate_run(run.folder, num_episodes=7)
    np.testing.assert_array_equal(again.returns, evaluated.returns)
    other = experiment.evaluate_run(run, num_episodes=7, seed=1)
    assert not np.array_equal(other.returns, evaluated.returns)
    # The mean over many episodes does not depend on the keys: compare with other ones.
    state = jax.tree.map(lambda leaf: leaf[1], run.state.agent)
    stats = a2c.evaluate(run.job.env, run.job.agent, state, jax.random.key(9), 500)
    ours = experiment.evaluate_run(run, num_episodes=500).returns[1]
    error = np.sqrt((ours.var() + np.var(stats.returns)) / 500)
    assert abs(ours.mean() - np.mean(stats.returns)) < 4 * error + 1e-6


def test_sampled_actions_are_others_than_greedy_ones(runs):
    sampled = experiment.evaluate_run(runs[0], 50, greedy=False)
    greedy = experiment.evaluate_run(runs[0], 50)
    assert sampled.returns.mean() != greedy.returns.mean()


def test_the_evaluate_command_writes_what_it_tells(runs, capsys):
    run, _ = runs
    assert cli.main(["evaluate", str(run.folder), "--num-episodes", "5", "--sampled"]) == 0
    text = capsys.readouterr().out
    figures = json.loads((run.folder / "evaluation.json").read_text())
    assert figures["greedy"] is False
    assert f"{figures['return_iqm']:.1f}" in text
    with np.load(run.folder / "evaluation.npz") as arrays:
        assert arrays["returns"].shape == (3, 5)
        np.testing.assert_allclose(
            figures["mean_returns"], arrays["returns"].mean(axis=1), rtol=1e-6
        )
        assert figures["highest_return"] == arrays["returns"].max()


def test_evaluations_on_the_way_leave_training_as_it_is(runs, tmp_path):
    run, _ = runs
    config = experiment.configure(
        **SMALL, out=tmp_path / "run", evaluate_every=50, evaluate_episodes=4
    )
    watched = experiment.train_run(config)
    np.testing.assert_array_equal(watched.metrics.value_loss, run.metrics.value_loss)
    assert watched.evaluations.updates.tolist() == [50, 100, 150, 200]
    assert watched.evaluations.returns.shape == (3, 4)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    told = [line["evaluation_return"] for line in lines]
    np.testing.assert_allclose(told, watched.evaluations.returns.mean(axis=0), rtol=1e-6)


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
    stopped = iter([0, 0, 0, 15, 15, 15])
    config = experiment.configure(**{**SMALL, "total_steps": 10**8}, out=tmp_path / "run")
    with contextlib.ExitStack() as stack:
        run = carry_out(prepare(config, stack), Console(quiet=True), lambda: next(stopped))
    assert run.signal == 15
    assert run.summary["finished"] is False
    assert cli.main(["plot", str(run.folder)]) == 0


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
            "seeds holds 7, which the run did not train; it has 0, 1, 2.",
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


def test_runs_in_different_units_are_not_drawn_over_each_other(runs, tmp_path, capsys):
    config = experiment.configure(
        "article", num_episodes=4, hidden_sizes=(8,), out=tmp_path / "article"
    )
    experiment.train_run(config)
    assert cli.main(["plot", str(runs[0].folder), str(tmp_path / "article")]) == 2
    assert "counted in different units" in capsys.readouterr().err
    assert cli.main(["plot", str(tmp_path / "article")]) == 0
    assert cli.main(["replay", str(tmp_path / "article"), "--num-episodes", "1"]) == 0


def test_what_cannot_be_written_exits_1(runs, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for command in ("evaluate", "plot", "replay"):
        room = "replay" if command == "replay" else "run"
        monkeypatch.setattr(f"a2c_jax.experiment.{room}.{command}.write_together", full)
        assert cli.main([command, str(runs[0].folder)]) == 1
        assert (
            "could not be written: [Errno 28] No space left on device." in capsys.readouterr().err
        )
