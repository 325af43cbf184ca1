"""Sweeps: points, the program that trains them, and the files they write."""

import dataclasses
import functools
import io
import json

import jax
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config import read_config
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.statistics.learning import final_returns
from a2c_jax.experiment.sweeps import sweep as sweeping
from a2c_jax.experiment.sweeps.points import Points, parse_points, settings_at, traced_settings
from a2c_jax.presets import PRESETS
from a2c_jax.types import Metrics

SMALL = {"num_seeds": 2, "hidden_sizes": (4,), "total_steps": 400}


@pytest.fixture(scope="module")
def result():
    points = experiment.grid({"learning_rate": (1e-5, 1e-2), "discount": (0.5, 0.9)})
    return experiment.sweep(experiment.configure(**SMALL), points)


def untrained(job, *, on_chunk, should_stop, missing=0):
    """In place of training: made-up metrics, of fewer updates than asked for if ``missing``."""
    shape = (job.layout.num_seeds, 0 if should_stop() else job.num_updates - missing)
    numbers = np.random.default_rng(0).uniform(1, 2, (len(Metrics._fields), *shape))
    outcome = Outcome([], Metrics(*numbers.astype(np.float32)), 1.0, 1.0)
    on_chunk(outcome)
    return outcome


def test_draws_are_distributed_as_configured():
    axes = {"learning_rate": experiment.Range(1e-4, 1e-2, log=True),
            "discount": experiment.Range(0.8, 1.0), "entropy_coef": (0.0, 0.1)}  # fmt: skip
    points, again = (experiment.random_draws(axes, 4000, seed=1) for _ in range(2))
    rates, discounts, coefficients = points.values.values()
    assert (points.shape, set(coefficients)) == (None, {0.0, 0.1})
    assert 1e-4 <= rates.min() < rates.max() <= 1e-2
    assert abs(np.log10(rates).mean() + 3) < 0.05  # standard error 0.01
    assert abs(discounts.mean() - 0.9) < 0.005
    np.testing.assert_array_equal(discounts, again.values["discount"])


def test_points_are_parsed_and_the_last_setting_varies_fastest():
    points = parse_points(["learning-rate=1e-4:1e-2:3:log", "discount=0.9,0.99"], None)
    assert (points.shape, len(points)) == ((3, 2), 6)
    np.testing.assert_allclose(points.values["learning_rate"], np.repeat([1e-4, 1e-3, 1e-2], 2))
    assert points.values["discount"].tolist() == [0.9, 0.99] * 3
    quarters = parse_points(["discount=0:1:5"], None).values["discount"]
    assert quarters.tolist() == [0, 0.25, 0.5, 0.75, 1]
    drawn = parse_points(["discount=0.9:1", "learning_rate=1e-4:1e-2:log"], 7)
    assert (len(drawn), drawn.shape) == (7, None)
    assert np.ptp(np.log(drawn.values["learning_rate"])) > 1


def test_every_number_can_be_swept():
    names = [
        "discount", "value_coef", "entropy_coef", "final_entropy_coef", "learning_rate",
        "final_learning_rate", "rate_power", "max_grad_norm", "optimizer_decay", "optimizer_eps",
        "policy_init", "log_std", "value_scale",
    ]  # fmt: skip
    assert traced_settings(PRESETS["default"]) == names
    assert traced_settings(experiment.configure(algorithm="gae").settings) == [*names, "gae_lambda"]
    article = [name for name in names if "final" not in name]
    assert traced_settings(PRESETS["article"]) == [
        name for name in article if name not in ("rate_power", "max_grad_norm", "policy_init")
    ]


def test_every_swept_number_reaches_the_program(cartpole):
    """Each changes the numbers of a run, although the program is the same."""
    config = experiment.configure(
        "pendulum", env="Pendulum-v1", num_seeds=1, total_steps=1024, hidden_sizes=(4,),
        normalize_rewards=False, max_grad_norm=0.5, final_entropy_coef=0.1, entropy_coef=0.1,
    )  # fmt: skip
    names = traced_settings(config.settings)
    changed = {
        "optimizer_decay": 0.9, "discount": 0.5, "final_entropy_coef": 0.9, "gae_lambda": 0.1,
        "final_learning_rate": 2e-3, "log_std": -1.0,
    }  # fmt: skip
    at = {name: getattr(config.settings, name) for name in names}
    at["optimizer_decay"] = 0.99
    rows = [at, *({**at, name: changed.get(name, 3 * at[name])} for name in names)]
    points = Points({n: np.array([row[n] for row in rows], float) for n in names}, None)
    result = sweeping.sweep(config, points)
    losses = result.curves.reshape(len(rows), -1)[:, -1]
    assert len(rows) == len(names) + 1 == 15
    assert (losses[1:] != losses[0]).all(), [*zip(names, losses, strict=False)]


