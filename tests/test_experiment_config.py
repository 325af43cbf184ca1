import dataclasses

import jax
import numpy as np
import pytest

from a2c_jax import presets
from a2c_jax.experiment.config import TrainConfig, resolve


def with_settings(**settings):
    return TrainConfig(settings=dataclasses.replace(presets.default, **settings))


def test_the_default_job():
    job = resolve(TrainConfig())
    assert job.seeds == tuple(range(16))
    assert job.num_updates == 7500
    assert job.steps_per_seed == 300_000
    assert job.notices == ()


def test_a_seed_has_the_same_key_alone_and_among_others():
    among = resolve(TrainConfig(seed=3, num_seeds=4)).keys
    alone = resolve(TrainConfig(seeds=(5,))).keys
    np.testing.assert_array_equal(
        jax.random.key_data(among)[2], jax.random.key_data(alone)[0]
    )  # fmt: skip
    np.testing.assert_array_equal(
        jax.random.key_data(alone)[0], jax.random.key_data(jax.random.key(5))
    )


def test_a_total_that_does_not_divide_says_what_is_run():
    job = resolve(with_settings(total_steps=1001))
    assert job.steps_per_seed == 1000
    assert job.notices == (
        "total_steps=1,001 is no multiple of the 40 steps of an update: "
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
        (TrainConfig(env="Pendulum-v1"), "Pendulum-v1 has the continuous action space .*not"),
        (TrainConfig(max_episode_steps=0), "max_episode_steps is 0; give"),
        (with_settings(num_envs=0), "num_envs is 0; give"),
        (with_settings(total_steps=10), "total_steps is 10, less than the 40"),
        (with_settings(learning_rate=float("nan")), "learning_rate is nan; give"),
        (with_settings(discount=1.01), "discount is 1.01; give"),
    ],
)
def test_bad_input_is_one_sentence(config, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}") as error:
        resolve(config)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
