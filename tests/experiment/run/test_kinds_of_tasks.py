"""Runs of every kind of agent: saved, resumed to the bit, evaluated, drawn and replayed."""

import json
import re

import jax
import numpy as np
import pytest
from comparing import assert_same_run
from probe_envs import partly_legal

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli

SMALL = {
    "num_seeds": 2, "total_steps": 160, "num_envs": 4, "num_steps": 5, "hidden_sizes": (8,),
    "learning_rate": 1e-3, "final_learning_rate": 1e-3, "final_entropy_coef": None,
}  # fmt: skip
KINDS = {
    "convolutional": {"env": "Breakout-MinAtar", "architecture": "conv", "conv_features": 2},
    "normalized actions' values": {
        "env": "CartPole-v1", "algorithm": "q-actor-critic", "normalize_observations": True,
    },
    "recurrent workers": {
        "env": "CartPole-v1", "algorithm": "a3c", "num_workers": 2, "architecture": "gru",
        "normalize_rewards": True,
    },
    "masked and recurrent": {
        "env": partly_legal(5), "architecture": "gru", "memory_size": 6,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_through_the_functions_and_resumes_to_the_bit(kind, tmp_path, monkeypatch):
    if kind != "convolutional":  # whose chunks have different lengths; the others compile one
        monkeypatch.setattr("a2c_jax.experiment.run.chunks.chunk_length", lambda *_: 2)
    settings = {**SMALL, "max_episode_steps": 15, **KINDS[kind]}
    if not isinstance(settings["env"], str):
        del settings["max_episode_steps"]
    whole = experiment.train_run(**settings, out=tmp_path / "whole")
    half = experiment.train_run(**{**settings, "total_steps": 80}, out=tmp_path / "half")
    env = settings["env"]
    resumed = experiment.resume_run(half.folder, 160, env=None if isinstance(env, str) else env)
    assert_same_run(resumed, whole)
    assert json.loads((whole.folder / "config.json").read_text())["settings"]["architecture"] == (
        KINDS[kind].get("architecture", "mlp")
    )
    before = jax.tree.map(np.asarray, whole.state.agent)
    evaluated = experiment.evaluate_run(whole, 3)
    assert np.isfinite(evaluated.returns).all()
    jax.tree.map(np.testing.assert_array_equal, before, whole.state.agent)
    page = experiment.write_replay(tmp_path, whole, experiment.record_run(whole, num_episodes=1))
    text = re.search(r'id="data">(.*?)</script>', page[0].read_text(), re.DOTALL)[1]
    episode = json.loads(text)["seeds"][0]["episodes"][0]
    if kind.startswith("masked"):  # an illegal action has no probability
        known = [column[0] for column in episode["probabilities"] if column[0] is not None]
        assert len(known) < 5
        assert sum(known) == pytest.approx(1.0, abs=1e-3)


def test_flags_name_the_network_and_its_settings(tmp_path, capsys):
    flags = ["train", "--total-steps", "160", "--num-seeds", "1", "--network", "gru"]
    sizes = ["--memory-size", "4", "--hidden-sizes", "4", "--env", "CartPole-v1"]
    assert cli.main([*flags, *sizes, "--out", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["architecture"] == config["settings"]["architecture"] == "gru"
    assert config["settings"]["memory_size"] == 4
    capsys.readouterr()
    for wrong, sentence in {
        ("--network", "gruu"): "There is no network architecture 'gruu'; did you mean gru?",
        ("--network", "conv"): "a convolution takes images",
        ("--network", "gru", "--algorithm", "q-actor-critic"): "critic of states; give network mlp",
    }.items():
        assert cli.main(["train", "--env", "CartPole-v1", *wrong]) == 2
        assert sentence in " ".join(capsys.readouterr().err.split()), wrong
