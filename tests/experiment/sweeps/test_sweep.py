"""Sweeps: points, the program that trains them, and the files they write."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.config.reading import read_config
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.statistics.learning import final_returns
from a2c_jax.experiment.sweeps import report, sweep as sweeping
from a2c_jax.experiment.sweeps.points import Points, parse_points, settings_at, traced_settings
from a2c_jax.presets import PRESETS
from a2c_jax.types import Metrics

SMALL = {"num_seeds": 3, "hidden_sizes": (8,), "total_steps": 400}
AXES = {"learning_rate": (1e-5, 1e-2), "discount": (0.5, 0.9)}


@pytest.fixture(scope="module")
def result():
    return experiment.sweep(experiment.configure(**SMALL), experiment.grid(AXES))


@pytest.fixture
def untrained(monkeypatch):
    """Makes up the metrics, of fewer updates than asked for if ``missing``; can trace a step."""

    def replace(missing=0, trace=False):
        def train(job, *, on_chunk, should_stop):
            shape = (job.layout.num_seeds, 0 if should_stop() else job.num_updates - missing)
            if trace:
                first = jax.tree.map(lambda leaf: leaf[0], job.keys)
                jax.eval_shape(lambda start: job.algorithm.step(job.algorithm.init(start)), first)
            numbers = np.random.default_rng(0).uniform(1, 2, (len(Metrics._fields), *shape))
            outcome = Outcome([], Metrics(*numbers.astype(np.float32)), 1.0, 1.0)
            on_chunk(outcome)
            return outcome

        monkeypatch.setattr(sweeping, "train_in_chunks", train)

    return replace


def test_a_grid_is_every_combination_the_last_varying_fastest():
    points = experiment.grid({"discount": (0.5, 0.9), "entropy_coef": (0.0, 0.1, 0.2)})
    assert (points.shape, len(points)) == ((2, 3), 6)
    assert points.values["discount"].tolist() == [0.5] * 3 + [0.9] * 3
    assert points.values["entropy_coef"].tolist() == [0.0, 0.1, 0.2] * 2


def test_draws_are_distributed_as_configured():
    axes = {"learning_rate": experiment.Range(1e-4, 1e-2, log=True),
            "discount": experiment.Range(0.8, 1.0), "entropy_coef": (0.0, 0.1)}  # fmt: skip
    points = experiment.random_draws(axes, 4000, seed=1)
    assert points.shape is None
    logs = np.log10(points.values["learning_rate"])
    assert logs.min() >= -4
    assert logs.max() <= -2
    assert abs(logs.mean() + 3) < 0.05  # standard error 0.01
    assert abs(points.values["discount"].mean() - 0.9) < 0.005
    assert set(points.values["entropy_coef"]) == {0.0, 0.1}
    again = experiment.random_draws(axes, 4000, seed=1)
    np.testing.assert_array_equal(points.values["discount"], again.values["discount"])


def test_points_are_parsed():
    points = parse_points(["learning-rate=1e-4:1e-2:3:log", "discount=0.9,0.99"], None)
    np.testing.assert_allclose(points.values["learning_rate"][::2], [1e-4, 1e-3, 1e-2])
    quarters = parse_points(["discount=0:1:5"], None).values["discount"]
    assert quarters.tolist() == [0, 0.25, 0.5, 0.75, 1]
    drawn = parse_points(["discount=0.9:1", "learning_rate=1e-4:1e-2:log"], 7)
    assert len(drawn) == 7
    assert np.ptp(np.log(drawn.values["learning_rate"])) > 1


@pytest.mark.parametrize(
    ("over", "draws", "sentence"),
    [
        ("", None, "over is empty"),
        ("", 3, "over is empty"),
        ("discount", None, "over is 'discount'; give values like discount=0.9,0.99"),
        ("discount=a", None, "over is 'discount=a'; give"),
        ("discount=0.9:0.99", None, "(the number is missing)"),
        ("discount=0.9:0.99:1.5", None, "(the number is missing)"),
        ("discount=0.9:0.99:3", 4, "a range for draws has no number"),
        ("discount=0.9:0.8:3", None, "the first end must be below the second"),
        ("discount=0:1:3:log", None, "a logarithmic range must begin above 0"),
        ("discount=0.9 discount=0.8", None, "over names discount more than once"),
        ("discount=0.9,0.9", None, "give at least one value, each once"),
        ("discount=0.9:1", 0, "draws is 0; give"),
        ("num_envs=4,8", None, "over names num_envs, which is static of a2c: it shapes"),
        ("hidden_sizes=4,8", None, "over names hidden_sizes, which is static"),
        ("gae_lambda=0.9,1", None, "There is no setting 'gae_lambda'; "),
        ("discont=0.9,1", None, "There is no setting 'discont'; did you mean discount"),
        ("discount=0.9,1.1", None, "discount is 1.1; give a number from 0 to 1"),
        ("learning_rate=0,1", None, "learning_rate is 0.0; give"),
    ],
)
def test_bad_sweeps_are_one_sentence_and_exit_2(over, draws, sentence, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "sweep")]
    flags += ["--draws", str(draws)] if draws is not None else []
    assert cli.main(["sweep", *flags, "--over", *over.split()]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_number_of_every_preset_can_be_swept():
    rates = ["discount", "value_coef", "entropy_coef", "learning_rate"]
    both = [*rates, "final_learning_rate", "max_grad_norm", "rate_power", "value_scale"]
    assert traced_settings(PRESETS["article"]) == rates
    assert traced_settings(PRESETS["default"]) == both
    gae = experiment.configure(algorithm="gae").settings
    assert traced_settings(gae) == [*both, "gae_lambda"]


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


def test_the_best_settings_are_those_with_the_highest_score(result):
    assert result.final_returns.shape == (4, 3)
    assert result.curves.shape == (4, 3, len(result.position))
    # A quarter of three seeds is none: their interquartile mean is their mean.
    np.testing.assert_allclose(result.scores, result.final_returns.mean(axis=1))
    assert result.ranking[0] == np.argmax(result.scores)
    for name, values in result.points.values.items():
        assert getattr(result.best.settings, name) == values[result.ranking[0]]


def test_among_equal_scores_the_sooner_is_first_and_a_diverged_point_last(result):
    same = result._replace(
        final_returns=np.array([[500.0] * 3, [500.0] * 3, [np.nan, 1.0, 1.0], [499.0] * 3]),
        mean_returns=np.array([[300.0] * 3, [400.0] * 3, [1.0] * 3, [450.0] * 3]),
    )
    assert same._replace(finite=same.final_returns != 500.0).ranking.tolist()[0] == 3
    assert same.ranking.tolist() == [1, 0, 3, 2]
    many = np.full((4, 8), 400.0)
    many[0], many[0, 3] = 500.0, np.nan  # one of eight seeds would be trimmed
    assert same._replace(final_returns=many, finite=np.ones_like(many, bool)).ranking[-1] == 0
    assert report.table_rows(same)[4][2] == "–"


def test_the_command_writes_a_table_a_figure_and_the_best(untrained, tmp_path, capsys):
    untrained()
    folder = tmp_path / "sweep"
    flags = ["--num-seeds", "2", "--hidden-sizes", "8", "--total-steps", "2000", "--draws", "3"]
    over = ["--over", "discount=0.9:0.99", "learning-rate=1e-5:1e-2:log"]
    assert cli.main(["sweep", *flags, "--out", str(folder), *over]) == 0
    names = {"best.json", "sweep.json", "sweep.npz", "table.md", "heat_map.png", ".lock"}
    assert {path.name for path in folder.iterdir()} == names
    assert "Train the best with: a2c-jax train --config" in capsys.readouterr().out
    with np.load(folder / "sweep.npz") as arrays:
        assert arrays["discount"].shape == arrays["learning_rate"].shape == (3,)
        assert arrays["final_returns"].shape == (3, 2)
        assert arrays["curves"].shape == (3, 2, len(arrays["steps"]))
    rows = (folder / "table.md").read_text().splitlines()
    assert len(rows) == 5
    best = read_config(folder / "best.json")
    assert f"{best.settings.discount:.3g}" in rows[2]
    assert (folder / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "sweep.json").read_text())
    assert config["finished"] is True
    assert len(config["over"]["discount"]) == 3


@pytest.mark.parametrize(
    ("names", "shape"),
    [(1, (4,)), (1, None), (2, (2, 2)), (2, None), (3, (2, 2, 1)), (3, None)],
)
def test_every_kind_of_sweep_can_be_drawn(result, names, shape):
    rates = [1e-5, 2e-5, 1e-3, 2e-3] if names == 1 else [1e-3, 1e-3, 1e-5, 1e-5]
    columns = [np.array(rates), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)]
    settings = ["learning_rate", "entropy_coef", "value_coef"][:names]
    points = Points(dict(zip(settings, columns, strict=False)), shape)
    diverged = result.final_returns.copy()
    diverged[3] = np.nan
    file = io.BytesIO()
    report.draw_sweep(file, result._replace(points=points, final_returns=diverged))
    assert len(file.getvalue()) > 5000


def test_the_cells_of_a_heat_map_are_those_of_its_ticks(result, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "draw_heat_map", lambda file, *rest: drawn.append(rest))
    axes = {"discount": (0.99, 0.5), "entropy_coef": (3.0, 1.0, 2.0), "value_coef": (0.0, 10.0)}
    returns = np.array([99.0, 97, 98, 53, 51, 52])
    for number in (2, 3):
        points = experiment.grid(dict(list(axes.items())[:number]))
        # Of the third setting the mean is drawn.
        repeated = np.add.outer(returns, [[0.0], [-1, 1]][number - 2]).ravel()
        scores = np.stack([repeated] * 2, axis=1)
        report.draw_sweep(
            None,
            result._replace(
                points=points, final_returns=scores, mean_returns=scores, finite=scores > 0
            ),
        )
        cells, x, y, labels, best = drawn[-1]
        assert best == (0 if number == 2 else None), "the best of the ranking is framed"
        assert labels[1:3] == ("entropy coef", "discount")
        for (row, column), value in np.ndenumerate(cells):
            assert value == {0.99: 96, 0.5: 50}[y[row]] + x[column]


def test_the_best_configuration_can_be_trained(result, tmp_path):
    paths = {path.name: str(path) for path in experiment.write_sweep(tmp_path, result)}
    config = parse_train(["--config", paths["best.json"]])
    assert config.settings == result.best.settings
    assert make_job(config).seeds == (0, 1, 2)
    assert cli.main(["train", "--config", paths["best.json"], "--preset", "article"]) == 2


def test_a_sweep_of_the_articles_loop_that_is_interrupted_writes_the_updates_done(
    untrained, tmp_path
):
    short = {"num_seeds": 2, "hidden_sizes": (8,), "num_episodes": 6}
    config = experiment.configure("article", **short)
    points = experiment.grid({"learning_rate": (1e-5,), "discount": (0.5, 0.9)})
    untrained(missing=1, trace=True)
    swept = experiment.sweep(config, points)
    assert swept.position[-1] == 5
    experiment.write_sweep(tmp_path, swept)
    assert json.loads((tmp_path / "sweep.json").read_text())["finished"] is False
    untrained()
    with pytest.raises(KeyboardInterrupt):
        experiment.sweep(config, points, should_stop=lambda: 2)
