"""Configurations written as JSON and read again."""

import dataclasses
import json

import pytest
from optional_suites import for_each

from a2c_jax import experiment
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config import default_config, read_config
from a2c_jax.experiment.files import json_writer
from a2c_jax.experiment.run.job import describe_job, make_job
from a2c_jax.presets import METHODS, PRESETS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


@pytest.fixture
def read(path):
    """Reads a configuration of this content."""

    def read(**content):
        path.write_text(json.dumps(content))
        return read_config(path)

    return read


CHANGED = experiment.configure(
    env="Acrobot-v1", max_episode_steps=77, seeds=(4, 9), batch_size=3, discount=0.5,
    hidden_sizes=(3, 4), max_grad_norm=2,
)  # fmt: skip


@pytest.mark.parametrize("name", [*for_each(PRESETS), *METHODS, "changed"])
def test_every_preset_every_method_and_changes_come_back(name, path):
    config = CHANGED
    if name != "changed":
        names = ("default", name) if name in METHODS else (name, None)
        config = dataclasses.replace(default_config(*names), num_seeds=3)
    job = make_job(config)
    assert job.env.name == config.env
    with path.open("wb") as file:
        json_writer(describe_job(config, job))(file)
    assert read_config(path) == config
    if name in METHODS:
        assert json.loads(path.read_text())["settings"]["method"] == name


def test_what_a_file_does_not_hold_is_the_presets(read, path):
    config = read(preset="stable_baselines3", settings={"discount": 1})
    assert config.settings == dataclasses.replace(PRESETS["stable_baselines3"], discount=1.0)
    assert type(config.settings.discount) is float
    path.write_text('{"preset": "acrobot"}')
    assert read_config(path).env == "Acrobot-v1"
    assert read_config(path, env="CartPole-v1").env == "CartPole-v1"


def test_a_file_without_a_preset_gets_that_of_the_environment_it_is_used_on(read, path):
    assert read(env="Acrobot-v1").preset == "acrobot"
    assert read(settings={"num_envs": 16}).preset == "default"
    config = parse_train(["--config", str(path), "--env", "Catch-bsuite"])
    assert (config.preset, config.env, config.settings.num_envs) == ("catch", "Catch-bsuite", 16)


def test_a_file_may_name_a_method_and_a_network_which_bring_what_suits_them(read):
    config = read(settings={"method": "reinforce", "network": "gru", "num_envs": 3})
    assert config == experiment.configure("general", "reinforce", network="gru", num_envs=3)


def test_a_file_of_another_version_is_refused_in_one_sentence(read):
    with pytest.raises(ValueError, match=r"format is 5, but .* reads only 6, and runs of another"):
        read(format=5, algorithm="gae")


def test_scales_come_back_as_numbers_and_a_comparison_is_no_run(read):
    scales = read(settings={"observation_scale": [1, 0.5, 5, 2]}).settings.observation_scale
    assert scales == (1.0, 0.5, 5.0, 2.0)
    with pytest.raises(ValueError, match=r"observation_scale is \[1, 'a'\]; give a number, not"):
        read(settings={"observation_scale": [1, "a"]})
    with pytest.raises(ValueError, match="there is a comparison of methods; give a run"):
        read(algorithms=["a2c"])
