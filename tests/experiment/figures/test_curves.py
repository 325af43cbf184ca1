"""What the figures show, and that they can be drawn of anything a run may come to."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats
from test_metrics import some_metrics

from a2c_jax.experiment.config.config import default_config
from a2c_jax.experiment.figures.curves import draw_episodes, draw_methods
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.result_figures import num_points, run_figures

STEPS = np.arange(1, 6) * 10
NOTHING = np.full((3, 5), np.nan)
GAPS = np.array(
    [[1.0, np.nan, 3.0, 4.0, 5.0], [np.nan, 2.0, 2.0, 2.0, np.nan], [1.0, 2.0, 3.0, 4.0, 9.0]]
)


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every figure that is saved."""
    axes, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        axes.extend(figure.axes)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return axes


def png(draw, *args, **kwargs):
    file = io.BytesIO()
    draw(file, *args, **kwargs)
    assert file.getvalue().startswith(b"\x89PNG")


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line(axes, label):
    """The line with that label."""
    (found,) = (line for line in axes.get_lines() if line.get_label() == label)
    return found.get_xdata(), found.get_ydata()


def last_ten(values):
    """The mean of the last ten of each row, by a loop."""
    return np.array(
        [[row[max(0, n - 9) : n + 1].mean() for n in range(len(row))] for row in values]
    )


def test_one_seed_is_drawn_as_in_the_article(drawn):
    values = np.random.default_rng(0).normal(100, 30, (1, 50))
    png(draw_episodes, values, title="a title", label="reward")
    (axes,) = drawn
    assert legend(axes) == ["reward", "mean of the last 10"]
    np.testing.assert_array_equal(line(axes, "reward"), [np.arange(1, 51), values[0]])
    np.testing.assert_allclose(line(axes, "mean of the last 10")[1], last_ten(values)[0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("episode", "episode reward")
    assert axes.get_title() == "a title"


@pytest.mark.parametrize("num_episodes", [50, 1000])
def test_many_seeds_are_drawn_thin_and_pooled(drawn, num_episodes):
    values = np.random.default_rng(0).normal(100, 30, (4, num_episodes))
    png(draw_episodes, values, title="a title", label="length")
    (axes,) = drawn
    pooled = "interquartile mean of 4 seeds, 95 % interval"
    assert legend(axes) == ["length, mean of the last 10", pooled]
    smooth = last_ten(values)
    episodes, means = line(axes, pooled)
    at = np.asarray(episodes) - 1
    assert at[0] == 0
    assert len(at) >= 50
    assert at[-1] >= num_episodes - 10, "the curve goes on to the end"
    # The middle half of four is their middle two.
    np.testing.assert_allclose(means, np.sort(smooth, axis=0)[1:3].mean(axis=0)[at])
    thin = [line.get_ydata() for line in axes.get_lines() if len(line.get_ydata()) == len(at)]
    np.testing.assert_allclose(thin[:4], smooth[:, at])


def test_each_method_has_a_line_of_its_own(drawn):
    curves = {
        "one seed": (STEPS, GAPS[2:]),
        "three seeds": (2 * STEPS, GAPS),
        "of no episode": (STEPS, NOTHING),
    }
    png(draw_methods, curves, title="a title", threshold=4.0)
    (axes,) = drawn
    assert legend(axes)[:2] == ["one seed", "three seeds"]
    np.testing.assert_array_equal(line(axes, "one seed"), [STEPS, GAPS[2]])
    # Gaps are filled with what was known last; the first point is left out, where a seed has
    # nothing yet.
    filled = np.array([[1.0, 3.0, 4.0, 5.0], [2.0, 2.0, 2.0, 2.0], [2.0, 3.0, 4.0, 9.0]])
    steps, means = line(axes, "three seeds")
    np.testing.assert_array_equal(steps, 2 * STEPS[1:])
    np.testing.assert_allclose(means, stats.trim_mean(filled, 0.25, axis=0))
    colors = {found.get_color() for found in axes.get_lines()[:2]}
    assert len(colors) == 2
    assert axes.texts[0].get_text() == "solved: 4"
    assert axes.texts[0].xy == (100, 4.0), "at the end of the longest curve"


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("values", [GAPS[[2, 2, 2]], GAPS, NOTHING], ids=["all", "gaps", "none"])
@pytest.mark.parametrize("length", [1, 5])
def test_anything_can_be_drawn(values, num_seeds, length):
    values = values[:num_seeds, :length]
    png(draw_episodes, values, title="a title", label="reward")
    curves = {"a": (STEPS[:length], values), "b": (STEPS, GAPS[2:])}
    png(draw_methods, curves, title="a title", threshold=4.0)


def test_methods_of_which_nothing_is_known_can_be_drawn():
    png(draw_methods, {"a": (STEPS, NOTHING), "b": (STEPS, NOTHING)}, title="a title")


def outcome_of(job, num_updates):
    shape = (len(job.seeds), num_updates)
    rewards = np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
    metrics = some_metrics(np.ones(shape), rewards)
    return Outcome([], metrics._replace(episode_length_sum=rewards / 7), 1.0, 1.0)


def test_rewards_are_drawn_as_rewards_and_lengths_as_lengths(drawn):
    config = default_config("article", None)
    job = make_job(config)
    outcome = outcome_of(job, 30)
    figures = run_figures(config, job, outcome)
    assert list(figures) == ["rewards.png", "lengths.png"]
    for write in figures.values():
        png(write)
    rewards, lengths = drawn
    np.testing.assert_array_equal(line(rewards, "reward")[1], outcome.metrics.episode_return_sum[0])
    np.testing.assert_array_equal(line(lengths, "length")[1], outcome.metrics.episode_length_sum[0])
    assert rewards.get_title() == "CartPole-v1 with a limit of 200 steps, preset article"


@pytest.mark.parametrize(
    ("algorithm", "title"), [(None, "preset default"), ("gae", "preset default, gae")]
)
def test_a_learning_curve_says_what_was_trained(drawn, algorithm, title):
    config = default_config("default", algorithm)
    job = make_job(config)
    (write,) = run_figures(config, job, outcome_of(job, 30)).values()
    png(write)
    assert drawn[0].get_title() == f"CartPole-v1, {title}"


@pytest.mark.parametrize(
    ("algorithm", "num_updates", "points"),
    [
        # 40 steps an update: one point for every 500 steps of 8 environments, from 20 to 100
        ("a2c", 1, 20),
        ("a2c", 2099, 20),
        ("a2c", 2100, 21),
        ("a2c", 9900, 99),
        ("a2c", 7500 * 10, 100),
        # 160 steps a round, 32 environments: as many rounds
        ("a3c", 2100, 21),
        # 1000 steps an update, 2 environments: one point an update
        ("reinforce", 30, 30),
    ],
)
def test_a_curve_has_a_point_for_every_time_limit(algorithm, num_updates, points):
    job = make_job(default_config("general", algorithm))
    assert num_points(job, outcome_of(job, num_updates)) == points


def test_a_short_time_limit_gives_more_points():
    config = dataclasses.replace(default_config("general", None), max_episode_steps=100)
    job = make_job(config)
    assert num_points(job, outcome_of(job, 600)) == 30  # 600 * 40 / (100 * 8)
