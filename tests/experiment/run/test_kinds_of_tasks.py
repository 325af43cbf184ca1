"""Runs of every kind of agent: saved, resumed to the bit, evaluated, drawn and replayed."""

import json
import re
import shutil

import numpy as np
import pytest
from comparing import assert_identical, assert_same_run
from probe_envs import partly_legal

from a2c_jax import experiment
from a2c_jax.experiment.cli.flags import parse_train

SMALL = {
    "num_seeds": 2, "total_steps": 160, "num_envs": 4, "num_steps": 5, "hidden_sizes": (8,),
    "learning_rate": 1e-3, "final_learning_rate": 1e-3, "final_entropy_coef": None,
    "checkpoint_every": 1,
}  # fmt: skip
CARTPOLE = {"env": "CartPole-v1", "max_episode_steps": 15}
KINDS = {
    "convolutional": {
        **CARTPOLE, "env": "Breakout-MinAtar", "network": "conv", "conv_features": 2,
    },
    "normalized actions' values": {
        **CARTPOLE, "algorithm": "q-actor-critic", "normalize_observations": True,
    },
    "recurrent workers": {
        **CARTPOLE, "algorithm": "a3c", "num_workers": 2, "total_steps": 320,
        "network": "gru", "normalize_rewards": True,
    },
    "masked and recurrent": {"env": partly_legal(5), "network": "gru", "memory_size": 6},
}  # fmt: skip


def tier(kind):
    is_fast = kind.startswith("masked")
    return pytest.param(kind, marks=() if is_fast else pytest.mark.slow("trains other agents"))


@pytest.mark.parametrize("kind", [*map(tier, KINDS)])
def test_it_goes_through_the_functions_and_resumes_to_the_bit(kind, tmp_path):
    whole = experiment.train_run(**{**SMALL, **KINDS[kind]}, out=tmp_path / "whole")
    half = shutil.copytree(whole.folder, tmp_path / "half")
    newest = max(half.glob("checkpoints/*"), key=lambda path: int(path.stem))
    newest.unlink()  # of 8 updates, some are left
    resumed = experiment.resume_run(half, env=whole.job.env if kind.startswith("masked") else None)
    assert_same_run(resumed, whole)
    config = json.loads((half / "config.json").read_text())
    assert [one["num_updates"] for one in config["about"]["resumed"]] == [1]
    assert config["settings"]["network"] == KINDS[kind].get("network", "mlp")
    assert np.isfinite(experiment.evaluate_run(whole, 3).returns).all()
    assert_identical(whole.state, resumed.state)  # is left as it is
    page = experiment.write_replay(tmp_path, whole, experiment.record_run(whole, num_episodes=1))
    text = re.search(r'id="data">(.*?)</script>', page[0].read_text(), re.DOTALL)[1]
    episode = json.loads(text)["seeds"][0]["episodes"][0]
    if kind.startswith("masked"):  # an illegal action has no probability
        known = [column[0] for column in episode["probabilities"] if column[0] is not None]
        assert len(known) < 5
        assert sum(known) == pytest.approx(1.0, abs=1e-3)


def test_flags_name_the_network_and_its_settings(refused):
    config = parse_train(["--network", "gru", "--memory-size", "4", "--env", "CartPole-v1"])
    assert (config.settings.network, config.settings.memory_size) == ("gru", 4)
    for wrong, sentence in {
        ("--network", "gruu"): "There is no network 'gruu'; did you mean gru?",
        ("--network", "conv"): "a convolution takes images",
        ("--network", "gru", "--algorithm", "q-actor-critic"): "critic of states; give network mlp",
    }.items():
        assert sentence in refused("train", "--env", "CartPole-v1", *wrong)
