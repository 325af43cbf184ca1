"""Sweeps: points, the one program, and what is written of it."""

import json

import numpy as np
import pytest

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.config.reading import read_config
from a2c_jax.experiment.sweeps import report as sweep_report
from a2c_jax.experiment.sweeps.points import Points, parse_points, settings_at, traced_settings
from a2c_jax.experiment.sweeps.report import draw_sweep, table_rows
from a2c_jax.presets import PRESETS

SMALL = {"num_seeds": 3, "hidden_sizes": (8,), "total_steps": 4000}
RATES = (1e-5, 5e-3)


@pytest.fixture(scope="module")
def result():
    points = experiment.grid({"learning_rate": RATES, "entropy_coef": (0.0, 1.0)})
    return experiment.sweep(experiment.configure(**SMALL), points)


def test_a_grid_is_every_combination_the_last_the_fastest():
    points = experiment.grid({"discount": (0.5, 0.9), "entropy_coef": (0.0, 0.1, 0.2)})
    assert points.shape == (2, 3)
    assert len(points) == 6
    assert points.values["discount"].tolist() == [0.5] * 3 + [0.9] * 3
    assert points.values["entropy_coef"].tolist() == [0.0, 0.1, 0.2] * 2


def test_draws_are_spread_as_they_were_told():
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


def test_texts_become_points():
    points = parse_points(["learning-rate=1e-4:1e-2:3:log", "discount=0.9,0.99"], None)
    np.testing.assert_allclose(points.values["learning_rate"][::2], [1e-4, 1e-3, 1e-2])
    assert parse_points(["discount=0:1:5"], None).values["discount"].tolist() == [
        0,
        0.25,
        0.5,
        0.75,
        1,
    ]
    drawn = parse_points(["discount=0.9:1", "learning_rate=1e-4:1e-2:log"], 7)
    assert len(drawn) == 7


@pytest.mark.parametrize(
    ("over", "draws", "sentence"),
    [
        ([], None, "over is empty"),
        ([], 3, "over is empty"),
        (["discount"], None, "over is 'discount'; give values like discount=0.9,0.99"),
        (["discount=a"], None, "over is 'discount=a'; give"),
        (["discount=0.9:0.99"], None, "(no number)"),
        (["discount=0.9:0.99:3"], 4, "a range that is drawn from has no number"),
        (["discount=0.9:0.8:3"], None, "the first is to be below the second"),
        (["discount=0:1:3:log"], None, "a logarithmic range begins above 0"),
        (["discount=0.9", "discount=0.8"], None, "over names discount more than once"),
        (["discount=0.9,0.9"], None, "give at least one value, each once"),
        (["discount=0.9:1"], 0, "draws is 0; give"),
        (["num_envs=4,8"], None, "over names num_envs, which is static of a2c: it shapes"),
        (["hidden_sizes=4,8"], None, "over names hidden_sizes, which is static"),
        (["gae_lambda=0.9,1"], None, "There is no setting 'gae_lambda'; "),
        (["discont=0.9,1"], None, "There is no setting 'discont'; did you mean discount"),
        (["discount=0.9,1.1"], None, "discount is 1.1; give a number from 0 to 1"),
        (["learning_rate=0,1"], None, "learning_rate is 0.0; give"),
    ],
)
def test_bad_sweeps_are_one_sentence_and_exit_2(over, draws, sentence, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "sweep")] + (
        ["--draws", str(draws)] if draws is not None else []
    )
    assert cli.main(["sweep", *flags, "--over", *over]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_number_of_every_preset_can_be_swept_over():
    rates = ["discount", "value_coef", "entropy_coef", "learning_rate"]
    both = [*rates, "final_learning_rate", "max_grad_norm", "rate_power", "value_scale"]
    assert traced_settings(PRESETS["article"]) == rates
    assert traced_settings(PRESETS["default"]) == both
    gae = experiment.configure(algorithm="gae").settings
    assert traced_settings(gae) == [*both, "gae_lambda"]


def test_the_last_rate_follows_the_first():
    constant = PRESETS["stable_baselines3"]
    assert settings_at(constant, {"learning_rate": 1.0}).final_learning_rate == 1.0
    assert settings_at(PRESETS["default"], {"learning_rate": 1.0}).final_learning_rate == 0.0
    values = {"learning_rate": 1.0, "final_learning_rate": 0.5}
    assert settings_at(constant, values).final_learning_rate == 0.5


def test_a_point_is_the_run_with_its_settings(result, tmp_path):
    """Up to rounding, which training amplifies: compared early, by every seed's returns."""
    short = experiment.configure(**{**SMALL, "total_steps": 400})
    points = experiment.grid({"learning_rate": RATES[1:], "discount": (0.5, 0.9)})
    swept = experiment.sweep(short, points)
    for point in range(len(points)):
        config = swept.config_at(point)
        assert config.settings.learning_rate == points.values["learning_rate"][point]
        assert config.settings.discount == points.values["discount"][point]
        alone = experiment.train_run(
            experiment.configure(
                **{**SMALL, "total_steps": 400, "out": tmp_path / f"{point}"},
                learning_rate=config.settings.learning_rate,
                discount=config.settings.discount,
            )
        )
        np.testing.assert_allclose(
            swept.final_returns[point], alone.summary["final_returns"], rtol=1e-6
        )


def test_the_best_settings_are_those_with_the_highest_score(result):
    assert result.final_returns.shape == (4, 3)
    assert result.curves.shape == (4, 3, len(result.position))
    # Of three seeds none is a quarter: their interquartile mean is their mean.
    np.testing.assert_allclose(result.scores, result.final_returns.mean(axis=1))
    assert result.ranking[0] == np.argmax(result.scores)
    assert result.best.settings.learning_rate == RATES[1]
    assert (
        result.best.settings.entropy_coef == result.points.values["entropy_coef"][result.ranking[0]]
    )


def test_equal_scores_are_told_apart_by_what_was_sooner_and_a_diverged_point_is_last(result):
    same = result._replace(
        final_returns=np.array([[500.0] * 3, [500.0] * 3, [np.nan, 1.0, 1.0], [499.0] * 3]),
        mean_returns=np.array([[300.0] * 3, [400.0] * 3, [1.0] * 3, [450.0] * 3]),
    )
    assert same.ranking.tolist() == [1, 0, 3, 2]
    many = np.full((4, 8), 400.0)
    many[0], many[0, 3] = 500.0, np.nan  # one of eight seeds would be trimmed away
    assert same._replace(final_returns=many).ranking[-1] == 0
    assert table_rows(same)[4][2] == "–"


@pytest.mark.parametrize(
    ("over", "draws"),
    [
        (["learning-rate=1e-5:5e-3:2:log", "discount=0.9,0.99"], []),
        (["discount=0.9:0.99", "learning_rate=1e-5:1e-2:log"], ["--draws", "3"]),
    ],
)
def test_the_command_writes_a_table_a_picture_and_the_best(over, draws, tmp_path, capsys):
    folder = tmp_path / "sweep"
    flags = [
        "--num-seeds",
        "2",
        "--hidden-sizes",
        "8",
        "--total-steps",
        "2000",
        "--out",
        str(folder),
    ]
    assert cli.main(["sweep", *flags, *draws, "--over", *over]) == 0
    names = {"best.json", "sweep.json", "sweep.npz", "table.md", "heat_map.png", ".lock"}
    assert {path.name for path in folder.iterdir()} == names
    assert "Go on with: a2c-jax train --config" in capsys.readouterr().out
    with np.load(folder / "sweep.npz") as arrays:
        number = len(arrays["discount"])
        assert arrays["final_returns"].shape == (number, 2)
        assert arrays["curves"].shape == (number, 2, len(arrays["steps"]))
    rows = (folder / "table.md").read_text().splitlines()
    assert len(rows) == number + 2
    best = read_config(folder / "best.json")
    assert f"{best.settings.discount:.3g}" in rows[2]
    assert (folder / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "sweep.json").read_text())
    assert config["finished"] is True
    assert len(config["over"]["discount"]) == number


