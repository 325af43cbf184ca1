import dataclasses
import json
import typing

import jax
import numpy as np
import pytest

from a2c_jax import presets
from a2c_jax.algorithms.article import Defects
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config.config import (
    SUITED,
    MethodName,
    PresetName,
    TrainConfig,
    checked_name,
    configure,
    default_config,
    with_method,
)
from a2c_jax.experiment.config.describe import describe_settings
from a2c_jax.experiment.config.settings import as_dict, replace
from a2c_jax.experiment.run.job import make_job
from a2c_jax.methods import METHODS
from a2c_jax.presets import FOUND_ON, PRESETS


def no(flag):
    return flag.replace("--", "--no-")


def with_settings(algorithm=None, **settings):
    config = default_config("default", algorithm)
    return dataclasses.replace(config, settings=replace(config.settings, **settings))


def article_with(**settings):
    config = default_config("article", None)
    return dataclasses.replace(config, settings=replace(config.settings, **settings))


def test_the_default_job():
    job = make_job(TrainConfig())
    assert job.seeds == tuple(range(16))
    assert job.num_updates == 3750
    assert job.units_per_seed == 150_000
    assert (job.unit, job.per_update, job.num_envs) == ("steps", 40, 2)
    assert job.notices == ()


@pytest.mark.parametrize("preset", ["article", "article_as_printed"])
def test_the_articles_job_is_counted_in_episodes(preset):
    job = make_job(default_config(preset, None))
    assert (job.unit, job.per_update, job.num_envs) == ("episodes", 1, 1)
    assert job.num_updates == job.units_per_seed == 3000
    assert job.env.max_episode_steps == 200
    assert job.seeds == (0,)
    assert job.notices == ()


def test_a_job_of_a3c_has_the_environments_of_all_its_workers():
    job = make_job(default_config("general", "a3c"))
    assert (job.per_update, job.num_envs) == (4 * 8 * 5, 4 * 8)
    assert (job.num_updates, job.units_per_seed) == (1875, 300_000)


def test_the_flags_know_every_method_and_preset_in_order():
    assert typing.get_args(MethodName) == tuple(METHODS)
    assert typing.get_args(PresetName) == tuple(PRESETS)


@pytest.mark.parametrize(
    ("changes", "preset"),
    [
        ({}, "default"),
        ({"env": "CartPole-v1", "algorithm": "a2c"}, "default"),
        ({"algorithm": "gae"}, "general"),
        ({"env": "Acrobot-v1"}, "acrobot"),
        ({"env": "Acrobot-v1", "algorithm": "a2c"}, "acrobot"),
        ({"env": "Acrobot-v1", "algorithm": "gae"}, "general"),
        ({"env": "MountainCar-v0", "algorithm": "gae"}, "mountain_car"),
        ({"env": "MountainCar-v0", "algorithm": "a2c"}, "general"),
        ({"env": "Asterix-MinAtar"}, "general"),
        ({"env": "Acrobot-v1", "preset": "stable_baselines3"}, "stable_baselines3"),
    ],
)
def test_the_default_preset_is_for_what_it_was_found_on(changes, preset):
    flags = [text for name, value in changes.items() for text in (f"--{name}", value)]
    assert configure(**changes).preset == parse_train(flags).preset == preset


@pytest.mark.parametrize("preset", ["default", "general", "stable_baselines3", "article_rollouts"])
def test_a_method_changes_only_what_suits_it(preset):
    for name, method in METHODS.items():
        settings = with_method(PRESETS[preset], name)
        suited = {"method": method, **SUITED.get(name, {})}
        assert settings == dataclasses.replace(PRESETS[preset], **suited)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_brings_the_environment_that_it_was_found_on(preset):
    env = FOUND_ON.get(preset, "CartPole-v1")
    for config in (default_config(preset, None), parse_train(["--preset", preset])):
        assert make_job(config).env.name == env
    elsewhere = parse_train(["--preset", preset, "--env", "Catch-bsuite"])
    assert (elsewhere.preset, elsewhere.env) == (preset, "Catch-bsuite")


def test_no_two_presets_were_found_on_the_same_environment():
    assert len(set(FOUND_ON.values())) == len(FOUND_ON)


def test_a_seed_has_the_same_key_alone_and_among_others():
    among = make_job(TrainConfig(seed=3, num_seeds=4)).keys
    alone = make_job(TrainConfig(seeds=(5,))).keys
    np.testing.assert_array_equal(
        jax.random.key_data(among)[2], jax.random.key_data(alone)[0]
    )  # fmt: skip
    np.testing.assert_array_equal(
        jax.random.key_data(alone)[0], jax.random.key_data(jax.random.key(5))
    )


