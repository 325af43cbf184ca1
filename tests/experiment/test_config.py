"""Configurations of presets and methods, their settings, their jobs, and what is refused."""

import re

import jax
import numpy as np
import pytest
from comparing import assert_identical

import a2c_jax as a2c
from a2c_jax import checks
from a2c_jax.environments.minatar import GAMES
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config import TrainConfig, configure, default_config
from a2c_jax.experiment.run.job import make_job
from a2c_jax.presets import DEFAULT_FOR, METHODS, PRESETS


@pytest.mark.parametrize(
    ("preset", "algorithm", "counts", "total", "num_seeds"),
    [
        ("default", None, ("steps", 40, 2), (3750, 150_000), 16),
        ("general", "q-actor-critic", ("steps", 128, 8), (2343, 299_904), 16),
        # A3C has the environments of all its workers.
        ("general", "a3c", ("steps", 4 * 8 * 5, 4 * 8), (1875, 300_000), 16),
        ("article", None, ("episodes", 1, 1), (3000, 3000), 1),
    ],
)
def test_the_job_of_a_preset(preset, algorithm, counts, total, num_seeds):
    job = make_job(default_config(preset, algorithm))
    assert (job.unit, job.per_update, job.num_envs) == counts
    assert (job.num_updates, job.units_per_seed) == total
    assert job.seeds == tuple(range(num_seeds))
    assert job.env.max_episode_steps == (200 if "article" in preset else 500)
    told = "not a multiple of the 128 steps of an update: 299,904 steps (2,343 updates) are run."
    assert len(job.notices) == sum(told in notice for notice in job.notices) == (counts[1] == 128)


@pytest.mark.parametrize(
    ("changes", "preset"),
    [
        ({}, "default"),
        ({"algorithm": "gae"}, "general"),
        ({"env": "Acrobot-v1"}, "acrobot"),
        ({"env": "Acrobot-v1", "algorithm": "a2c"}, "general"),
        ({"env": "Acrobot-v1", "algorithm": "gae"}, "acrobot"),
        ({"env": "minatar/Seaquest"}, "minatar"),
        ({"env": "FourRooms-misc"}, "general"),
        ({"env": "Acrobot-v1", "preset": "stable_baselines3"}, "stable_baselines3"),
    ],
)
def test_the_default_preset_is_for_what_it_was_found_on(changes, preset):
    flags = [text for name, value in changes.items() for text in (f"--{name}", value)]
    assert configure(**changes).preset == parse_train(flags).preset == preset
    if not changes:
        assert TrainConfig() == configure() == parse_train([])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_brings_the_environment_that_it_was_found_on(preset):
    env, *_ = DEFAULT_FOR.get(preset, ["CartPole-v1"])
    assert default_config(preset, None).env == parse_train(["--preset", preset]).env == env
    elsewhere = parse_train(["--preset", preset, "--env", "Catch-bsuite"])
    assert (elsewhere.preset, elsewhere.env) == (preset, "Catch-bsuite")


def test_every_environment_with_a_preset_exists_and_has_only_one():
    names = [name for group in DEFAULT_FOR.values() for name in group]
    assert len({*names}) == len(names)
    assert {f"minatar/{game}" for game in GAMES} <= {*names}
    names = [name for name in names if not name.startswith("brax/")]  # see test_suites.py
    assert [a2c.make_env(name).name for name in names] == names


def test_a_seed_has_the_same_key_alone_and_among_others():
    among = make_job(TrainConfig(seed=3, num_seeds=4)).keys
    assert_identical(among[2:3], make_job(TrainConfig(seeds=(5,))).keys)
    assert_identical(among[2], jax.random.key(5))


