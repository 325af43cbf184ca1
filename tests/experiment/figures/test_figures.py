"""Contents of the figures, and that they can be drawn of any run."""

import dataclasses
import io
import itertools

import jax
import matplotlib as mpl
import numpy as np
import pytest
from comparing import some_metrics
from matplotlib.figure import Figure
from scipy import stats

import a2c_jax as a2c
from a2c_jax import experiment
from a2c_jax.experiment.config import default_config
from a2c_jax.experiment.figures import curves, heat_maps, quantities
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.folder import num_points, run_figures
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.statistics.learning import final_returns

STEPS = np.arange(1, 6) * 10
NOTHING = np.full((3, 5), np.nan)
# As learning_curve gives them: a seed has no value before its first episode.
LATE = np.array(
    [[1.0, 1.0, 3.0, 4.0, 5.0], [np.nan, 2.0, 2.0, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0, 9.0]]
)
POOLED = "interquartile mean of 4 seeds, 95 % interval"
SOLVED = "solved: mean of 100 episodes ≥ {}"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are made; they are not written."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    return figures


def picture(draw, *args, **kwargs):
    """What is written, at a low resolution."""
    file = io.BytesIO()
    with mpl.rc_context({"savefig.dpi": 20}):
        draw(file, *args, **kwargs)
    assert file.getvalue().startswith((b"\x89PNG", b"<?xml"))
    return file.getvalue()


def plot(runs, name, unit="steps", threshold=None):
    """Draws one of the figures of runs."""
    quantities.run_plot_writers(runs, unit, threshold)[f"{name}.png"](None)


def line(axes, label):
    (match,) = (line for line in axes.get_lines() if line.get_label() == label)
    return match.get_xdata(), match.get_ydata()


def legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


# Learning curves and episodes


def last_ten(values):
    """The mean of the last ten of each row, by a loop."""
    return np.array([[r[max(0, n - 9) : n + 1].mean() for n in range(len(r))] for r in values])


@pytest.mark.parametrize("num_episodes", [50, 1000])
def test_many_seeds_are_thin_lines_and_their_mean(drawn, num_episodes):
    values = np.random.default_rng(0).normal(100, 30, (4, num_episodes))
    curves.draw_episodes(None, values, title="a title", label="length")
    (axes,) = drawn[0].axes
    assert legend(drawn[0]) == ["length, mean of the last 10", POOLED]
    smooth = last_ten(values)
    episodes, means = line(axes, POOLED)
    at = np.asarray(episodes) - 1
    assert (at[0], len(at) >= 50, at[-1] >= num_episodes - 10) == (0, True, True)
    # The middle half of four is their middle two.
    np.testing.assert_allclose(means, np.sort(smooth, axis=0)[1:3].mean(axis=0)[at])
    thin = [line.get_ydata() for line in axes.get_lines() if len(line.get_ydata()) == len(at)]
    np.testing.assert_allclose(thin[:4], smooth[:, at])


def test_each_method_has_a_line(drawn):
    methods = {
        "one seed": (STEPS, LATE[2:]),
        "three seeds": (2 * STEPS, LATE),
        "no episode": (STEPS, NOTHING),
        "lost": (STEPS, np.concatenate([LATE, [[7.0, 7.0, 7.0, np.nan, np.nan]]])),
    }
    curves.draw_methods(None, methods, title="a title", threshold=4.0)
    (axes,) = drawn[0].axes
    lost = "lost (1 without values left out)"
    entries = ["one seed", "three seeds", "no episode (no values)", lost, SOLVED.format(4)]
    assert legend(drawn[0]) == entries
    # Whoever has diverged is not drawn with the last value that was finite.
    np.testing.assert_array_equal(line(axes, lost)[1], line(axes, "three seeds")[1])
    np.testing.assert_array_equal(line(axes, "one seed"), [STEPS, LATE[2]])
    steps, means = line(axes, "three seeds")
    np.testing.assert_array_equal(steps, 2 * STEPS[1:])
    np.testing.assert_allclose(means, stats.trim_mean(LATE[:, 1:], 0.25, axis=0))
    assert set(line(axes, SOLVED.format(4))[1]) == {4.0}
    (entries,) = drawn[0].legends
    assert entries.get_title().get_text() == "interquartile mean over seeds, 95 % interval"


