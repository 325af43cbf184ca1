"""Runs of a custom algorithm, and runs that start from another run's parameters."""

import json
import shutil

import jax
import numpy as np
import optax
import pytest
from comparing import assert_identical, assert_same_bits, assert_same_run

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.train import started_from

ENV = a2c.make_env("CartPole-v1", max_steps_in_episode=30)
NETWORK = a2c.mlp_actor_critic(ENV, (8,))
ALGORITHM = a2c.actor_critic(ENV, NETWORK, optax.adam(1e-2), num_envs=4, num_steps=5)
OWN = {"algorithm": ALGORITHM, "network": NETWORK, "env": ENV, "num_seeds": 2}
TINY = {"num_seeds": 2, "hidden_sizes": (4,), "total_steps": 800}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run of 20 updates, raised to 40."""
    out = tmp_path_factory.mktemp("own") / "run"
    config = experiment.configure(**OWN, total_steps=400, out=out)
    assert experiment.train_run(config).summary["num_updates"] == 20
    return experiment.resume_run(out, 800, config=config)


@pytest.mark.bits
def test_it_is_trained_saved_resumed_and_loaded_as_the_function_trains_it(own):
    keys = jax.vmap(jax.random.key)(np.arange(2))
    result = a2c.train_seeds(ALGORITHM, keys, 40)
    assert_same_bits(own.metrics, jax.tree.map(np.asarray, result.metrics))
    assert_same_bits(own.state, result.state)
    assert_same_run(experiment.load_run(own.folder, own.config), own)


def test_it_is_plotted_and_replayed_as_any_run(own, tmp_path):
    paths, _ = experiment.plot_runs({"mine": own}, tmp_path)
    assert "returns.png" in {path.name for path in paths}
    page = experiment.write_replay(tmp_path, own, experiment.record_run(own, num_episodes=1))
    assert "CartPole-v1" in page[0].read_text()
    assert own.policy(1)(np.zeros(4, np.float32)).shape == ()
    with pytest.raises(ValueError, match=r"seed is 7, which the run did not train; it has 0, 1\."):
        own.policy(7)
    assert (own.folder / "learning_curve.png").is_file()
    other = own._replace(summary=own.summary | {"diverged_seeds": [own.best_seed]})
    assert {own.best_seed, other.best_seed} == {0, 1}, "the best seed has not diverged"


def test_whoever_loads_it_gives_the_algorithm_again(own, refused):
    for load in (experiment.load_run, experiment.resume_run):
        with pytest.raises(ValueError, match="the algorithm is custom, which no file imports"):
            load(own.folder, env=ENV)
    assert "which no file imports" in refused("train", "--resume", own.folder)


NO_METRICS = ALGORITHM._replace(step=lambda state: (state, 0.0))
NO_AGENT = ALGORITHM._replace(
    init=lambda key: {"inner": ALGORITHM.init(key)},
    step=lambda state: (state, ALGORITHM.step(state["inner"])[1]),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, "network is missing"),
        ({"total_steps": None}, "total_steps is missing"),
        ({"total_steps": 19}, "less than the 20 of a single update"),
        ({"max_episode_steps": 5}, "no setting of a custom algorithm 'max_episode_steps'"),
        ({"preset": "general"}, "no setting of a custom algorithm 'preset'"),
        ({"network": a2c.mlp_actor_critic(ENV, (9,))}, "network has other parameters than those"),
        ({"algorithm": NO_METRICS}, "metrics of ShapeDtypeStruct; return a2c_jax.Metrics"),
        ({"algorithm": NO_AGENT}, "a state of dict without agent"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_written(changes, message, tmp_path):
    given = {**OWN, "total_steps": 40, **changes, "out": tmp_path / "run"}
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(experiment.BadInput, match=message):
        experiment.train_run(**given)
    assert not list(tmp_path.iterdir())


def of_row(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def test_a_run_starts_from_another_runs_parameters_and_resumes(tiny_run, tiny_copy, tmp_path):
    """With a rate so low that no parameter moves, those at the end are those at the start."""
    row = int(np.argmax(tiny_run.summary["final_returns"]))
    still = {**TINY, "total_steps": 400, "learning_rate": 1e-30, "final_learning_rate": 1e-30}
    changes = {"seed": 5, "max_episode_steps": 40, "out": tmp_path / "run"}
    run = experiment.train_run(**still, **changes, init_from=tiny_copy)
    assert json.loads((run.folder / "config.json").read_text())["init_from"] == str(tiny_copy)
    words = ["--init-from", str(tiny_copy), "--init-seed", str(tiny_run.job.seeds[1 - row])]
    config = parse_train([*words, "--hidden-sizes", "4"])
    start = jax.jit(started_from(config, make_job(config)).algorithm.init)(jax.random.key(1))
    assert_identical(start.agent, of_row(tiny_run.state.agent, 1 - row))
    shutil.rmtree(tiny_copy)  # is not read again
    resumed = experiment.resume_run(run.folder, 800)
    for ours in range(2):
        assert_identical(of_row(run.state.agent, ours), of_row(tiny_run.state.agent, row))
    assert_identical(run.state.agent, resumed.state.agent)
    assert resumed.summary["num_updates"] == 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "where hidden_sizes is [4], and here it is [64, 64]; give its preset"),
        ("--hidden-sizes 4 --value-scale 2", "where value_scale is 10.0, and here it is 2.0"),
        ("--hidden-sizes 4 --init-seed 9", "init_seed is 9, which the run did not train; it has 0"),
        ("--init-from nowhere", "which cannot be read"),
    ],
)
def test_a_run_that_cannot_be_started_from_is_named(words, sentence, tiny_run, refused, tmp_path):
    out = ["--out", tmp_path / "run"]
    assert sentence in refused("train", "--init-from", tiny_run.folder, *words.split(), *out)
    assert not list(tmp_path.iterdir())


def test_parameters_to_start_from_belong_to_a_run(tiny_run, refused):
    assert "init_seed is 1, but init_from is missing" in refused("train", "--init-seed", "1")
    config = experiment.configure(init_from=tiny_run.folder)
    with pytest.raises(experiment.BadInput, match="seeds of a sweep draw their parameters"):
        experiment.sweep(config, experiment.parse_points(("discount=0.9,0.99",), None, 0))
