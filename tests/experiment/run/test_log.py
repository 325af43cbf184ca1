"""What is logged of a run, and loggers that fail."""

import json
import struct
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from scipy import stats

from a2c_jax import experiment
from a2c_jax.experiment.run.engine import Evaluations, Outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.log import Guarded, JsonLines, chunk_figures, open_loggers
from a2c_jax.types import Metrics

NO_EVALUATIONS = Evaluations(np.array([], int), np.zeros((2, 0)), np.zeros((2, 0)))


def points(counts, sums, since, num_updates=3750, evaluations=NO_EVALUATIONS):
    job = make_job(experiment.configure(num_seeds=2))._replace(num_updates=num_updates)
    metrics = Metrics(sums, 0 * counts, counts, *[0 * counts] * 6)
    return chunk_figures(job, Outcome([], metrics, 4.0, 2.0), evaluations, since)


def test_the_figures_are_means_over_the_episodes_since_then():
    counts = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]])
    sums = np.array([[9.0, 0.0, 30.0], [0.0, 0.0, 60.0]])
    returns, lengths = np.array([[5.0, 7.0], [5.0, 9.0]]), np.array([[1.0, 2.0], [1.0, 4.0]])
    evaluations = Evaluations(np.array([1, 3]), returns, lengths)
    (point,) = points(counts, sums, 1, evaluations=evaluations)
    expected = {
        "update": 3, "steps": 120, "train_seconds": 2.0, "finished_episodes": 3.0,
        "episode_return": 30.0,  # 90 over 3 episodes; the first update is left out
        "episode_return_iqm": 37.5,  # of the seeds' means, 15 and 60
        "episode_return_low": 15.0, "episode_return_high": 60.0,
        "evaluation_return": 8.0, "evaluation_length": 3.0,
    }  # fmt: skip
    assert point == point | expected
    assert point.keys() >= {*Metrics._fields[3:]} - {"steps"}
    before = evaluations._replace(updates=np.array([1, 2]))
    assert "evaluation_return" not in points(counts, sums, 2, evaluations=before)[-1], "told once"
    nothing = points(0 * counts, 0 * sums, 0)[-1]
    assert nothing["episode_return"] is nothing["episode_return_iqm"] is None
    diverged = evaluations._replace(returns=np.nan * returns)
    assert points(counts, sums, 1, evaluations=diverged)[-1]["evaluation_return"] is None


def test_a_run_of_any_length_has_a_hundred_points_wherever_its_chunks_end():
    counts = np.random.default_rng(0).poisson(2.0, (2, 1_050)).astype(np.float32)
    lines, since = [], 0
    for end in (3, 500, 507, 1_050):
        lines += points(counts[:, :end], 7.0 * counts[:, :end], since, num_updates=1_050)
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
    found = points(counts, sums, 0, num_updates=40)
    assert len(found) == 40
    for point, number, total in zip(found, counts.T, sums.T, strict=True):
        known = [t / n for n, t in zip(number, total, strict=True) if n and np.isfinite(t)]
        low, mean, high = (point[f"episode_return_{name}"] for name in ("low", "iqm", "high"))
        if not known:
            assert low is mean is high is None
            continue
        np.testing.assert_allclose(mean, stats.trim_mean(known, 0.25), rtol=1e-6)
        assert (low is None) == (len(known) == 1)
        assert low is None or min(known) - 1e-4 <= low <= mean <= high <= max(known) + 1e-4


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


def test_weights_and_biases_is_told_settings_and_figures(tmp_path, monkeypatch):
    wandb, told = Mock(), []
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    logger = Guarded("wandb", tmp_path / "evening", {"env": "CartPole-v1"}, told.append)
    logger.log({"steps": 40, "episode_return": 2.5, "entropy": None})
    logger.close()
    run = wandb.init.return_value
    run.log.assert_called_once_with({"train/steps": 40, "train/episode_return": 2.5}, step=40)
    run.finish.assert_called_once_with()
    run.log.side_effect = RuntimeError("no network")
    # The second time it is resumed, and the same run goes on.
    for name in ("evening", "morning"):
        logger = Guarded("wandb", tmp_path / name, {}, told.append)
    for _ in range(3):
        logger.log({"episode_return": 1.0})
    assert told == ["Weights & Biases failed: no network. Training continues."]
    evening, again, morning = (call.kwargs for call in wandb.init.call_args_list)
    assert (evening["name"], evening["config"]) == ("evening", {"env": "CartPole-v1"})
    assert evening["id"] == again["id"] != morning["id"]
    assert {one["resume"] for one in (evening, again, morning)} == {"allow"}


def test_a_run_is_logged_where_it_is_asked_to_be(tmp_path, monkeypatch):
    session_log = pytest.importorskip("tensorboardX.proto.event_pb2").SessionLog
    plugin = pytest.importorskip("tensorboardX.proto.plugin_hparams_pb2").HParamsPluginData
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = []
    config = experiment.configure(num_seeds=2, tensorboard=True, wandb=True)
    settings = {"discount": 0.9, "hidden_sizes": (64, 32), "optimizer": "rmsprop", "log_std": None}
    about = {"format": 5, "batch_size": None, "seeds": [3, 5], "wandb": False, "about": {"a": 1}}
    description = {"env": "CartPole-v1", "settings": settings, **about}
    for logger in open_loggers(config, tmp_path, description, 0, said.append):
        logger.log({"update": 1, "steps": 40, "episode_return": 2.5, "entropy": 0.5})
        logger.log({"steps": 80, "episode_return": 3.5, "evaluation_return": None})
        logger.close()
    assert len(said) == 1
    assert said[0].startswith("Weights & Biases failed")
    assert said[0].endswith("(pip install -e '.[wandb]'). Training continues.")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["episode_return"] for line in lines] == [2.5, 3.5]
    assert lines[0]["update"] == 1
    found = events(tmp_path / "tensorboard")
    # TensorBoard then omits what earlier files have from this step on.
    starts = [event.step for event in found if event.session_log.status == session_log.START]
    assert starts == [40]
    values = [(event.step, value) for event in found for value in event.summary.value]
    hparams = ["experiment", "session_start_info", "session_end_info"]
    assert [value.tag for _, value in values[:3]] == [f"_hparams_/{name}" for name in hparams]
    start = plugin.FromString(values[1][1].metadata.plugin_data.content).session_start_info
    shown = {name: each.string_value or each.number_value for name, each in start.hparams.items()}
    assert shown == {
        "env": "CartPole-v1", "discount": 0.9, "hidden_sizes": "[64, 32]",
        "optimizer": "rmsprop",
    }  # fmt: skip
    assert [(value.tag, step, value.simple_value) for step, value in values[3:]] == [
        ("train/update", 40, 1.0), ("train/steps", 40, 40.0), ("train/episode_return", 40, 2.5),
        ("loss/entropy", 40, 0.5), ("train/steps", 80, 80.0), ("train/episode_return", 80, 3.5),
    ]  # fmt: skip
