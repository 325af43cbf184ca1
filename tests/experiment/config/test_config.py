import itertools
import json

import jax
import pytest
from comparing import assert_identical
from optional_suites import installed

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.algorithms.article import Defects
from a2c_jax.environments.minatar import GAMES
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config.config import (
    TrainConfig,
    checked_name,
    default_config,
    with_method,
)
from a2c_jax.experiment.config.configure import configure
from a2c_jax.experiment.config.describe import describe_settings
from a2c_jax.experiment.config.settings import as_dict
from a2c_jax.experiment.run.job import make_job
from a2c_jax.methods import METHODS
from a2c_jax.presets import FOUND_ON, PRESETS


@pytest.mark.parametrize(
    ("preset", "algorithm", "counts", "total", "num_seeds"),
    [
        ("default", None, ("steps", 40, 2), (3750, 150_000), 16),
        # A3C has the environments of all its workers.
        ("general", "a3c", ("steps", 4 * 8 * 5, 4 * 8), (1875, 300_000), 16),
        ("article", None, ("episodes", 1, 1), (3000, 3000), 1),
        ("article_as_printed", None, ("episodes", 1, 1), (3000, 3000), 1),
    ],
)
def test_the_job_of_a_preset(preset, algorithm, counts, total, num_seeds):
    job = make_job(default_config(preset, algorithm))
    assert (job.unit, job.per_update, job.num_envs) == counts
    assert (job.num_updates, job.units_per_seed) == total
    assert job.seeds == tuple(range(num_seeds))
    assert job.notices == ()
    assert job.env.max_episode_steps == (200 if "article" in preset else 500)


def test_the_default_configuration_is_that_of_the_default_preset():
    assert TrainConfig() == default_config("default", None)


@pytest.mark.parametrize(
    ("changes", "preset"),
    [
        ({}, "default"),
        ({"env": "CartPole-v1", "algorithm": "a2c"}, "default"),
        ({"algorithm": "gae"}, "general"),
        ({"env": "Acrobot-v1"}, "acrobot"),
        ({"env": "Acrobot-v1", "algorithm": "a2c"}, "general"),
        ({"env": "Acrobot-v1", "algorithm": "gae"}, "acrobot"),
        ({"env": "MountainCar-v0", "algorithm": "gae"}, "mountain_car"),
        ({"env": "MountainCar-v0", "algorithm": "a2c"}, "general"),
        ({"env": "Asterix-MinAtar"}, "minatar"),
        ({"env": "minatar/Seaquest"}, "minatar"),
        ({"env": "FourRooms-misc"}, "general"),
        ({"env": "Pendulum-v1"}, "pendulum"),
        ({"env": "MountainCarContinuous-v0"}, "mountain_car_continuous"),
        ({"env": "brax/hopper"}, "brax"),
        ({"env": "Acrobot-v1", "preset": "stable_baselines3"}, "stable_baselines3"),
    ],
)
def test_the_default_preset_is_for_what_it_was_found_on(changes, preset):
    flags = [text for name, value in changes.items() for text in (f"--{name}", value)]
    assert configure(**changes).preset == parse_train(flags).preset == preset


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_brings_the_environment_that_it_was_found_on(preset):
    env, *_ = FOUND_ON.get(preset, ["CartPole-v1"])
    assert default_config(preset, None).env == parse_train(["--preset", preset]).env == env
    elsewhere = parse_train(["--preset", preset, "--env", "Catch-bsuite"])
    assert (elsewhere.preset, elsewhere.env) == (preset, "Catch-bsuite")


def test_every_environment_with_a_preset_exists_and_has_only_one():
    names = [name for group in FOUND_ON.values() for name in group]
    assert len({*names}) == len(names)
    if not installed("brax"):
        names = [name for name in names if not name.startswith("brax/")]
    assert [a2c.make_env(name).name for name in names] == names
    assert {f"minatar/{game}" for game in GAMES} <= {*names}


