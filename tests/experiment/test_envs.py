"""A custom environment in every function and command, and in no file."""

import shutil

import numpy as np
import probe_envs
import pytest
from comparing import assert_same_run
from gymnax.environments.classic_control.cartpole import CartPole

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli import commands, flags as parsing, main as cli
from a2c_jax.experiment.comparison.compare import resolve_all
from a2c_jax.experiment.envs import env_label, env_name, resolve_env, resolve_saved_env
from a2c_jax.experiment.sweeps.points import parse_points
from a2c_jax.experiment.sweeps.sweep import check_sweep

OWN = "probe_envs:observation_dependent"
SMALL = {"num_seeds": 2, "total_steps": 400, "hidden_sizes": (4,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "run"
    return experiment.train_run(env=OWN, **SMALL, out=out).folder


@pytest.mark.parametrize(
    ("command", "works"),
    [
        ("evaluate", "evaluate_run"),
        ("replay", "record_run"),
        ("plot", "plot_runs"),
        ("train --resume", "train_run"),
        ("train --config", "train_run"),
    ],
)
def test_every_command_needs_it_again(run, command, works, monkeypatch, refused):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, works, interrupted)
    words = [*command.split(), str(run / "config.json" if "config" in command else run)]
    assert "no file imports; name it again" in refused(*words)
    assert cli.main([*words, "--env", OWN]) == 130, "it is not refused"
    if "config" not in command:  # which may be used for another environment
        error = refused(*words, "--env", "probe_envs:delayed")
        assert f"env is '{OWN}', not 'probe_envs:delayed'" in error


def test_a_sweep_and_a_comparison_accept_it():
    _, config = parsing.parse_sweep(["--env", OWN])
    sweep = check_sweep(config, parse_points(["discount=0.9,0.99"], None))
    ((_, one),) = resolve_all(parsing.parse_compare(["--env", OWN, "--algorithms=a2c"])).values()
    assert sweep.env.name == one.env.name == "observation dependent"


def test_an_environment_goes_through_the_functions(run, tmp_path):
    env = probe_envs.observation_dependent()
    whole = experiment.train_run(env=env, **SMALL, out=tmp_path / "whole")
    assert_same_run(whole, experiment.load_run(run, env=OWN))
    assert_same_run(experiment.load_run(whole.folder, env=OWN), whole)
    with pytest.raises(ValueError, match="env is 'custom:observation dependent', not "):
        experiment.load_run(whole.folder, env="probe_envs:delayed")
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    with pytest.raises(experiment.BadInput, match=r"'custom:observation dependent'.*name it again"):
        experiment.resume_run(folder)
    with pytest.raises(experiment.BadInput, match="seeds holds 0 more than once"):
        experiment.join_runs([whole.folder, folder], env=env)
    resumed = experiment.resume_run(folder, total=800, env=env)
    assert resumed.job.env is env
    assert resumed.metrics.steps.shape == (2, 20)
    returns = experiment.evaluate_run(experiment.load_run(folder, env=env), num_episodes=3).returns
    assert np.isin(returns, [0.0, 1.0]).all()


def test_a_wrapped_environment_is_not_taken_for_gymnax_s_of_that_name():
    env = a2c.from_gymnax(CartPole())
    assert env.name == env_label(env) == "CartPole-v1"
    assert experiment.configure(env=env).preset == "general"
    with pytest.raises(ValueError, match="name it again"):
        resolve_saved_env(env_name(env), None)


def test_the_name_of_a_folder_has_no_separators():
    assert [*map(env_label, ("brax/ant", "custom:a/b", "package.a:ant"))] == [
        "brax-ant",
        "a-b",
        "ant",
    ]


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
def test_what_makes_no_environment_of_this_limit_is_refused(env, limit, sentence):
    assert resolve_env("probe_envs:always_surviving", 7).max_episode_steps == 7
    with pytest.raises(ValueError, match=sentence):
        resolve_env(env, limit)
