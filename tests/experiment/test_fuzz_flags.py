"""Random settings, right and wrong: a job that comes back from JSON, or an error that names it."""

import collections
import dataclasses
import functools
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from a2c_jax import experiment
from a2c_jax.experiment.cli.flags import parse_sweep, parse_train
from a2c_jax.experiment.config import UNSAVED, TrainConfig, fields_of, read_config, used_settings
from a2c_jax.experiment.files import json_writer
from a2c_jax.experiment.run.job import describe_job, make_job

TEXTS = (
    "1", "7", "4 9", "0.5", "20.0", "1e4", "1e-3", "nan", "inf", "-inf", "1e400", "1e-400", "-0",
    "0", "-1", "1e15", "1000000000000000", "9" * 400, "", " ", "ü", "٣", "1_0", "[bold]", "[/x]",
    "{x}", "%s", "None", "True", "CartPole-v1", "gae", "a\nb", "\udcff", "--", "a2c", "0x10",
)  # fmt: skip
VALUES = (
    *TEXTS, 1, 7, 64, 0, -1, 10**15, 10**30, 10**400, 0.5, 1e-3, 1e4, 20.0, -0.0, 1e15,
    float("nan"), float("inf"), True, None, np.float32(0.5), np.int64(3), np.float64("nan"),
    np.bool_(True), np.array(3), np.array([3, 4]), np.ones((2, 2)), jnp.array(0.25), jnp.array(7),
    jnp.array([2, 3]), (), [], [5], (4, 8.0), [0.5], [np.int32(4)], [jnp.array(4)], [[1]], {},
    {"a": 1}, {1, 2}, range(3), object(), print, int, lambda: 0, b"1", 1j,
)  # fmt: skip
# A message may name the setting that this one decides, excludes or is an item of.
ALSO = {"num_envs": "total_steps", "num_steps": "total_steps", "num_workers": "total_steps",
        "seeds": "seed", "env": "observation_scale"}  # fmt: skip
STARTS = ({}, {"algorithm": "gae"}, {"algorithm": "a3c"}, {"algorithm": "q-actor-critic"},
          {"preset": "article"}, {"env": "Acrobot-v1"})  # fmt: skip
NOT_IN_JSON = {*fields_of(TrainConfig)} - {*fields_of(TrainConfig, UNSAVED)}
TIMES = pytest.mark.parametrize("times", [1, pytest.param(6, marks=pytest.mark.slow("fuzz"))])


def settings_of(start):
    config = experiment.configure(**start)
    values = vars(config) | vars(config.settings)
    names = {*fields_of(TrainConfig, UNSAVED)} | used_settings(config.settings)
    return {name: values[name] for name in sorted(names)}


def outcome(make, names, path):
    """Makes a job, and compares its configuration with that from its file; or checks the error."""
    try:
        config = make()
        job = make_job(config)
    except SystemExit as error:
        return f"exit {error.code}"
    except ValueError as error:
        message, known = str(error), {*names, *map(ALSO.get, names)} - {None}
        flags = {name.replace("_", "-") for name in known}
        is_right = "\n" not in message and any(name in message for name in known | flags)
        return "error" if is_right else message
    with path.open("wb") as file:
        json_writer(describe_job(config, job))(file)
    assert read_config(path) == dataclasses.replace(config, **dict.fromkeys(NOT_IN_JSON))
    return "job"


@TIMES
def test_a_value_from_python_makes_a_job_or_an_error_that_names_it(tmp_path, times):
    order, outcomes = np.random.default_rng(0).permutation(len(VALUES)), collections.Counter()
    values = itertools.cycle(VALUES[i] for i in order)
    for start in STARTS:
        for name in settings_of(start):
            for value in itertools.islice(values, 2 * times):
                make = functools.partial(experiment.configure, **{**start, name: value})
                outcomes[outcome(make, [name], tmp_path / "config.json")] += 1
    assert set(outcomes) == {"job", "error"}
    assert min(outcomes.values()) > 22 * times


def random_flags(dice, start):
    """Flags, one or two of them random, and the names of all."""
    known, flags = settings_of(start), []
    names = [*start, *dice.choice(sorted(known.keys() - start), dice.integers(1, 3), False)]
    for name in names:
        suited = {int: ("7", "64"), float: ("0.5", "1e-3"), tuple: ("4 9",)}.get(
            type(known.get(name))
        )
        texts = suited if suited and dice.random() < 0.6 else TEXTS
        text = start.get(name, texts[dice.integers(len(texts))])
        flags += [f"--{name.replace('_', '-')}", *(text.split() if text == "4 9" else [text])]
    return flags, names


@TIMES
def test_flags_make_a_job_or_an_error_that_names_one(tmp_path, times):
    dice, outcomes = np.random.default_rng(0), collections.Counter()
    parsers = [lambda flags: parse_sweep(flags)[1], *[parse_train] * 4]
    for number in range(60 * times):
        flags, names = random_flags(dice, STARTS[number % len(STARTS)])
        make = functools.partial(parsers[number % len(parsers)], flags)
        outcomes[outcome(make, names, tmp_path / "config.json")] += 1
    assert {"job", "exit 2"} <= set(outcomes) <= {"job", "error", "exit 2"}
    assert min(outcomes["job"], outcomes["exit 2"]) > 5 * times
