"""What is logged of a run, and loggers that fail."""

import json
import struct
import sys
import types

import numpy as np
import pytest
from scipy import stats
from test_metrics import some_metrics

from a2c_jax import experiment
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.evaluation import Evaluations
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.log import JsonLines, chunk_figures
from a2c_jax.experiment.run.loggers import Guarded, TensorBoard, WeightsAndBiases, open_loggers

CONFIG = experiment.configure(num_seeds=2)


def outcome():
    counts = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]], np.float32)
    sums = np.array([[9.0, 0.0, 30.0], [0.0, 0.0, 60.0]], np.float32)
    return Outcome([], some_metrics(counts, sums), 4.0, 2.0)


def no_evaluations():
    return Evaluations(np.array([], int), np.zeros((2, 0)), np.zeros((2, 0)))


def test_the_figures_are_means_over_the_episodes_since_then():
    (figures,) = chunk_figures(make_job(CONFIG), outcome(), no_evaluations(), since=1)
    assert (figures["update"], figures["steps"], figures["finished_episodes"]) == (3, 120, 3.0)
    assert figures["episode_return"] == 30.0  # 90 over 3 episodes; the first update is left out
    assert figures["episode_return_iqm"] == 37.5  # of the seeds' means, 15 and 60
    assert (figures["episode_return_low"], figures["episode_return_high"]) == (15.0, 60.0)
    assert "evaluation_return" not in figures
    none = outcome()._replace(metrics=some_metrics(np.zeros((2, 3)), np.zeros((2, 3))))
    (nothing,) = chunk_figures(make_job(CONFIG), none, no_evaluations(), since=0)
    assert nothing["episode_return"] is nothing["episode_return_iqm"] is None


def test_a_run_of_any_length_has_a_hundred_points_wherever_its_chunks_end():
    job = make_job(CONFIG)._replace(num_updates=1_050)
    counts = np.random.default_rng(0).poisson(2.0, (2, 1_050)).astype(np.float32)
    lines, since = [], 0
    for end in (3, 500, 507, 1_050):
        metrics = some_metrics(counts[:, :end], 7.0 * counts[:, :end])
        lines += chunk_figures(job, Outcome([], metrics, 0.0, 0.0), no_evaluations(), since)
        since = end
    updates = [line["update"] for line in lines]
    assert updates == sorted({*range(10, 1_051, 10), 3, 507})
    assert sum(line["finished_episodes"] for line in lines) == counts.sum()
    assert {line["episode_return"] for line in lines} <= {7.0, None}


def test_seeds_without_an_episode_are_left_out_of_their_points_only():
    rng, shape = np.random.default_rng(0), (6, 40)
    counts = rng.poisson(0.3, shape).astype(np.float32)
    sums = counts * rng.normal(50, 10, shape).astype(np.float32)
    sums[5, 20:] = np.nan  # diverged
    job = make_job(CONFIG)._replace(num_updates=40)
    result = Outcome([], some_metrics(counts, sums), 0.0, 0.0)
    points = chunk_figures(job, result, no_evaluations(), since=0)
    assert len(points) == 40
    for point, number, total in zip(points, counts.T, sums.T, strict=True):
        known = [t / n for n, t in zip(number, total, strict=True) if n and np.isfinite(t)]
        names = ("episode_return_low", "episode_return_iqm", "episode_return_high")
        low, mean, high = (point[name] for name in names)
        if not known:
            assert low is mean is high is None
            continue
        np.testing.assert_allclose(mean, stats.trim_mean(known, 0.25), rtol=1e-6)
        assert (low is None) == (len(known) == 1)
        assert low is None or min(known) - 1e-4 <= low <= mean <= high <= max(known) + 1e-4


def test_an_evaluation_is_told_once():
    evaluations = Evaluations(
        np.array([1, 3]), np.array([[5.0, 7.0], [5.0, 9.0]]), np.array([[1.0, 2.0], [1.0, 4.0]])
    )
    (figures,) = chunk_figures(make_job(CONFIG), outcome(), evaluations, since=1)
    assert (figures["evaluation_return"], figures["evaluation_length"]) == (8.0, 3.0)
    before = evaluations._replace(updates=np.array([1, 2]))
    (later,) = chunk_figures(make_job(CONFIG), outcome(), before, since=2)
    assert "evaluation_return" not in later


def test_json_lines_drop_what_will_be_done_again_and_what_is_half_written(tmp_path):
    path = tmp_path / "log.jsonl"
    logger = JsonLines(path, 0)
    for update in (2, 4, 6):
        logger.log({"update": update, "episode_return": None})
    logger.close()
    with path.open("a") as file:
        file.write('{"update": 1')
    logger = JsonLines(path, 4)
    logger.log({"update": 5})
    logger.close()
    assert [json.loads(line)["update"] for line in path.read_text().splitlines()] == [2, 4, 5]
    JsonLines(path, 0).close()
    assert path.read_text() == ""