@pytest.mark.parametrize("num_seeds", [1, 3])
@pytest.mark.parametrize("values", [LATE[:, :1], NOTHING], ids=["one point", "no values"])
def test_any_curve_can_be_drawn(values, num_seeds):
    values, steps = values[:num_seeds], STEPS[: values.shape[1]]
    picture(curves.draw_episodes, values, title="a title", label="reward")
    picture(curves.draw_learning_curve, steps, values, title="a title", threshold=4.0)
    methods = {"a": (steps, values), "b": (STEPS, values[:, :1].repeat(5, axis=1))}
    picture(curves.draw_methods, methods, title="a title", threshold=4.0)


def outcome_of(job, num_updates):
    shape = (len(job.seeds), num_updates)
    rewards = np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
    metrics = some_metrics(np.ones(shape), rewards)
    return Outcome([], metrics._replace(episode_length_sum=rewards / 7), 1.0, 1.0)


def draw_figures_of(preset, algorithm):
    """Draws the figures of a run; returns their names and the metrics."""
    config = default_config(preset, algorithm)
    job = make_job(config)
    outcome = outcome_of(job, 30)
    figures = run_figures(config, job, outcome)
    for write in figures.values():
        write(None)
    return [*figures], outcome.metrics


def test_rewards_and_lengths_of_one_seed_are_drawn_as_in_the_article(drawn):
    names, metrics = draw_figures_of("article", None)
    assert names == ["rewards.png", "lengths.png"]
    sums = metrics.episode_return_sum, metrics.episode_length_sum
    for figure, label, values in zip(drawn, ("reward", "length"), sums, strict=True):
        (axes,) = figure.axes
        assert legend(figure) == [label, "mean of the last 10"]
        np.testing.assert_array_equal(line(axes, label), [np.arange(1, 31), values[0]])
        smooth = line(axes, "mean of the last 10")[1]
        np.testing.assert_allclose(smooth, last_ten(values)[0], rtol=1e-5)
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("episode", f"episode {label}")
        assert axes.get_title() == (
            "CartPole-v1: the article's loop, preset article, 1 seed, 200 steps an episode"
        )


def test_a_learning_curve_names_what_was_trained(drawn):
    assert draw_figures_of("default", "gae")[0] == ["learning_curve.png"]
    assert drawn[0].axes[0].get_title() == "CartPole-v1: gae, preset default, 16 seeds"
    assert legend(drawn[0]) == ["each seed", POOLED.replace("4", "16"), SOLVED.format(475)]


@pytest.mark.parametrize(
    ("algorithm", "limit", "points"),
    [
        # 40 steps an update: one point for every 500 steps of 8 environments, from 20 to 100
        ("a2c", 500, {1: 20, 2099: 20, 2100: 21, 9900: 99, 75_000: 100}),
        ("a2c", 100, {600: 30}),  # 600 * 40 / (100 * 8)
        ("a3c", 500, {2100: 21}),  # 160 steps a round, 32 environments: as many rounds
    ],
)
def test_a_curve_has_a_point_for_every_time_limit(algorithm, limit, points):
    config = dataclasses.replace(default_config("general", algorithm), max_episode_steps=limit)
    job = make_job(config)
    assert {number: num_points(job, outcome_of(job, number)) for number in points} == points


# One run or several


def some_run(label="a run", num_seeds=4, num_updates=250, seed=0, **changes):
    """A run of arbitrary numbers, with two episodes an update on average."""
    rng = np.random.default_rng(seed)
    shape = (num_seeds, num_updates)
    counts = rng.poisson(2.0, shape)
    metrics = a2c.Metrics(
        episode_return_sum=counts * rng.normal(100, 20, shape),
        episode_length_sum=counts * rng.uniform(20, 90, shape),
        episode_count=counts,
        policy_loss=rng.normal(size=shape),
        value_loss=rng.lognormal(size=shape),
        entropy=rng.random(shape),
        grad_norm=rng.lognormal(size=shape),
        explained_variance=rng.uniform(-0.5, 1.0, shape),
        steps=np.full(shape, 40.0),
    )
    metrics = jax.tree.map(np.float32, metrics)._replace(**changes)
    position = 40 * np.arange(1, num_updates + 1)
    solved_at = np.where(rng.random(num_seeds) < 0.7, rng.choice(position, num_seeds), np.inf)
    return quantities.PlotRun(label, position, metrics, solved_at)