def test_a_seed_has_the_same_key_alone_and_among_others():
    among = make_job(TrainConfig(seed=3, num_seeds=4)).keys
    assert_identical(among[2:3], make_job(TrainConfig(seeds=(5,))).keys)
    assert_identical(among[2], jax.random.key(5))


def test_a_total_that_does_not_divide_says_what_is_run():
    job = make_job(configure(total_steps=1001))
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
            configure("default", "q-actor-critic", env="Pendulum-v1"),
            "Pendulum-v1 has the action space Box.*Discrete",
        ),
        (TrainConfig(max_episode_steps=0), "max_episode_steps is 0; give"),
        (configure(num_envs=0), "num_envs is 0; give"),
        (configure(total_steps=10), "total_steps is 10, less than the 40"),
        (configure(learning_rate=float("nan")), "learning_rate is nan; give"),
        (configure(discount=1.01), "discount is 1.01; give"),
        (configure("default", "gae", gae_lambda=1.5), "gae_lambda is 1.5; give"),
        (configure("default", "a3c", num_workers=0), "num_workers is 0; give"),
        (configure("default", "a3c", total_steps=159), "total_steps is 159, less than the 160"),
        (configure("article", num_episodes=0), "num_episodes is 0; give"),
        (configure("article", learning_rate=-1.0), "learning_rate is -1.0; give"),
        (configure("article", discount=1.01), "discount is 1.01; give"),
    ],
)
def test_bad_input_is_one_sentence(config, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}") as error:
        make_job(config)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


OWN = {
    "gae": {"gae_lambda": 0.9},
    "q-actor-critic": {"expected": True},
    "a3c": {"num_workers": 2, "random_order": True, "shared_statistics": False},
}


def flags_of(settings):
    switches = {True: "--{}", False: "--no-{}"}
    return [
        switches.get(value, f"--{{}}={value}").format(name.replace("_", "-"))
        for name, value in settings.items()
    ]


@pytest.mark.parametrize("name", METHODS)
def test_a_setting_is_refused_by_every_method_that_does_not_use_it(name, capsys):
    own, told = OWN.get(name, {}), ["--preset", "default", "--algorithm", name]
    config = configure("default", name, **own)
    assert own.items() <= as_dict(config.settings).items()
    assert parse_train([*told, *flags_of(own)]).settings == config.settings
    make_job(config)

    others = {s: v for settings in OWN.values() for s, v in settings.items() if s not in own}
    for setting, value in others.items():
        with pytest.raises(ValueError, match=f"^There is no setting '{setting}'; ") as error:
            configure("default", name, **{setting: value})
        known = str(error.value).split("choose one of: ")[1].removesuffix(".").split(", ")
        assert not others.keys() & {*known}
        assert {"num_seeds", "discount"} <= {*known}
    with pytest.raises(SystemExit) as exit_:
        parse_train([*told, *flags_of(others)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "Unrecognized options" in error
    for flag in flags_of(others):
        assert flag.split("=")[0] in error


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


def test_settings_of_another_preset_or_method_are_refused():
    for preset in ("article", "article_as_printed"):
        sentence = f"^algorithm is 'gae', but preset '{preset}' is .* give --preset article_roll"
        with pytest.raises(ValueError, match=sentence):
            default_config(preset, "gae")
    with pytest.raises(ValueError, match=r"^preset is 'default', but settings is"):
        make_job(TrainConfig(settings=presets.article))
    with pytest.raises(ValueError, match=r"^algorithm is 'gae', but the settings are"):
        make_job(TrainConfig(algorithm="gae"))


def test_all_settings_can_be_written_as_json():
    for name, value in (("article", False), ("article_as_printed", True)):
        described = json.loads(json.dumps(describe_settings(PRESETS[name]), allow_nan=False))
        assert described["defects"] == dict.fromkeys(Defects._fields, value)
    for name, method in itertools.product(("default", "article_rollouts"), METHODS):
        described = describe_settings(with_method(PRESETS[name], method))
        assert described["method"] == method
        json.dumps(described, allow_nan=False)
    assert describe_settings(presets.article_rollouts)["max_grad_norm"] is None