def test_names_and_a_number_are_swept_together_with_a_program_for_each_name(capsys):
    points = parse_points(["optimizer=adam,rmsprop", "learning-rate=1e-3,1e-2"], None)
    config = experiment.configure(**SMALL)
    result = experiment.sweep(config, points)
    assert result.points.values["optimizer"].tolist() == ["adam"] * 2 + ["rmsprop"] * 2
    one = experiment.configure(**SMALL, optimizer="adam", learning_rate=1e-2)
    assert result.config_at(1) == one
    alone = final_returns(a2c.train_seeds(make_job(one).algorithm, make_job(one).keys, 10).metrics)
    np.testing.assert_allclose(result.final_returns[1], alone, rtol=1e-6)
    rows = sweeping.table_rows(result)
    assert {row[0] for row in rows[1:]} == {"adam", "rmsprop"}
    file = io.BytesIO()
    sweeping.draw_sweep(file, result)
    flags = parse_points(["normalize_advantages=true,false"], None)
    of_two = {n: getattr(result, n)[:2] for n in ("final_returns", "mean_returns", "finite")}
    sweeping.draw_sweep(file, result._replace(points=flags, **of_two))
    assert flags.at(0) == {"normalize_advantages": True}
    assert parse_points(["memory_size=4,8"], None).at(0) == {"memory_size": 4.0}
    stops = iter([0, 0, 0])  # chunks of 1, 8 and 1 updates of the first program
    stopped = experiment.sweep(config, points, should_stop=lambda: next(stops, 2))
    assert (stopped.num_updates, stopped.finished) == (0, False)
    assert np.isfinite(stopped.final_returns[:2]).all()
    assert np.isnan(stopped.final_returns[2:]).all()


def test_the_last_rate_and_entropy_coefficient_follow_the_first_ones():
    constant = PRESETS["stable_baselines3"]
    assert settings_at(constant, {"learning_rate": 1.0}).final_learning_rate == 1.0
    assert settings_at(PRESETS["default"], {"learning_rate": 1.0}).final_learning_rate == 0.0
    values = {"learning_rate": 1.0, "final_learning_rate": 0.5}
    assert settings_at(constant, values).final_learning_rate == 0.5
    assert settings_at(constant, {"entropy_coef": 1.0}).final_entropy_coef is None
    halved = dataclasses.replace(constant, entropy_coef=0.2, final_entropy_coef=0.1)
    assert settings_at(halved, {"entropy_coef": 1.0}).final_entropy_coef == 0.5


def test_a_point_is_the_run_with_its_settings(result):
    """Up to rounding, which training amplifies: compared early, by every seed's returns."""
    config = experiment.configure(**SMALL, learning_rate=1e-2, discount=0.5)
    assert result.config_at(2) == config
    job = make_job(config)
    alone = final_returns(a2c.train_seeds(job.algorithm, job.keys, job.num_updates).metrics)
    np.testing.assert_allclose(result.final_returns[2], alone, rtol=1e-6)
    assert not np.isclose(result.final_returns[[0, 1, 3]], alone).all(axis=1).any()


def test_the_best_settings_have_the_highest_score_and_can_be_trained(result, tmp_path, refused):
    assert result.curves.shape == (4, 2, len(result.position))
    # A quarter of two seeds is none: their interquartile mean is their mean.
    np.testing.assert_allclose(result.scores, result.final_returns.mean(axis=1))
    assert result.ranking[0] == np.argmax(result.scores)
    for name, values in result.points.values.items():
        assert getattr(result.best.settings, name) == values[result.ranking[0]]
    experiment.write_sweep(tmp_path, result)
    best = ["--config", str(tmp_path / "best.json")]
    assert parse_train(best).settings == result.best.settings
    assert make_job(parse_train(best)).seeds == (0, 1)
    assert "--preset conflicts with --config" in refused("train", *best, "--preset", "article")


def test_among_equal_scores_the_sooner_is_first_and_a_diverged_point_last(result):
    same = result._replace(
        final_returns=np.array([[500.0] * 2, [500.0] * 2, [np.nan, 1.0], [499.0] * 2]),
        mean_returns=np.array([[300.0] * 2, [400.0] * 2, [1.0] * 2, [450.0] * 2]),
    )
    assert same._replace(finite=same.final_returns != 500.0).ranking[0] == 3
    assert same.ranking.tolist() == [1, 0, 3, 2]
    many = np.full((4, 8), 400.0)
    many[0], many[0, 3] = 500.0, np.nan  # one of eight seeds would be trimmed
    assert same._replace(final_returns=many, finite=np.ones_like(many, bool)).ranking[-1] == 0
    assert sweeping.table_rows(same)[4][2] == "–"