@pytest.mark.parametrize(
    ("names", "shape"),
    [(1, (4,)), (1, None), (2, (2, 2)), (2, None), (3, (2, 2, 1)), (3, None)],
)
def test_every_kind_of_sweep_can_be_drawn(result, names, shape, tmp_path):
    rates = [1e-5, 2e-5, 1e-3, 2e-3] if names == 1 else [1e-3, 1e-3, 1e-5, 1e-5]
    columns = [np.array(rates), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)]
    values = dict(
        zip(["learning_rate", "entropy_coef", "value_coef"], columns[:names], strict=False)
    )
    diverged = result.final_returns.copy()
    diverged[3] = np.nan
    for returns in (result.final_returns, diverged):
        with (tmp_path / "picture.png").open("wb") as file:
            draw_sweep(file, result._replace(points=Points(values, shape), final_returns=returns))
        assert (tmp_path / "picture.png").stat().st_size > 5000


def test_the_cells_of_a_heat_map_are_those_of_its_ticks(result, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        sweep_report, "draw_heat_map", lambda file, cells, **rest: drawn.update(cells=cells, **rest)
    )
    points = experiment.grid({"discount": (0.99, 0.5), "entropy_coef": (3.0, 1.0, 2.0)})
    returns = np.array([[99, 99], [97, 97], [98, 98], [53, 53], [51, 51], [52, 52.0]])
    six = result._replace(points=points, final_returns=returns, mean_returns=returns)
    sweep_report.draw_sweep(None, six)
    assert drawn["best"] == 0, "the best of the ranking is framed"
    assert (drawn["xlabel"], drawn["ylabel"]) == ("entropy coef", "discount")
    for row, discount in enumerate(drawn["y"]):
        for column, coef in enumerate(drawn["x"]):
            base = {0.99: 96, 0.5: 50}[discount]
            assert drawn["cells"][row, column] == base + coef


def test_the_best_configuration_trains(result, tmp_path):
    (path,) = [p for p in experiment.write_sweep(tmp_path, result) if p.name == "best.json"]
    assert cli.main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 0
    run = experiment.load_run(tmp_path / "run")
    assert run.config.settings == result.best.settings
    assert cli.main(["train", "--config", str(path), "--preset", "article"]) == 2


def test_a_sweep_of_the_articles_loop(tmp_path):
    config = experiment.configure("article", num_seeds=2, hidden_sizes=(8,), num_episodes=6)
    swept = experiment.sweep(config, experiment.grid({"learning_rate": RATES}))
    assert swept.position[-1] == 6
    with (tmp_path / "picture.png").open("wb") as file:
        draw_sweep(file, swept)


def test_an_interrupted_sweep_is_written_as_far_as_it_came(tmp_path):
    stops = iter([0, 0, 0, 2, 2, 2, 2])
    config = experiment.configure(**{**SMALL, "total_steps": 40_000_000})
    points = experiment.grid({"discount": (0.9, 0.99)})
    swept = experiment.sweep(config, points, should_stop=lambda: next(stops))
    assert 0 < swept.num_updates < 1_000_000
    experiment.write_sweep(tmp_path, swept)
    assert json.loads((tmp_path / "sweep.json").read_text())["finished"] is False
    with pytest.raises(KeyboardInterrupt):
        experiment.sweep(config, points, should_stop=lambda: 2)