# Settings of the algorithm out of their range are in test_presets.py.
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"num_seeds": 0}, "num_seeds is 0; give"),
        ({"num_seeds": 2**32 - 1}, "num_seeds is 4294967295; give at most 1,000,000"),
        ({"seed": -1}, "seed is -1; give"),
        ({"seed": 2**32 - 1}, "seed is 4294967296; give"),
        ({"seeds": ()}, "seeds is empty; name"),
        ({"seeds": (1, 2, 1)}, "seeds holds 1 more than once; name"),
        ({"batch_size": 0}, "batch_size is 0; give"),
        ({"env": "Cartpole"}, "There is no environment 'Cartpole'; the nearest names"),
        ({"max_episode_steps": 0}, "max_episode_steps is 0; give"),
        ({"total_steps": 10}, "total_steps is 10, less than the 40"),
        ({"num_envs": 1, "num_steps": 1}, "normalize_advantages is True, but num_envs * num_st"),
        ({"env": "Pendulum-v1", "algorithm": "q-actor-critic"}, "Pendulum-v1 has the action space"),
        (
            {"preset": "article", "algorithm": "gae"},
            "algorithm is 'gae', but preset is 'article', and",
        ),
        ({"algorithm": "article", "preset": "general"}, "algorithm is 'article', but preset is"),
        ({"network": print}, "network is <built-in function print>; give a name, or a function to"),
        ({"preset": "article", "num_envs": 4}, "There is no setting 'num_envs'"),
        ({"network": "gruu"}, "There is no network 'gruu'; did you mean gru?"),
        ({"learning_rat": 1.0}, "There is no setting 'learning_rat'; did you mean learning_rate"),
        ({"method": None}, "There is no setting 'method'; "),
    ],
)
def test_bad_input_is_one_sentence(config, sentence):
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}.*\.\Z"):
        make_job(configure(**config) if isinstance(config, dict) else config)


@pytest.mark.parametrize(
    ("owner", "setting", "value", "flag"),
    [
        ("gae", "gae_lambda", 0.9, "--gae-lambda=0.9"),
        ("q-actor-critic", "expected", True, "--expected"),
        ("a3c", "num_workers", 2, "--num-workers=2"),
        ("a3c", "shared_statistics", False, "--no-shared-statistics"),
    ],
)
def test_a_setting_is_refused_by_every_method_but_its_own(owner, setting, value, flag):
    flags = {name: ["--preset", "default", "--algorithm", name, flag] for name in METHODS}
    config = configure("default", owner, **{setting: value})
    assert getattr(config.settings, setting) == value
    assert parse_train(flags[owner]).settings == config.settings
    for name in {*METHODS} - {owner}:
        with pytest.raises(ValueError, match=f"^There is no setting '{setting}'; ") as error:
            configure("default", name, **{setting: value})
        known = str(error.value).split("choose one of: ")[1]
        assert "num_seeds, " in known
        assert setting not in known
        with pytest.raises(
            ValueError,
            match=f"^{flag.split('=')[0].replace('no-', '')} is given, but algorithm {name} w",
        ):
            parse_train(flags[name])


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a2d", "did you mean a2c? "), ("baseline", "did you mean reinforce-with"), ("zzz", "choose")],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all(name, hint):
    beginning = re.escape(f"There is no algorithm '{name}'; {hint}")
    with pytest.raises(ValueError, match=rf"^{beginning}.*: {', '.join(METHODS)}\.\Z"):
        checks.known_name("algorithm", name, METHODS)


def test_numbers_of_any_library_and_of_flags_become_what_they_mean():
    config = configure(
        total_steps=1e4, num_seeds=np.int64(2), num_steps=20.0, hidden_sizes=(np.int64(4), 8.0),
        learning_rate=np.float32(0.5), batch_size=4.0, seed=jax.numpy.int32(3),
    )  # fmt: skip
    flags = "--total-steps=1e4 --num-steps=20 --hidden-sizes 4e0 8 --learning-rate=5e-1 "
    told = parse_train((flags + "--num-seeds=2 --batch-size=4 --seed=3").split())
    for each, settings in ((config, config.settings), (told, told.settings)):
        assert repr((settings.total_steps, settings.num_steps)) == "(10000, 20)"
        assert repr((settings.hidden_sizes, settings.learning_rate)) == "((4, 8), 0.5)"
        assert repr((each.num_seeds, each.batch_size, each.seed)) == "(2, 4, 3)"
    assert configure(seeds=np.arange(3)).seeds == (0, 1, 2)
    for bad in ({"num_envs": 2.5}, {"normalize_advantages": 1}, {"env": object()}, {"seed": "0"}):
        (name,) = bad
        with pytest.raises(ValueError, match=f"{name} is "):
            configure(**bad)
