"""Runs of an algorithm of one's own, and runs that start from another run's parameters."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest
from comparing import assert_identical, assert_same_run

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.run.initial import started_from
from a2c_jax.experiment.run.job import make_job

ENV = a2c.make_env("CartPole-v1", max_steps_in_episode=30)
NETWORK = a2c.mlp_actor_critic(ENV, (8,))
ALGORITHM = a2c.actor_critic(ENV, NETWORK, optax.adam(1e-2), num_envs=4, num_steps=5)
# Of any length, a run compiles the chunk of 20 updates.
ONE_PROGRAM = ("a2c_jax.experiment.run.chunks.chunk_length", lambda *_: 20)
OWN = {"algorithm": ALGORITHM, "network": NETWORK, "env": ENV, "num_seeds": 2}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(*ONE_PROGRAM)
        return experiment.train_run(**OWN, total_steps=800, out=out)


@pytest.mark.slow("bits")
def test_it_is_trained_saved_resumed_and_loaded_bit_for_bit(own, tmp_path, monkeypatch):
    monkeypatch.setattr(*ONE_PROGRAM)
    keys = jax.vmap(jax.random.key)(np.arange(2))
    result = a2c.train_seeds(ALGORITHM, keys, 40)
    assert_identical(own.metrics, jax.tree.map(np.asarray, result.metrics))
    config = experiment.configure(**OWN, total_steps=400, out=tmp_path / "run")
    half = experiment.train_run(config)
    assert half.summary["num_updates"] == 20
    assert_same_run(experiment.resume_run(half.folder, 800, config=config), own)
    loaded = experiment.load_run(
        half.folder, dataclasses.replace(config, settings=own.config.settings)
    )
    assert_same_run(loaded, own)


def test_it_is_evaluated_plotted_and_replayed_as_any_run(own, tmp_path):
    assert experiment.evaluate_run(own, 3).returns.shape == (2, 3)
    paths, _ = experiment.plot_runs({"mine": own}, tmp_path)
    assert "returns.png" in {path.name for path in paths}
    page = experiment.write_replay(tmp_path, own, experiment.record_run(own, num_episodes=1))
    assert "CartPole-v1" in page[0].read_text()
    assert own.policy(1)(np.zeros(4, np.float32)).shape == ()
    assert (own.folder / "learning_curve.png").is_file()


def test_whoever_loads_it_gives_the_algorithm_again(own, capsys):
    for load in (experiment.load_run, experiment.resume_run):
        with pytest.raises(ValueError, match="the algorithm is one's own, which no file imports"):
            load(own.folder, env=ENV)
    assert cli.main(["train", "--resume", str(own.folder)]) == 2
    assert "which no file imports" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, "network is missing"),
        ({"total_steps": None}, "total_steps is missing"),
        ({"total_steps": 19}, "less than the 20 of a single update"),
        ({"learning_rate": 1e-3}, "no setting of an algorithm of one's own 'learning_rate'"),
        ({"max_episode_steps": 5}, "no setting of an algorithm of one's own 'max_episode_steps'"),
        ({"network": a2c.mlp_actor_critic(ENV, (9,))}, "network has other parameters than those"),
        ({"preset": "general"}, "no setting of an algorithm of one's own 'preset'"),
        (
            {"algorithm": ALGORITHM._replace(step=lambda state: (state, 0.0))},
            "metrics of ShapeDtypeStruct; return a2c_jax.Metrics",
        ),
        (
            {
                "algorithm": ALGORITHM._replace(
                    init=lambda key: {"inner": ALGORITHM.init(key)},
                    step=lambda state: (state, ALGORITHM.step(state["inner"])[1]),
                )
            },
            "a state of dict without agent",
        ),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_written(changes, message, tmp_path):
    given = {**OWN, "total_steps": 40, **changes, "out": tmp_path / "run"}
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(experiment.BadInput, match=message):
        experiment.train_run(**given)
    assert not list(tmp_path.iterdir())


def test_the_best_seed_has_not_diverged(own):
    other = own._replace(summary=own.summary | {"diverged_seeds": [own.best_seed]})
    assert {own.best_seed, other.best_seed} == {0, 1}


SMALL = {"preset": "general", "hidden_sizes": (8,), "num_seeds": 2, "total_steps": 400}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    out = tmp_path_factory.mktemp("source") / "run"
    return experiment.train_run(**SMALL, max_episode_steps=40, out=out)


def test_a_run_starts_from_another_runs_parameters_and_resumes(source, tmp_path):
    config = experiment.configure(**SMALL, seed=5, init_from=source.folder, out=tmp_path / "run")
    start = jax.jit(started_from(config, make_job(config)).algorithm.init)(jax.random.key(1))
    row = int(np.argmax(source.summary["final_returns"]))
    assert source.best_seed == source.job.seeds[row]
    assert_identical(start.params, jax.tree.map(lambda leaf: leaf[row], source.state.params))
    other = dataclasses.replace(config, init_seed=source.job.seeds[1 - row])
    start = jax.jit(started_from(other, make_job(other)).algorithm.init)(jax.random.key(1))
    assert_identical(start.params, jax.tree.map(lambda leaf: leaf[1 - row], source.state.params))
    run = experiment.train_run(config)
    alone = a2c.train_seeds(
        run.job.algorithm, run.job.keys, 10,
        params=jax.tree.map(lambda leaf: leaf[row], source.state.params),
    )  # fmt: skip
    np.testing.assert_array_equal(run.metrics.entropy, alone.metrics.entropy)
    assert json.loads((run.folder / "config.json").read_text())["init_from"] == str(source.folder)
    moved = source.folder.rename(source.folder.parent / "moved")
    longer = ["--total-steps", "800"]
    assert cli.main(["train", "--resume", str(run.folder), *longer]) == 0, "not read again"
    moved.rename(source.folder)
    flags = ["--preset", "general", "--hidden-sizes", "8", "--num-seeds", "2", "--seed", "5"]
    again = ["--init-from", str(source.folder), "--out", str(tmp_path / "again")]
    assert cli.main(["train", *flags, *again, "--total-steps", "800"]) == 0
    one, other = (experiment.load_run(tmp_path / name) for name in ("run", "again"))
    np.testing.assert_array_equal(one.metrics.entropy[:, :10], run.metrics.entropy)
    assert one.summary["num_updates"] == other.summary["num_updates"] == 20


def test_a_run_that_cannot_be_started_from_is_named(source, tmp_path, capsys):
    def refused(*flags):
        out = tmp_path / "run"
        general = ["--preset", "general", "--total-steps", "40", "--out", str(out)]
        assert cli.main(["train", *general, *flags]) == 2
        assert not out.exists()
        return capsys.readouterr().err

    folder = str(source.folder)
    other = refused("--init-from", folder)
    assert "where hidden_sizes is [8], and here it is [64, 64]; give its preset" in other
    assert f"--config {folder}/config.json" in other
    scaled = refused("--init-from", folder, "--hidden-sizes", "8", "--value-scale", "2")
    assert "where value_scale is 1.0, and here it is 2.0" in scaled, "the same parameters"
    missing = refused("--init-from", folder, "--hidden-sizes", "8", "--init-seed", "9")
    assert "init_seed is 9, which the run did not train; it has 0, 1." in missing
    assert "which cannot be read" in refused("--init-from", str(tmp_path / "none"))
    assert "init_seed is 1, but init_from is missing" in refused("--init-seed", "1")
    sweep = ["sweep", "--config", folder + "/config.json", "--over", "discount=0.9,0.99"]
    config = json.loads((source.folder / "config.json").read_text()) | {"init_from": folder}
    (tmp_path / "config.json").write_text(json.dumps(config))
    sweep[2] = str(tmp_path / "config.json")
    assert cli.main(sweep) == 2
    assert "the seeds of a sweep draw their parameters" in capsys.readouterr().err