def test_a_total_that_does_not_divide_says_what_is_run():
    job = make_job(with_settings(total_steps=1001))
    assert job.units_per_seed == 1000
    assert job.notices == (
        "total_steps=1,001 is not a multiple of the 40 steps of an update: "
        "1,000 steps (25 updates) are run.",
    )


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (TrainConfig(num_seeds=0), "num_seeds is 0; give"),
        (TrainConfig(seed=-1), "seed is -1; give"),
        (TrainConfig(seed=2**32 - 1), "seed is 4294967296; give"),
        (TrainConfig(seeds=(1, 2, 1)), "seeds holds 1 more than once; name"),
        (TrainConfig(batch_size=0), "batch_size is 0; give"),
        (TrainConfig(env="Cartpole"), "There is no environment 'Cartpole'; .*CartPole-v1"),
        (
            dataclasses.replace(with_settings("q-actor-critic"), env="Pendulum-v1"),
            "Pendulum-v1 has the action space Box.*Discrete",
        ),
        (TrainConfig(max_episode_steps=0), "max_episode_steps is 0; give"),
        (with_settings(num_envs=0), "num_envs is 0; give"),
        (with_settings(total_steps=10), "total_steps is 10, less than the 40"),
        (with_settings(learning_rate=float("nan")), "learning_rate is nan; give"),
        (with_settings(discount=1.01), "discount is 1.01; give"),
        (with_settings("gae", gae_lambda=1.5), "gae_lambda is 1.5; give"),
        (with_settings("a3c", num_workers=0), "num_workers is 0; give"),
        (with_settings("a3c", total_steps=159), "total_steps is 159, less than the 160"),
        (article_with(num_episodes=0), "num_episodes is 0; give"),
        (article_with(learning_rate=-1.0), "learning_rate is -1.0; give"),
        (article_with(discount=1.01), "discount is 1.01; give"),
    ],
)
def test_bad_input_is_one_sentence(config, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}") as error:
        make_job(config)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("setting", "value", "users"),
    [
        ("gae_lambda", 0.9, ["gae"]),
        ("expected", True, ["q-actor-critic"]),
        ("num_workers", 2, ["a3c"]),
        ("random_order", True, ["a3c"]),
        ("shared_statistics", False, ["a3c"]),
    ],
)
def test_a_setting_is_refused_by_every_method_that_does_not_use_it(setting, value, users, capsys):
    flag = f"--{setting.replace('_', '-')}"
    flags = [f"{flag}={value}"] if not isinstance(value, bool) else [flag if value else no(flag)]
    for name in METHODS:
        told = ["--algorithm", name, *flags]
        if name in users:
            config = configure("default", name, **{setting: value})
            assert as_dict(config.settings)[setting] == value
            assert parse_train(["--preset", "default", *told]).settings == config.settings
            make_job(config)
            continue
        with pytest.raises(ValueError, match=f"^There is no setting '{setting}'; ") as error:
            configure("default", name, **{setting: value})
        known = str(error.value).split("choose one of: ")[1].removesuffix(".").split(", ")
        assert setting not in known
        assert {"num_seeds", "discount"} <= {*known}
        with pytest.raises(SystemExit) as exit_:
            parse_train(told)
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert "Unrecognized options" in error
        assert flags[0].split("=")[0] in error


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a2d", "did you mean a2c? "), ("baseline", "did you mean reinforce-with"), ("zzz", "")],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all(name, hint):
    with pytest.raises(ValueError, match=f"^There is no algorithm '{name}'; ") as error:
        checked_name("algorithm", name, METHODS)
    assert hint in str(error.value)
    assert ("did you mean" in str(error.value)) == bool(hint)
    assert str(error.value).endswith(f"choose one of: {', '.join(METHODS)}.")


@pytest.mark.parametrize("preset", ["article", "article_as_printed"])
def test_the_articles_loop_takes_no_algorithm(preset):
    sentence = f"^algorithm is 'gae', but preset '{preset}' is .* give --preset article_rollouts"
    with pytest.raises(ValueError, match=sentence):
        default_config(preset, "gae")


def test_settings_of_another_preset_or_method_are_refused():
    with pytest.raises(ValueError, match=r"^preset is 'default', but settings is"):
        make_job(TrainConfig(settings=presets.article))
    with pytest.raises(ValueError, match=r"^algorithm is 'gae', but the settings are"):
        make_job(TrainConfig(algorithm="gae"))


def test_all_settings_can_be_written_as_json():
    for name in ("article", "article_as_printed"):
        described = json.loads(json.dumps(describe_settings(PRESETS[name]), allow_nan=False))
        as_printed = name == "article_as_printed"
        assert described["defects"] == dict.fromkeys(Defects._fields, as_printed)
    for name in ("default", "general", "stable_baselines3", "article_rollouts"):
        for method in METHODS:
            described = describe_settings(with_method(PRESETS[name], method))
            assert described["method"] == method
            json.dumps(described, allow_nan=False)
    assert describe_settings(presets.article_rollouts)["max_grad_norm"] is None
