"""What the pictures of runs show, and that they can be drawn of anything a run may come to."""

import functools
import io
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

import a2c_jax as a2c
from a2c_jax.experiment.figures import canvas
from a2c_jax.experiment.figures.heat_maps import draw_heat_map, draw_scatter, short_number
from a2c_jax.experiment.figures.quantities import (
    QUANTITIES,
    PlotRun,
    draw_performance_profile,
    draw_quantity,
    draw_solve_times,
    pool_updates,
    run_plot_writers,
)
from a2c_jax.experiment.statistics.learning import final_returns

STARTS = {"png": b"\x89PNG", "svg": b"<?xml"}


def some_run(label="a run", num_seeds=4, num_updates=250, seed=0, **changes):
    """A run of whatever numbers; on average two episodes an update."""
    rng = np.random.default_rng(seed)
    shape = (num_seeds, num_updates)
    counts = rng.poisson(2.0, shape).astype(np.float32)
    metrics = a2c.Metrics(
        episode_return_sum=(counts * rng.normal(100, 20, shape)).astype(np.float32),
        episode_length_sum=(counts * rng.uniform(20, 90, shape)).astype(np.float32),
        episode_count=counts,
        policy_loss=rng.normal(size=shape).astype(np.float32),
        value_loss=rng.lognormal(size=shape).astype(np.float32),
        entropy=rng.random(shape).astype(np.float32),
        grad_norm=rng.lognormal(size=shape).astype(np.float32),
        explained_variance=rng.uniform(-0.5, 1.0, shape).astype(np.float32),
        steps=np.full(shape, 40.0, np.float32),
    )
    position = 40 * np.arange(1, num_updates + 1)
    solved_at = np.where(rng.random(num_seeds) < 0.7, rng.choice(position, num_seeds), np.inf)
    return PlotRun(label, position, metrics._replace(**changes), solved_at)


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is saved."""
    figures, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def picture(draw, *args, **kwargs):
    file = io.BytesIO()
    draw(file, *args, **kwargs)
    assert file.getvalue().startswith(STARTS[kwargs.get("format", "png")])
    return file.getvalue()


def line(axes, label):
    (found,) = (line for line in axes.get_lines() if line.get_label() == label)
    return found.get_xdata(), found.get_ydata()


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def pooled_by_loop(run, quantity, width):
    """Stretches of ``width`` updates, one number after another."""
    counts = run.metrics.episode_count
    rows = []
    for seed in range(len(counts)):
        row, last = [], np.nan
        for start in range(0, counts.shape[1], width):
            stretch = slice(start, start + width)
            if quantity in {"returns", "lengths"}:
                sums = getattr(run.metrics, f"episode_{quantity[:-1]}_sum")[seed, stretch]
                if counts[seed, stretch].sum():
                    last = sums.astype(float).sum() / counts[seed, stretch].sum()
            else:
                last = getattr(run.metrics, quantity)[seed, stretch].astype(float).mean()
            row.append(last)
        rows.append(row)
    ends = [min(start + width, counts.shape[1]) for start in range(0, counts.shape[1], width)]
    return 40 * np.array(ends), np.array(rows)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_quantity_is_pooled_over_stretches(quantity):
    run = some_run()
    counts = run.metrics.episode_count.copy()
    counts[1, 30:60] = 0.0  # gaps of many stretches, one of them at the beginning
    counts[2, :12] = 0.0
    metrics = run.metrics._replace(
        episode_count=counts,
        episode_return_sum=np.where(counts > 0, run.metrics.episode_return_sum, 0.0),
        episode_length_sum=np.where(counts > 0, run.metrics.episode_length_sum, 0.0),
    )
    run = run._replace(metrics=metrics)
    position, values = pool_updates(run, quantity)
    expected_position, expected = pooled_by_loop(run, quantity, 3)
    np.testing.assert_array_equal(position, expected_position)
    assert len(position) == 84
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_returns_are_pooled_as_in_the_learning_curve():
    run = some_run()
    position, values = pool_updates(run, "returns")
    steps, returns = a2c.learning_curve(run.metrics, a2c.Algorithm(None, None, 40))
    assert np.isfinite(returns).all()
    np.testing.assert_array_equal(position, steps)
    np.testing.assert_array_equal(values, returns)


def test_where_episodes_are_rare_there_are_fewer_stretches():
    rare = np.zeros((2, 1000), np.float32)
    rare[:, ::25] = 1.0  # 40 episodes of each seed
    run = some_run(num_seeds=2, num_updates=1000, episode_count=rare, episode_return_sum=rare)
    assert len(pool_updates(run, "returns")[0]) == 40
    assert len(pool_updates(run, "entropy")[0]) == 100


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_one_run_is_drawn_seed_by_seed_and_pooled(drawn, quantity):
    run = some_run()
    picture(draw_quantity, [run], quantity, unit="steps", threshold=90.0)
    (axes,) = drawn[0].axes
    pooled = "interquartile mean of 4 seeds, 95 % interval"
    assert legend(axes) == ["each seed", pooled]
    position, values = pooled_by_loop(run, quantity, 3)
    steps, means = line(axes, pooled)
    np.testing.assert_array_equal(steps, position)
    # The middle half of four is their middle two.
    np.testing.assert_allclose(means, np.sort(values, axis=0)[1:3].mean(axis=0), rtol=1e-6)
    thin = [line.get_ydata() for line in axes.get_lines()[:4]]
    np.testing.assert_allclose(thin, values, rtol=1e-6)
    (band,) = axes.collections
    low = band.get_paths()[0].vertices[1 : 1 + len(position), 1]
    assert (low <= means).all()
    assert (low >= values.min(axis=0) - 1e-6).all()
    assert axes.get_title() == "a run"
    assert axes.get_xlabel() == "environment steps of each seed"
    assert axes.get_ylabel() == QUANTITIES[quantity]
    assert [text.get_text() for text in axes.texts] == ["solved: 90"] * (quantity == "returns")


def test_one_seed_is_its_curve_alone(drawn):
    run = some_run(num_seeds=1)
    picture(draw_quantity, [run], "entropy", unit="episodes")
    (axes,) = drawn[0].axes
    (curve,) = axes.get_lines()
    np.testing.assert_allclose(curve.get_ydata(), pooled_by_loop(run, "entropy", 3)[1][0])
    assert axes.get_legend() is None
    assert not axes.collections
    assert axes.get_xlabel() == "episodes of each seed"


def test_several_runs_are_told_apart(drawn):
    runs = [some_run(f"run {n}", 3, 20 * (n + 1), n) for n in range(12)]
    picture(draw_quantity, runs, "entropy", unit="steps")
    (axes,) = drawn[0].axes
    assert legend(axes) == [run.label for run in runs]
    for run in runs:
        steps, means = line(axes, run.label)
        width = -(-len(run.position) // 100)
        position, values = pooled_by_loop(run, "entropy", width)
        np.testing.assert_array_equal(steps, position)
        np.testing.assert_allclose(means, stats.trim_mean(values, 0.25), rtol=1e-6)
    styles = {(found.get_color(), found.get_linestyle()) for found in axes.get_lines()}
    assert len(styles) == 12
    assert len({color for color, _ in styles}) == 8
    assert len(axes.collections) == 12, "every one has its band"
    assert axes.get_xlim()[1] >= runs[-1].position[-1]


def test_the_styles_of_32_runs_differ():
    assert len({tuple(canvas.line_style(n).values()) for n in range(32)}) == 32


LABELS = {
    "short": "gae",
    "middling": "gae, learning rate 1e-3, entropy 0.01",
    "long": "runs/2026-10-03T12-30-11-default-gae-with-a-rather-long-folder-name " * 2,
}


@pytest.mark.parametrize("length", LABELS)
@pytest.mark.parametrize("number", [2, 12])
def test_the_legend_lies_below_the_axes_and_inside_the_figure(drawn, length, number):
    runs = [some_run(f"{n} {LABELS[length]}", 1, 20, n) for n in range(number)]
    picture(draw_quantity, runs, "entropy", unit="steps", threshold=0.5)
    (figure,) = drawn
    (axes,) = figure.axes
    box = axes.get_legend().get_window_extent()
    assert box.y1 < axes.xaxis.label.get_window_extent().y0
    assert box.y0 >= 0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert axes.bbox.height > 2.5 * figure.dpi, "the axes stay as high as they are"
    assert axes.bbox.width > 5 * figure.dpi


def test_a_loss_over_orders_of_magnitude_is_drawn_on_a_logarithmic_axis(drawn):
    wide = np.logspace(-2, 3, 50)[None].repeat(2, axis=0)
    run = some_run(num_seeds=2, num_updates=50, value_loss=wide, policy_loss=wide)
    for quantity in ("value_loss", "policy_loss", "grad_norm"):
        picture(draw_quantity, [run], quantity, unit="steps")
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["log", "linear", "linear"]


def test_explained_variance_far_below_zero_is_cut_off_and_says_so(drawn):
    far = np.linspace(-300.0, 0.9, 50)[None].repeat(2, axis=0)
    run = some_run(num_seeds=2, num_updates=50, explained_variance=far)
    picture(draw_quantity, [run], "explained_variance", unit="steps")
    (axes,) = drawn[0].axes
    assert axes.get_ylim()[0] == -1.0
    assert axes.get_ylim()[1] >= 0.9
    assert "cut off" in axes.get_ylabel()


def test_solve_times_are_steps_and_stop_where_seeds_are_censored(drawn):
    first = some_run("first", 4, 50)._replace(time_to_solve=np.array([np.inf, 400, 800, 400.0]))
    short = some_run("short", 3, 25)._replace(time_to_solve=np.array([120.0, 40.0, 200.0]))
    without = some_run("no threshold")._replace(time_to_solve=None)
    picture(draw_solve_times, [first, short, without], unit="steps", end=2000.0)
    (axes,) = drawn[0].axes
    assert legend(axes) == ["first: 3 of 4", "short: 3 of 3"]
    times, fractions = line(axes, "first: 3 of 4")
    np.testing.assert_array_equal(times, [0, 400, 800, 2000])
    np.testing.assert_array_equal(fractions, [0, 0.5, 0.75, 0.75])
    # The short run was not looked at after its own end.
    times, fractions = line(axes, "short: 3 of 3")
    np.testing.assert_array_equal(times, [0, 40, 120, 200, 1000])
    np.testing.assert_allclose(fractions, [0, 1 / 3, 2 / 3, 1, 1])
    assert {found.get_drawstyle() for found in axes.get_lines()[:1]} == {"steps-post"}
    (cross,) = (found for found in axes.get_lines() if found.get_marker() == "x")
    np.testing.assert_array_equal(cross.get_xydata(), [[2000, 0.75]])
    assert len(axes.collections) == 2
    interval = stats.binomtest(3, 4).proportion_ci(method="wilson")
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.max(), heights[heights > 0].min()) == pytest.approx(
        (interval.high, stats.binomtest(2, 4).proportion_ci(method="wilson").low)
    )


def test_the_profile_is_the_fraction_of_seeds_above(drawn):
    runs = [some_run("one", 7, seed=1), some_run("two", 9, seed=2)]
    picture(draw_performance_profile, runs, threshold=101.0)
    (axes,) = drawn[0].axes
    assert legend(axes) == ["one", "two", "solved: 101"]
    for run in runs:
        final = final_returns(run.metrics)
        above, fractions = line(axes, run.label)
        assert above[0] < final.min()
        assert above[-1] > final.max()
        # Right of a jump and until the next: what is drawn is what holds between them.
        middles = (above[1:] + above[:-1]) / 2
        loop = [np.mean([score > middle for score in final]) for middle in middles]
        np.testing.assert_allclose(fractions[:-1], loop)
        assert fractions[-1] == 0
    assert len(axes.collections) == 2
    picture(draw_performance_profile, [some_run(str(n), seed=n) for n in range(12)])
    assert not drawn[1].axes[0].collections, "twelve bands would hide each other"


def test_the_pictures_by_name():
    runs = [some_run(), some_run("another", seed=1)]
    names = {f"{name}.svg" for name in (*QUANTITIES, "solve_times", "performance_profile")}
    writers = run_plot_writers(runs, "steps", 90.0, "svg")
    assert set(writers) == names
    for write in writers.values():
        file = io.BytesIO()
        write(file)
        assert file.getvalue().startswith(STARTS["svg"])
    without = [run._replace(time_to_solve=None) for run in runs]
    assert set(run_plot_writers(without, "steps", None, "svg")) == names - {"solve_times.svg"}


def test_the_same_runs_give_the_same_svg_with_text_as_text():
    runs = [some_run(num_seeds=60, num_updates=30)]  # so many that seeds are a picture inside
    options = {"quantity": "returns", "unit": "steps", "format": "svg"}
    svg = picture(draw_quantity, runs, **options)
    assert svg == picture(draw_quantity, runs, **options)
    assert b"<dc:date>" not in svg
    assert b">mean episode return</text>" in svg
    assert svg.count(b"<image") == 1


NOTHING = dict.fromkeys(("episode_count", "episode_return_sum", "episode_length_sum"), 0.0)
BAD = {
    "no episode": NOTHING,
    "diverged": dict.fromkeys(("policy_loss", "value_loss", "entropy", "grad_norm"), np.nan),
    "infinite": dict.fromkeys(("policy_loss", "value_loss", "explained_variance"), np.inf),
}


@pytest.mark.parametrize(
    ("num_seeds", "labels"),
    [
        (1, ["1 seed", "0 of 1 seed by the end"]),
        (2, ["2 seeds, 95 % interval", "0 of 2 seeds by the end, 95 % interval"]),
    ],
)
def test_fractions_of_one_run_say_of_how_many_seeds(drawn, num_seeds, labels):
    run = some_run(num_seeds=num_seeds)._replace(time_to_solve=np.full(num_seeds, np.inf))
    picture(draw_performance_profile, [run])
    picture(draw_solve_times, [run], unit="steps", end=100.0)
    assert [legend(figure.axes[0]) for figure in drawn] == [[label] for label in labels]
    assert [bool(figure.axes[0].collections) for figure in drawn] == [num_seeds > 1] * 2


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("num_seeds", "num_updates"), [(1, 1), (3, 30)])
def test_anything_can_be_drawn(monkeypatch, bad, num_seeds, num_updates):
    coarse = functools.partialmethod(Figure.savefig, dpi=20)  # quicker
    monkeypatch.setattr(Figure, "savefig", coarse)
    shape = (num_seeds, num_updates)
    changes = {name: np.full(shape, value, np.float32) for name, value in BAD[bad].items()}
    run = some_run("bad", num_seeds, num_updates, **changes)
    run = run._replace(time_to_solve=np.full(num_seeds, np.inf))
    for runs in ([run], [run, some_run("good", 2, 10)]):
        for write in run_plot_writers(runs, "episodes", 475.0).values():
            write(io.BytesIO())


def test_a_run_of_which_nothing_is_known_is_named_all_the_same(drawn):
    nothing = {name: np.zeros((3, 30), np.float32) for name in NOTHING}
    runs = [some_run("good"), some_run("bad", 3, 30, **nothing)]
    picture(draw_quantity, runs, "returns", unit="steps")
    assert legend(drawn[0].axes[0]) == ["good", "bad (no values)"]


def test_500_seeds_can_be_drawn():
    run = some_run(num_seeds=500, num_updates=20)
    writers = run_plot_writers([run], "steps", 90.0)
    for name in ("returns", "solve_times", "performance_profile"):
        writers[f"{name}.png"](io.BytesIO())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: run_plot_writers([], "steps"), "runs is empty; give"),
        (lambda f: draw_quantity(f, [some_run()], "regret", unit="steps"), "quantity is 'regret';"),
        (lambda f: draw_quantity(f, [some_run()], "returns", unit="hours"), "unit is 'hours';"),
        (
            lambda f: run_plot_writers([some_run()._replace(position=np.arange(3))], "steps"),
            r"position of 'a run' has shape \(3,\) where its metrics have \(4, 250\); give",
        ),
        (
            lambda f: draw_heat_map(f, np.ones((2, 3)), x=[1, 2], y=[1, 2], xlabel="", ylabel=""),
            r"values has shape \(2, 3\) where y and x have \(2, 2\); give",
        ),
        (
            lambda f: draw_scatter(f, np.ones(2), np.ones(2), np.ones(3), xlabel="", ylabel=""),
            r"scores has shape \(3,\) where x has \(2,\) and y \(2,\); give",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(io.BytesIO())


@pytest.mark.parametrize("best", ["highest", "lowest"])
def test_a_heat_map_says_each_value_and_frames_the_best(drawn, best):
    values = np.array([[1.0, 2.5, np.nan], [-7.0, 12345.0, 0.0]])
    picture(
        draw_heat_map, values, x=[3e-4, 1e-3, 0.01], y=["a", "b"], xlabel="learning rate",
        ylabel="method", colorbar_label="return", title="a title", best=best,
    )  # fmt: skip
    axes, bar = drawn[0].axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "1", (1, 0): "2.5", (2, 0): "–", (0, 1): "-7", (1, 1): "1.23e4", (2, 1): "0",
    }  # fmt: skip
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["3e-4", "1e-3", "0.01"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    (frame,) = axes.patches
    middle = frame.get_x() + 0.5, frame.get_y() + 0.5
    assert middle == {"highest": (1, 1), "lowest": (0, 1)}[best]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array().filled(np.nan), values)
    assert axes.get_ylim() == (-0.5, 1.5), "the first row at the bottom"
    assert bar.get_ylabel() == "return"
    # Writing stands out from its cell.
    for (column, row), text in zip(written, axes.texts, strict=True):
        shade = image.to_rgba(np.ma.masked_invalid(values))[row, column]
        dark = np.dot(np.power(shade[:3], 2.2), [0.2126, 0.7152, 0.0722])
        assert text.get_color() == ("black" if dark > 0.18 else "white")


def overlap(texts):
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 7), (5, 20), (20, 5), (40, 300)])
@pytest.mark.parametrize("scale", [1e-3, 1e5])
def test_nothing_in_a_heat_map_overlaps(drawn, rows, columns, scale):
    values = np.random.default_rng(0).normal(size=(rows, columns)) * scale
    picture(
        draw_heat_map, values, x=scale * np.arange(1, columns + 1) * 1.25, y=np.arange(rows),
        xlabel="steps", ylabel="seed",
    )  # fmt: skip
    axes = drawn[0].axes[0]
    assert not overlap(axes.get_xticklabels())
    assert not overlap(axes.get_yticklabels())
    assert not overlap(axes.texts)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_heat_maps_and_draws_of_nothing_or_all_alike_can_be_drawn(value):
    grid = np.full((2, 3), value)
    picture(draw_heat_map, grid, x=[1, 2, 3], y=[1, 2], xlabel="x", ylabel="y", format="svg")
    picture(draw_scatter, np.ones(4), np.ones(4), np.full(4, value), xlabel="x", ylabel="y")


def test_random_draws_are_points_and_the_best_is_ringed(drawn):
    rates, discounts = np.array([1e-4, 1e-2, 1e-3, 3e-3]), np.array([0.9, 0.95, 0.99, 0.97])
    scores = np.array([10.0, np.nan, 30.0, 20.0])
    options = {"xlabel": "learning rate", "ylabel": "discount", "colorbar_label": "return"}
    picture(draw_scatter, rates, discounts, scores, **options)
    axes, _ = drawn[0].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_array(), [10, 20, 30])
    np.testing.assert_array_equal(points.get_offsets()[:, 0], [1e-4, 3e-3, 1e-3])
    np.testing.assert_array_equal(line(axes, "no score"), [[1e-2], [0.95]])
    np.testing.assert_array_equal(line(axes, "best: 30 at (1e-3, 0.99)"), [[1e-3], [0.99]])
    picture(draw_scatter, rates, discounts, scores, best="lowest", **options)
    assert "best: 10 at (1e-4, 0.9)" in legend(drawn[1].axes[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (3e-4, "3e-4"), (-3e-4, "-3e-4"), (0.00316, "3.16e-3"), (0.01, "0.01"),
        (0.25, "0.25"), (-7, "-7"), (500, "500"), (2500, "2500"), (9999.6, "1e4"),
        (10000, "1e4"), (150000, "1.5e5"), (1e10, "1e10"), (123.456, "123"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert short_number(value) == text