def events(folder):
    """The events in TensorBoard's files, read without its library's reader."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in folder.glob("events.*"):
        data = path.read_bytes()
        while data:  # a record: length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_shows_every_setting_and_no_step_twice(tmp_path):
    session_log = pytest.importorskip("tensorboardX.proto.event_pb2").SessionLog
    plugin = pytest.importorskip("tensorboardX.proto.plugin_hparams_pb2").HParamsPluginData
    settings = {"discount": 0.9, "hidden_sizes": (64, 32), "optimizer": {"name": "rmsprop"}}
    about = {"format": 5, "batch_size": None, "seeds": [3, 5], "wandb": False, "about": {"a": 1}}
    logger = TensorBoard(tmp_path, {"env": "CartPole-v1", "settings": settings, **about})
    for steps in (80, 120):
        logger.log({"steps": steps, "episode_return": 2.5})
    logger.close()
    found = events(tmp_path / "tensorboard")
    # TensorBoard then omits what earlier files have from this step on.
    starts = [event.step for event in found if event.session_log.status == session_log.START]
    assert starts == [80]
    values = {value.tag: value for event in found for value in event.summary.value}
    start = values["_hparams_/session_start_info"].metadata.plugin_data.content
    shown = plugin.FromString(start).session_start_info.hparams
    assert {name: value.string_value or value.number_value for name, value in shown.items()} == {
        "env": "CartPole-v1", "discount": 0.9, "hidden_sizes": "[64, 32]",
        "optimizer.name": "rmsprop",
    }  # fmt: skip


def fake_wandb(log):
    calls = []

    def keep(figures, step):
        calls.extend([figures, step])

    run = types.SimpleNamespace(log=log or keep, finish=lambda: calls.append("finished"))
    return types.SimpleNamespace(init=lambda **settings: calls.append(settings) or run), calls


def test_weights_and_biases_is_told_settings_and_figures(tmp_path, monkeypatch):
    module, calls = fake_wandb(None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    logger = WeightsAndBiases(tmp_path / "evening", {"env": "CartPole-v1"})
    logger.log({"steps": 40, "episode_return": 2.5, "entropy": None})
    logger.close()
    assert calls[0]["name"] == "evening"
    assert calls[0]["config"] == {"env": "CartPole-v1"}
    assert calls[1:] == [{"train/steps": 40, "train/episode_return": 2.5}, 40, "finished"]
    WeightsAndBiases(tmp_path / "evening", {})  # resumed: the same run goes on
    assert calls[4]["id"] == calls[0]["id"]
    WeightsAndBiases(tmp_path / "morning", {})
    assert calls[5]["id"] != calls[0]["id"]
    assert all(call["resume"] == "allow" for call in (calls[0], *calls[4:]))


def test_a_logger_that_is_missing_or_fails_is_told_once_and_goes(tmp_path, monkeypatch):
    def fail(figures, step):
        raise RuntimeError("no network")

    told = []
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb(fail)[0])
    logger = Guarded("Weights & Biases", lambda: WeightsAndBiases(tmp_path, {}), told.append)
    for _ in range(3):
        logger.log({"episode_return": 1.0})
    logger.close()
    assert told == ["Weights & Biases failed: no network. Training continues."]
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = Guarded("Weights & Biases", lambda: WeightsAndBiases(tmp_path, {}), told.append)
    logger.log({})
    assert len(told) == 2


def test_a_run_is_logged_where_it_is_asked_to_be(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = []
    config = experiment.configure(num_seeds=2, tensorboard=True, wandb=True)
    description = {"env": "CartPole-v1", "settings": {"discount": 0.9, "network": {}}}
    for logger in open_loggers(config, tmp_path, description, 0, said.append):
        logger.log({"update": 1, "steps": 40, "episode_return": 2.5, "entropy": 0.5})
        logger.log({"steps": 80, "episode_return": 3.5, "evaluation_return": None})
        logger.close()
    assert len(said) == 1
    assert said[0].startswith("Weights & Biases failed")
    assert said[0].endswith("(pip install -e '.[wandb]'). Training continues.")
    summaries = [(each.step, each.summary) for each in events(tmp_path / "tensorboard")]
    found = [(v.tag, step, v.simple_value) for step, each in summaries for v in each.value]
    assert [tag for tag, _, _ in found[:3]] == [
        "_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"
    ]  # fmt: skip
    assert found[3:] == [
        ("train/update", 40, 1.0), ("train/steps", 40, 40.0), ("train/episode_return", 40, 2.5),
        ("loss/entropy", 40, 0.5), ("train/steps", 80, 80.0), ("train/episode_return", 80, 3.5),
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["episode_return"] for line in lines] == [2.5, 3.5]
    assert lines[0]["update"] == 1