def pooled_by_loop(run, quantity, width):
    """Stretches of ``width`` updates, one number after another."""
    sums = {"returns": "episode_return_sum", "lengths": "episode_length_sum"}
    values = getattr(run.metrics, sums.get(quantity, quantity)).astype(float)
    rows, last = np.empty((len(values), -(-values.shape[1] // width))), np.nan
    for seed, point in np.ndindex(rows.shape):
        stretch = (seed, slice(point * width, (point + 1) * width))
        last = np.nan if point == 0 else last
        if quantity not in sums:
            last = values[stretch].mean()
        elif number := run.metrics.episode_count[stretch].sum():
            last = values[stretch].sum() / number
        rows[seed, point] = last
    return np.append(run.position[width - 1 :: width], run.position[-1:])[: rows.shape[1]], rows


@pytest.mark.parametrize("quantity", quantities.QUANTITIES)
def test_a_quantity_is_pooled_over_stretches(quantity):
    run = some_run()
    counts = run.metrics.episode_count.copy()
    counts[1, 30:60] = 0.0  # gaps of many stretches, one of them at the beginning
    counts[2, :12] = 0.0
    names = ("episode_return_sum", "episode_length_sum")
    sums = {name: getattr(run.metrics, name) * (counts > 0) for name in names}
    run = run._replace(metrics=run.metrics._replace(episode_count=counts, **sums))
    position, values = quantities.pool_updates(run, quantity)
    expected_position, expected = pooled_by_loop(run, quantity, 3)
    np.testing.assert_array_equal(position, expected_position)
    assert (len(position), position[-1]) == (84, 10_000)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_where_episodes_are_rare_there_are_fewer_stretches():
    rare = np.zeros((2, 1000), np.float32)
    rare[:, ::25] = 1.0  # 40 episodes of each seed
    run = some_run(num_seeds=2, num_updates=1000, episode_count=rare, episode_return_sum=rare)
    assert len(quantities.pool_updates(run, "returns")[0]) == 40
    assert len(quantities.pool_updates(run, "entropy")[0]) == 100


@pytest.mark.parametrize("quantity", ["returns", "value_loss"])
def test_one_run_is_drawn_seed_by_seed_and_pooled(drawn, quantity):
    run = some_run()
    plot([run], quantity, threshold=90.0)
    (axes,) = drawn[0].axes
    entries = ["each seed", POOLED, *[SOLVED.format(90)] * (quantity == "returns")]
    assert legend(drawn[0]) == entries
    position, values = pooled_by_loop(run, quantity, 3)
    steps, means = line(axes, POOLED)
    np.testing.assert_array_equal(steps, position)
    # The middle half of four is their middle two.
    np.testing.assert_allclose(means, np.sort(values, axis=0)[1:3].mean(axis=0), rtol=1e-6)
    thin = [line.get_ydata() for line in axes.get_lines()[:4]]
    np.testing.assert_allclose(thin, values, rtol=1e-6)
    (band,) = axes.collections
    low = band.get_paths()[0].vertices[1 : 1 + len(position), 1]
    assert ((values.min(axis=0) - 1e-6 <= low) & (low <= means)).all()
    labels = axes.get_title(), axes.get_xlabel(), axes.get_ylabel()
    assert labels == ("a run", "environment steps of each seed", quantities.QUANTITIES[quantity])


def test_one_seed_is_its_curve_alone(drawn):
    run = some_run(num_seeds=1)
    plot([run], "entropy", unit="episodes")
    (axes,) = drawn[0].axes
    (curve,) = axes.get_lines()
    np.testing.assert_allclose(curve.get_ydata(), pooled_by_loop(run, "entropy", 3)[1][0])
    assert (legend(drawn[0]), len(axes.collections)) == ([], 0)
    assert axes.get_xlabel() == "episodes of each seed"


def test_several_runs_can_be_distinguished(drawn):
    runs = [some_run(f"run {n}", 3, 20 * (n + 1), n) for n in range(12)]
    plot(runs, "entropy")
    (axes,) = drawn[0].axes
    assert legend(drawn[0]) == [run.label for run in runs]
    for run in runs:
        steps, means = line(axes, run.label)
        position, values = pooled_by_loop(run, "entropy", -(-len(run.position) // 100))
        np.testing.assert_array_equal(steps, position)
        np.testing.assert_allclose(means, stats.trim_mean(values, 0.25), rtol=1e-6)
    styles = {(curve.get_color(), curve.get_linestyle()) for curve in axes.get_lines()}
    assert len(styles) == len(axes.collections) == 12, "every one has its band"
    assert len({color for color, _ in styles}) == 8
    assert axes.get_xlim()[1] >= runs[-1].position[-1]
    assert len({tuple(style.values()) for style in curves.STYLES}) == 32


MIDDLING = "gae, learning rate 1e-3, entropy 0.01"
LONG = "runs/2026-10-03T12-30-11-default-gae-with-a-rather-long-folder-name " * 2


@pytest.mark.parametrize(("number", "label"), [(2, LONG), (12, ""), (12, MIDDLING), (12, LONG)])
def test_the_legend_lies_below_the_axes_and_inside_the_figure(drawn, number, label):
    plot([some_run(f"{n} {label}", 1, 20) for n in range(number)], "returns", threshold=0.5)
    (figure,) = drawn
    figure.draw_without_rendering()
    (axes,), (entries,) = figure.axes, figure.legends
    box = entries.get_window_extent()
    assert 0 <= box.y0 < box.y1 < axes.xaxis.label.get_window_extent().y0
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    width, height = axes.bbox.size / figure.dpi
    assert (height > 2.5, width > 5) == (True, True), "the axes keep their size"


def test_values_over_orders_of_magnitude_are_drawn_on_a_logarithmic_axis_or_cut_off(drawn):
    wide = np.logspace(-2, 3, 50)[None].repeat(2, axis=0)
    far = np.linspace(-300.0, 0.9, 50)[None].repeat(2, axis=0)
    changes = {"value_loss": wide, "policy_loss": wide, "explained_variance": far}
    run = some_run(num_seeds=2, num_updates=50, **changes)
    for quantity in ("value_loss", "policy_loss", "grad_norm", "explained_variance"):
        plot([run], quantity)
    drawn[0].draw_without_rendering()
    ticks = [tick for tick in drawn[0].axes[0].get_yticklabels() if tick.get_text()]
    assert all("$" in tick.get_text() and tick.get_parse_math() for tick in ticks), "formulas"
    scales = [figure.axes[0].get_yscale() for figure in drawn]
    assert scales == ["log", "linear", "linear", "linear"]
    (axes,) = drawn[-1].axes
    bottom, top = axes.get_ylim()
    assert (bottom, top >= 0.9, "cut off" in axes.get_ylabel()) == (-1.0, True, True)


def test_solve_times_are_steps_and_stop_where_seeds_are_censored(drawn):
    first = some_run("first", 4, 50)._replace(time_to_solve=np.array([np.inf, 400, 800, 400.0]))
    short = some_run("short", 3, 25)._replace(time_to_solve=np.array([120.0, 40.0, 200.0]))
    without = some_run("no threshold", 4, 50)._replace(time_to_solve=None)
    plot([first, short, without], "solve_times")
    (axes,) = drawn[0].axes
    assert legend(drawn[0]) == ["first: 3 of 4", "short: 3 of 3"]
    times, fractions = line(axes, "first: 3 of 4")
    np.testing.assert_array_equal(times, [0, 400, 800, 2000])
    np.testing.assert_allclose(fractions, [0, 0.5, 0.75, 0.75])
    # The short run is censored at its own end.
    times, fractions = line(axes, "short: 3 of 3")
    np.testing.assert_array_equal(times, [0, 40, 120, 200, 1000])
    np.testing.assert_allclose(fractions, [0, 1 / 3, 2 / 3, 1, 1])
    assert axes.get_lines()[0].get_drawstyle() == "steps-post"
    (cross,) = (line for line in axes.get_lines() if line.get_marker() == "x")
    np.testing.assert_allclose(cross.get_xydata(), [[2000, 0.75]])
    assert len(axes.collections) == 2
    low = stats.binomtest(2, 4).proportion_ci(method="wilson").low
    high = stats.binomtest(3, 4).proportion_ci(method="wilson").high
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((low, high))


def test_the_profile_is_the_fraction_of_seeds_above(drawn):
    runs = [some_run("one", 7, seed=1), some_run("two", 9, seed=2)]
    plot(runs, "performance_profile", threshold=101.0)
    (axes,) = drawn[0].axes
    assert legend(drawn[0]) == ["one", "two", SOLVED.format(101)]
    for run in runs:
        final = final_returns(run.metrics)
        above, fractions = line(axes, run.label)
        assert above[0] < final.min() < final.max() < above[-1]
        # Each value holds from its jump to the next.
        middles = [*(above[1:] + above[:-1]) / 2, np.inf]
        np.testing.assert_allclose(fractions, [np.mean(final > middle) for middle in middles])
    assert len(axes.collections) == 2
    plot([some_run(str(n), seed=n) for n in range(12)], "performance_profile")
    assert not drawn[1].axes[0].collections, "twelve bands would hide each other"


def test_60_seeds_give_the_same_svg_each_time_with_text_as_text():
    runs = [some_run(num_seeds=60, num_updates=5)]  # so many that seeds are an image inside
    writers = quantities.run_plot_writers(runs, "steps", format="svg")
    svg = picture(writers["returns.svg"])
    assert svg == picture(writers["returns.svg"])
    assert b"<dc:date>" not in svg
    assert b">mean episode return</text>" in svg
    assert svg.count(b"<image") == 1


EPISODES = ("episode_count", "episode_return_sum", "episode_length_sum")
LOSSES = ("policy_loss", "value_loss", "explained_variance")


@pytest.mark.parametrize(("names", "value"), [(EPISODES, 0.0), (LOSSES, np.nan), (LOSSES, np.inf)])
def test_any_run_can_be_drawn(names, value):
    def bad_run(*shape):
        run = some_run("bad", *shape, **dict.fromkeys(names, np.full(shape, value, np.float32)))
        return run._replace(time_to_solve=np.full(shape[0], np.inf))

    of_episodes = ("returns", "solve_times", "performance_profile")
    figures = of_episodes if names is EPISODES else ("value_loss", "explained_variance")
    short, longer = bad_run(1, 1), bad_run(3, 30)
    for runs in ([short], [longer], [short, longer, some_run("good", 2, 10)]):
        writers = quantities.run_plot_writers(runs, "episodes", 475.0)
        for name in figures:
            picture(writers[f"{name}.png"])


# Heat maps

AXES = heat_maps.Labels("a title", "learning rate", "method", "return")


def test_a_heat_map_writes_each_value_and_frames_the_best(drawn):
    values = np.array([[1.0, 2.5, np.nan], [-7.0, 12345.0, 0.0]])
    x, y = np.array([3e-4, 1e-3, 0.01]), np.array([0.5, 2])
    heat_maps.draw_heat_map(None, values, x, y, AXES, 4)
    axes, bar = drawn[0].axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "1", (1, 0): "2.5", (2, 0): "–", (0, 1): "-7", (1, 1): "1.23e4", (2, 1): "0",
    }  # fmt: skip
    at = [{sum(tick.get_position()): tick.get_text() for tick in ticks if tick.get_text()}
          for ticks in (axes.get_xticklabels(), axes.get_yticklabels())]  # fmt: skip
    assert at == [{0: "3e-4", 1: "1e-3", 2: "0.01"}, {0: "0.5", 1: "2"}]
    (frame,) = axes.patches
    assert frame.get_xy() == (0.5, 0.5)
    assert legend(drawn[0]) == ["best: 1.23e4"]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array().filled(np.nan), values)
    assert axes.get_ylim() == (-0.5, 1.5), "the first row at the bottom"
    labels = axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()
    assert labels == AXES
    # Text contrasts with its cell.
    for (column, row), text in zip(written, axes.texts, strict=True):
        shade = image.to_rgba(np.ma.masked_invalid(values))[row, column]
        luminance = np.dot(np.power(shade[:3], 2.2), [0.2126, 0.7152, 0.0722])
        assert text.get_color() == ("black" if luminance > 0.18 else "white")


@pytest.mark.parametrize("scale", [1e-3, 1e5])
@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (5, 20), (20, 5), (40, 300)])
def test_no_text_in_a_heat_map_overlaps(drawn, rows, columns, scale):
    values = np.random.default_rng(0).normal(size=(rows, columns)) * scale
    x = scale * np.arange(1, columns + 1) * 1.25
    heat_maps.draw_heat_map(None, values, x, np.arange(rows), AXES, None)
    drawn[0].draw_without_rendering()
    axes = drawn[0].axes[0]
    for texts in (axes.get_xticklabels(), axes.get_yticklabels(), axes.texts):
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_scores_that_are_missing_or_equal_can_be_drawn(value):
    picture(heat_maps.draw_heat_map, np.full((2, 3), value), np.arange(3), np.arange(2), AXES, None)
    picture(heat_maps.draw_scatter, np.full(4, value), np.ones(4), np.ones(4), AXES, None)


def test_random_draws_are_points_and_the_best_is_marked(drawn):
    rates, discounts = np.array([1e-4, 1e-2, 1e-3, 3e-3]), np.array([0.9, 0.95, 0.99, 0.97])
    scores = np.array([10.0, np.nan, 30.0, 20.0])
    heat_maps.draw_scatter(None, scores, rates, discounts, AXES, 2)
    axes, _ = drawn[0].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    (points,) = axes.collections
    assert points.get_array().tolist() == [10, 20, 30]
    np.testing.assert_array_equal(points.get_offsets()[:, 0], [1e-4, 3e-3, 1e-3])
    np.testing.assert_array_equal(line(axes, "no score"), [[1e-2], [0.95]])
    np.testing.assert_array_equal(line(axes, "best: 30 at (1e-3, 0.99)"), [[1e-3], [0.99]])


def test_scores_of_a_single_setting_are_the_heights_of_points(drawn):
    rates, scores = np.array([1e-4, 1e-3, 1e-2]), np.array([10.0, np.nan, 400.0])
    labels = heat_maps.Labels("a title", "learning rate", "return", "return")
    heat_maps.draw_scatter(None, scores, rates, scores, labels, 2)
    (axes,) = drawn[0].axes  # a colour bar would repeat the axis of y
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert legend(drawn[0]) == ["no score", "best: 400 at 0.01"]
    np.testing.assert_array_equal(line(axes, "no score"), [[1e-3], [0.0]])
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[1e-4, 10], [1e-2, 400]])


