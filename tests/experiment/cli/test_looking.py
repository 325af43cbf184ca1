"""Looking at a run on disk: evaluate, plot, replay."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import experiment, presets
from a2c_jax.experiment.cli import commands, main as cli
from a2c_jax.experiment.run.engine import evaluation_program
from a2c_jax.experiment.run.plot import statistics_of
from a2c_jax.parallel import split_groups


@pytest.fixture(scope="module")
def greedy(tiny_run):
    return experiment.evaluate_run(tiny_run, num_episodes=200)


def test_an_evaluation_is_that_of_the_core(tiny_run, greedy):
    assert greedy.returns.shape == (2, 200)
    np.testing.assert_array_equal(greedy.returns, greedy.lengths)  # a reward of 1 a step
    # The mean over many episodes does not depend on the keys: compare with other ones.
    state, job = jax.tree.map(lambda leaf: leaf[1], tiny_run.state.agent), tiny_run.job
    core = a2c.evaluate(job.env, job.agent, state, jax.random.key(9), 200).returns
    ours, others = greedy.returns[1], greedy.returns[0]
    error = np.sqrt((ours.var() + np.var(core)) / 200)
    assert abs(ours.mean() - np.mean(core)) < 4 * error < abs(others.mean() - np.mean(core))


def test_another_default_generator_changes_nothing(tiny_run, greedy):
    with jax.default_prng_impl("rbg"):
        again = experiment.evaluate_run(tiny_run.folder, 200)
    np.testing.assert_array_equal(again.returns, greedy.returns)


def test_the_evaluate_command_writes_what_it_tells(tiny_run, greedy, tmp_path, capsys):
    flags = ["--num-episodes", "200", "--sampled", "--seed", "1", "--out", str(tmp_path)]
    assert cli.main(["evaluate", str(tiny_run.folder), *flags]) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert f"{figures['return_iqm']:.1f}" in capsys.readouterr().out
    with np.load(tmp_path / "evaluation.npz") as arrays:
        returns = arrays["returns"]
    np.testing.assert_allclose(figures["mean_returns"], returns.mean(axis=1), rtol=1e-6)
    assert (figures["greedy"], figures["highest_return"]) == (False, returns.max())
    play = evaluation_program(tiny_run.job, 200, greedy=False)
    states = split_groups(tiny_run.state.agent, tiny_run.job.layout)
    np.testing.assert_array_equal(play(states, 2**31 + 1).returns, returns)
    assert not np.array_equal(play(states, 2**31).returns, returns), "another seed"
    assert returns.mean() != greedy.returns.mean()


def test_plots_of_one_run_lie_in_it_and_of_several_where_it_is_told(tiny_copy, tmp_path, capsys):
    assert cli.main(["plot", str(tiny_copy)]) == 0
    drawn = {path.name for path in (tiny_copy / "plots").iterdir()}
    quantities = "returns lengths policy_loss value_loss entropy grad_norm explained_variance"
    assert drawn >= {f"{name}.png" for name in quantities.split()} | {"statistics.json"}
    unfinished = shutil.copytree(tiny_copy, tmp_path / "other" / tiny_copy.name)
    config = json.loads((unfinished / "config.json").read_text())
    config["settings"]["total_steps"] = 10**8  # as if it had been stopped, or still ran
    (unfinished / "config.json").write_text(json.dumps(config))
    capsys.readouterr()
    flags = ["--format", "svg", "--out", str(tmp_path / "plots")]
    assert cli.main(["plot", str(tiny_copy), str(unfinished), *flags]) == 0
    assert b"<svg" in (tmp_path / "plots" / "returns.svg").read_bytes()
    runs = json.loads((tmp_path / "plots" / "statistics.json").read_text())["runs"]
    assert [name.split("/")[0] for name in runs] == [tmp_path.name, "other"]
    assert [run["finished"] for run in runs.values()] == [True, False]
    assert "P(" in capsys.readouterr().out


def test_runs_of_one_task_and_length_are_compared_in_their_order(tiny_run):
    metrics = tiny_run.metrics
    worse = metrics._replace(episode_return_sum=metrics.episode_return_sum / 9)
    shorter = jax.tree.map(lambda field: field[:, :9], metrics)
    runs = {"better": metrics, "worse": worse, "shorter": shorter}
    statistics = statistics_of({n: tiny_run._replace(metrics=m) for n, m in runs.items()})
    (pair,) = statistics["probability_of_improvement"]
    assert (pair["of"], pair["over"], pair["probability"]) == ("better", "worse", 1.0)


def test_a_replay_is_of_the_newest_policies(tiny_run, tmp_path, monkeypatch):
    found, record = [], commands.record_run
    monkeypatch.setattr(commands, "record_run", lambda *a: found.append(record(*a)) or found[0])
    flags = ["--seeds", "1", "0", "--num-episodes", "1", "--out", str(tmp_path)]
    assert cli.main(["replay", str(tiny_run.folder), *flags]) == 0
    page = (tmp_path / "replay.html").read_text()
    assert "After 800 steps of training; the most probable action at every step." in page
    recording = found[0]
    assert recording.seeds == (1, 0)
    params = jax.tree.map(lambda leaf: leaf[1], tiny_run.state.params)
    network = presets.make_network(tiny_run.config.settings, tiny_run.job.env)
    logits = network.policy(params, recording.observations[0, 0])
    np.testing.assert_allclose(recording.outputs[0, 0], logits, rtol=1e-4, atol=1e-5)
    taken = recording.actions[0, 0, : recording.lengths[0, 0]]
    np.testing.assert_array_equal(taken, np.argmax(logits, axis=-1)[: len(taken)])


def test_what_cannot_be_written_exits_1(tiny_copy, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for played in ("evaluate_run", "record_run"):
        monkeypatch.setattr(commands, played, lambda *args: None)
    writes = {"evaluate": "write_evaluation", "plot": "plot_runs", "replay": "write_replay"}
    for command, write in writes.items():
        monkeypatch.setattr(commands, write, full)
        assert cli.main([command, str(tiny_copy)]) == 1
        error = capsys.readouterr().err
        assert "could not be written: [Errno 28] No space left on device." in error


@pytest.mark.slow("every command")
def test_every_command_runs_where_actions_are_a_box(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = "--env Pendulum-v1 --total-steps 1200 --num-seeds 2 --hidden-sizes 4"
    for command in (
        f"train --name run {small}",
        "evaluate runs/run --num-episodes 2",
        "plot runs/run",
        "replay runs/run --num-episodes 1",
        f"sweep --over learning-rate=1e-3,3e-3 {small}",
        f"compare --algorithms a2c --gradient-episodes 0 {small}",
    ):
        assert cli.main(command.split()) == 0, capsys.readouterr().err
    page = (tmp_path / "runs/run/replay.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    episode = data["seeds"][0]["episodes"][0]
    assert (data["actions"], len(episode["actions"])) == ([], 200)
    (control,) = episode["controls"]
    assert control["taken"] == control["mean"], "greedy: the mean of the Gaussian is taken"
    assert all(std > 0 for std in control["std"])
