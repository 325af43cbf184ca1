"""An environment of one's own in every function and command, and in no file."""

import dataclasses

import numpy as np
import probe_envs
import pytest
from comparing import assert_same_run
from gymnax.environments.classic_control.cartpole import CartPole

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.config.envs import env_label, env_name, named_again, resolve_env
from a2c_jax.experiment.config.reading import read_config

OWN = "probe_envs:observation_dependent"
SMALL = {"num_seeds": 2, "total_steps": 400, "hidden_sizes": (8,)}
FLAGS = ["--num-seeds", "2", "--total-steps", "400", "--hidden-sizes", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "run"
    flags = ["train", "--env", OWN, "--out", str(folder), *FLAGS]
    assert cli.main(flags) == 0
    return folder


def test_every_command_takes_it_and_needs_it_again(run, tmp_path, capsys):
    for command in ("evaluate", "replay", "plot"):
        flags = [command, str(run), "--out", str(tmp_path / command)]
        assert cli.main(flags) == 2
        assert "no file imports; name it again" in capsys.readouterr().err
        assert cli.main([*flags, "--env", OWN]) == 0
    assert cli.main(["train", "--resume", str(run)]) == 2
    assert cli.main(["train", "--resume", str(run), "--env", "probe_envs:delayed"]) == 2
    assert f"env is '{OWN}', not 'probe_envs:delayed'" in capsys.readouterr().err
    assert cli.main(["train", "--config", str(run / "config.json"), "--out", str(tmp_path)]) == 2
    sweep = ["sweep", "--env", OWN, "--over", "learning_rate=1e-3,1e-2", *FLAGS]
    assert cli.main([*sweep, "--out", str(tmp_path / "sweep")]) == 0
    compared = ["compare", "--env", OWN, "--algorithms", "a2c", "--gradient-episodes", "0", *FLAGS]
    assert cli.main([*compared, "--out", str(tmp_path / "compare")]) == 0


def test_an_environment_goes_through_the_functions(run, tmp_path):
    env = probe_envs.observation_dependent()
    config = experiment.configure(env=env, **SMALL)
    whole = experiment.train_run(dataclasses.replace(config, out=tmp_path / "whole"))
    assert_same_run(whole, experiment.load_run(run, env=OWN))
    half = configure_total(config, 160)
    folder = experiment.train_run(dataclasses.replace(half, out=tmp_path / "half")).folder
    with pytest.raises(experiment.BadInput, match=r"'own:observation dependent'.*name it again"):
        experiment.resume_run(folder)
    resumed = experiment.resume_run(folder, total=400, env=env)
    assert resumed.job.env is env
    assert resumed.metrics.steps.shape == whole.metrics.steps.shape
    returns = experiment.evaluate_run(experiment.load_run(folder, env=env), num_episodes=3).returns
    assert np.isin(returns, [0.0, 1.0]).all()
    joined = experiment.join_runs(
        [whole.folder, train_other_seeds(config, tmp_path)], tmp_path / "joined", env=env
    )
    assert joined.job.seeds == (0, 1, 7, 8)


def configure_total(config, total):
    return config.with_settings(dataclasses.replace(config.settings, total_steps=total))


def train_other_seeds(config, tmp_path):
    other = dataclasses.replace(config, seed=7, out=tmp_path / "others")
    return experiment.train_run(other).folder


def test_a_wrapped_environment_is_not_taken_for_gymnax_s_of_that_name():
    env = a2c.from_gymnax(CartPole())
    assert env.name == "CartPole-v1"
    assert experiment.configure(env=env).preset == "general"
    with pytest.raises(ValueError, match="name it again"):
        named_again(env_name(env), None)
    assert env_label(env) == "CartPole-v1"


@pytest.mark.parametrize(
    ("env", "limit", "sentence"),
    [
        ("nowhere.at_all:make", None, "ModuleNotFoundError: No module named 'nowhere'"),
        ("probe_envs:nothing", None, "KeyError: 'nothing'"),
        ("probe_envs:delayed", 7, "TypeError.*max_episode_steps"),
        ("probe_envs:_environment", None, "TypeError: missing"),
        ("platform:machine", None, "returns a str; return an a2c_jax.Environment"),
        (probe_envs.delayed(), 7, "max_episode_steps is 7, but env is an Environment.* is 5"),
    ],
)
def test_what_cannot_be_an_environment_is_refused(env, limit, sentence):
    with pytest.raises(ValueError, match=sentence):
        resolve_env(env, limit)


def test_a_limit_is_given_to_the_function():
    assert resolve_env("probe_envs:always_surviving", 7).max_episode_steps == 7


def test_a_file_without_an_environment_has_its_preset_s(tmp_path):
    (tmp_path / "file.json").write_text('{"preset": "acrobot"}')
    assert read_config(tmp_path / "file.json").env == "Acrobot-v1"
    assert read_config(tmp_path / "file.json", env="CartPole-v1").env == "CartPole-v1"


def test_a_run_trained_from_python_is_loaded_by_a_name(tmp_path, capsys):
    env = probe_envs.observation_dependent()
    run = experiment.train_run(env=env, **SMALL, out=tmp_path / "run")
    assert_same_run(experiment.load_run(run.folder, env=OWN), run)
    assert cli.main(["evaluate", str(run.folder), "--env", OWN]) == 0
    assert cli.main(["evaluate", str(run.folder), "--env", "probe_envs:delayed"]) == 2
    assert "env is 'own:observation dependent', not 'own:delayed'" in capsys.readouterr().err


def test_the_name_of_a_folder_has_no_separators():
    for env in ("brax/ant", "own:a/b", "package.module:ant"):
        assert "/" not in env_label(env)
        assert ":" not in env_label(env)