def test_the_command_writes_a_table_a_figure_and_the_best(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sweeping, "train_in_chunks", untrained)
    folder = tmp_path / "sweep"
    words = "--num-seeds 2 --total-steps 2000 --draws 3 --over discount=0.9:1 learning-rate=1e-5:1"
    assert cli.main(["sweep", "--out", str(folder), *words.split()]) == 0
    names = {"best.json", "sweep.json", "sweep.npz", "table.md", "heat_map.png", ".lock"}
    assert {path.name for path in folder.iterdir()} == names
    assert "Train the best with: a2c-jax train --config" in capsys.readouterr().out
    with np.load(folder / "sweep.npz") as arrays:
        assert arrays["discount"].shape == arrays["learning_rate"].shape == (3,)
        assert arrays["final_returns"].shape == (3, 2)
        assert arrays["curves"].shape == (3, 2, len(arrays["steps"]))
    rows = (folder / "table.md").read_text().splitlines()
    assert len(rows) == 5
    assert f"{read_config(folder / 'best.json').settings.discount:.3g}" in rows[2]
    assert (folder / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "sweep.json").read_text())
    assert (config["finished"], len(config["over"]["discount"])) == (True, 3)


@pytest.mark.parametrize(("names", "shape"), [(1, (4,)), (2, None)])
def test_draws_and_a_single_setting_are_drawn_as_points(result, monkeypatch, names, shape):
    drawn = []
    monkeypatch.setattr(sweeping, "draw_scatter", lambda *args: drawn.extend(args))
    axes = {"discount": np.array([4, 1, 3, 2]), "entropy_coef": np.array([0, 1, 0, 1])}
    points = Points(dict([*axes.items()][:names]), shape)
    returns = np.array([[1.0, 1.0], [5.0, 5.0], [np.nan, 3.0], [2.0, 2.0]])
    sweeping.draw_sweep(None, result._replace(points=points, final_returns=returns))
    _, scores, x, y, labels, best = drawn
    np.testing.assert_array_equal((scores, x), ([1, 5, np.nan, 2], axes["discount"]))
    np.testing.assert_array_equal(y, scores if names == 1 else axes["entropy_coef"])
    assert (labels[1], best) == ("discount", 1)


@pytest.mark.parametrize(("number", "others", "best"), [(2, [0.0], 0), (3, [-1.0, 1.0], None)])
def test_the_cells_of_a_heat_map_are_those_of_its_ticks(result, monkeypatch, number, others, best):
    """Of a third setting the mean is drawn, and the best of the ranking is not framed."""
    drawn = []
    monkeypatch.setattr(sweeping, "draw_heat_map", lambda *args: drawn.extend(args))
    axes = {"discount": (0.99, 0.5), "entropy_coef": (3.0, 1.0, 2.0), "value_coef": (0.0, 10.0)}
    points = experiment.grid(dict(list(axes.items())[:number]))
    scores = np.add.outer([99.0, 97, 98, 53, 51, 52], others).reshape(-1, 1)
    changes = dict.fromkeys(("final_returns", "mean_returns"), scores)
    sweeping.draw_sweep(None, result._replace(points=points, finite=scores > 0, **changes))
    _, cells, x, y, labels, framed = drawn
    assert (labels[1:3], framed) == (("entropy coef", "discount"), best)
    for (row, column), value in np.ndenumerate(cells):
        assert value == {0.99: 96, 0.5: 50}[y[row]] + x[column]


def test_an_interrupted_sweep_of_the_articles_loop_writes_the_updates_done(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeping, "train_in_chunks", functools.partial(untrained, missing=1))
    config = experiment.configure("article", num_seeds=2, hidden_sizes=(4,), num_episodes=6)
    points = experiment.grid({"learning_rate": (1e-5,), "discount": (0.5, 0.9)})
    swept = experiment.sweep(config, points)
    assert swept.position[-1] == 5
    experiment.write_sweep(tmp_path, swept)
    assert json.loads((tmp_path / "sweep.json").read_text())["finished"] is False
    with pytest.raises(KeyboardInterrupt):
        experiment.sweep(config, points, should_stop=lambda: 2)
    swept = sweeping._job_of_all(config, points, [0, 1])  # the loop takes traced settings
    start = jax.tree.map(lambda leaf: leaf[0], swept.keys)
    jax.eval_shape(lambda start: swept.algorithm.step(swept.algorithm.init(start)), start)
