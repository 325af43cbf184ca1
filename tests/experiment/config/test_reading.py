"""Configurations written as JSON and read again."""

import dataclasses
import json

import pytest
from optional_suites import for_each

from a2c_jax import experiment
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config.config import default_config
from a2c_jax.experiment.config.describe import describe_settings
from a2c_jax.experiment.config.reading import read_config
from a2c_jax.experiment.files import json_writer
from a2c_jax.experiment.run.job import describe_config, make_job
from a2c_jax.methods import METHODS
from a2c_jax.presets import PRESETS


def read_back(config, path):
    job = make_job(config)
    assert job.env.name == config.env
    with path.open("wb") as file:
        json_writer(describe_config(config, job))(file)
    return read_config(path)


@pytest.fixture
def read(tmp_path):
    """Reads a configuration of this content."""

    def read(**content):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content))
        return read_config(path)

    return read


@pytest.mark.parametrize("preset", for_each(PRESETS))
def test_every_preset_comes_back(preset, tmp_path):
    assert_comes_back(preset, None, tmp_path)


@pytest.mark.parametrize("algorithm", METHODS)
def test_every_method_comes_back(algorithm, tmp_path):
    assert_comes_back("default", algorithm, tmp_path)


def assert_comes_back(preset, algorithm, tmp_path):
    config = dataclasses.replace(default_config(preset, algorithm), num_seeds=3)
    read = read_back(config, tmp_path / "config.json")
    assert read.settings == config.settings
    assert (read.preset, read.algorithm, read.env) == (preset, algorithm, config.env)
    assert read.max_episode_steps == config.max_episode_steps
    assert (read.seeds, read.num_seeds, read.seed) == (None, 3, 0)


def test_changes_come_back(tmp_path):
    changes = {"env": "Acrobot-v1", "max_episode_steps": 77, "seeds": (4, 9), "batch_size": 3}
    config = experiment.configure(**changes, discount=0.5, hidden_sizes=(3, 4), max_grad_norm=2)
    read = read_back(config, tmp_path / "config.json")
    assert read.settings == config.settings
    assert {name: getattr(read, name) for name in changes} == changes


def test_what_a_file_does_not_hold_is_the_presets(read):
    config = read(preset="stable_baselines3", settings={"discount": 1})
    assert config.settings == dataclasses.replace(PRESETS["stable_baselines3"], discount=1.0)
    assert type(config.settings.discount) is float


def test_a_run_of_an_older_version_keeps_what_that_did(read):
    settings = {"discount": 0.9}
    assert read(preset="minatar", settings=settings).settings.final_entropy_coef == 0.0
    old = read(preset="minatar", settings=settings, about={}).settings
    assert (old.final_entropy_coef, old.discount) == (None, 0.9)


@pytest.mark.parametrize(
    "network",
    [
        {"name": "mlp_actor_critic", "log_std": 1.4},
        {"name": "decided_actor_critic", "log_std": 0.5},
        {"name": "relu_actor_critic"},
    ],
)
def test_a_run_of_an_older_version_keeps_its_preset_s_network(read, network):
    config = read(preset="mountain_car_continuous", settings={"network": network}, about={})
    assert describe_settings(config.settings)["network"] == network
    make_job(config)
    with pytest.raises(ValueError, match=r"network is .*; resume or load the run from Python"):
        read(preset="mountain_car_continuous", settings={"network": {**network, "width": 1}})


def test_configure_takes_fields_and_settings_and_refuses_others():
    config = experiment.configure("article", num_seeds=3, discount=0.9)
    assert (config.num_seeds, config.settings.discount, config.max_episode_steps) == (3, 0.9, 200)
    with pytest.raises(ValueError, match="no setting 'learning_rat'; did you mean learning_rate"):
        experiment.configure(learning_rat=1.0)
    with pytest.raises(ValueError, match="no setting 'method'"):
        experiment.configure(method=None)


def test_a_file_without_a_preset_gets_that_of_the_environment_it_is_used_on(read, tmp_path):
    assert read(env="Acrobot-v1").preset == "acrobot"
    assert read(settings={"num_envs": 16}).preset == "default"
    config = parse_train(["--config", str(tmp_path / "config.json"), "--env", "Catch-bsuite"])
    assert (config.preset, config.env, config.settings.num_envs) == ("catch", "Catch-bsuite", 16)


def test_scales_come_back_as_numbers(read):
    scales = read(settings={"observation_scale": [1, 0.5, 5, 2]}).settings.observation_scale
    assert scales == (1.0, 0.5, 5.0, 2.0)
    with pytest.raises(ValueError, match=r"observation_scale is \[1, 'a'\]; expected"):
        read(settings={"observation_scale": [1, "a"]})