def test_numbers_are_short():
    for value, text in (
        (0.0, "0"), (3e-4, "3e-4"), (-3e-4, "-3e-4"), (0.00316, "3.16e-3"), (0.01, "0.01"),
        (0.25, "0.25"), (-7, "-7"), (500, "500"), (2500, "2500"), (9999.6, "1e4"),
        (150000, "1.5e5"), (1e10, "1e10"), (123.456, "123"),
    ):  # fmt: skip
        assert heat_maps.short_number(value) == text


def test_steps_are_logarithmic_where_learning_is_early(drawn):
    early, late = np.minimum(np.arange(100.0), 4.0), np.arange(100.0)
    begun = np.stack([early] * 4)
    begun[0, :3] = np.nan  # its first episode is not finished
    for values, scale in (
        (early[None], "log"), (-500 + 100 * early[None], "log"), (begun, "log"),
        (late[None], "linear"), (np.full((2, 100), 9.0), "linear"),
    ):  # fmt: skip
        curves.draw_learning_curve(None, np.arange(1, 101), values, title="a", threshold=None)
        assert drawn[-1].axes[0].get_xscale() == scale


def test_curves_are_drawn_on_axes_of_ones_own():
    metrics = some_metrics(np.ones((3, 40)), np.arange(120.0).reshape(3, 40))
    axes = Figure().add_subplot()
    algorithm = a2c.Algorithm(None, None, 5)
    for label in ("one", "other"):
        assert experiment.plot_curve(metrics, algorithm, ax=axes, label=label) is axes
    steps, means = line(axes, "one")
    np.testing.assert_array_equal(steps, np.arange(1, 41) * 5)
    np.testing.assert_allclose(means, stats.trim_mean(metrics.episode_return_sum, 0.25))
    assert len({each.get_color() for each in axes.get_lines()}) == 2
    assert len(axes.collections) == 2
