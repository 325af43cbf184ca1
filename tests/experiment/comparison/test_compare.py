"""Comparisons of methods: their jobs, their files, and what is refused."""

import contextlib
import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from optional_suites import for_each
from rich.console import Console

from a2c_jax.experiment.cli import commands, main as cli
from a2c_jax.experiment.cli.flags import parse_compare
from a2c_jax.experiment.comparison import compare as comparison, report as comparison_report
from a2c_jax.experiment.comparison.compare import Comparison, default_comparison, resolve_all
from a2c_jax.experiment.comparison.gradients import StageNoise
from a2c_jax.experiment.config.config import SUITED
from a2c_jax.experiment.config.settings import replace
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.methods import METHODS
from a2c_jax.presets import PRESETS
from a2c_jax.types import Metrics

FILES = {"config.json", "summary.json", "curves.npz", "table.md", "comparison.png", ".lock"}
NUMBERS = ["--num-seeds", "2", "--total-steps", "4000", "--hidden-sizes", "8"]
TWO = ["--algorithms", "reinforce", "td-actor-critic", *NUMBERS]


def read(folder, name):
    return json.loads((folder / name).read_text())


def read_table(folder):
    """The cells of table.md."""
    header, rule, *rows = (folder / "table.md").read_text().splitlines()
    assert set(rule) == set("| -")
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in (header, *rows)]


def settings_of(*flags):
    return parse_compare(flags)[1]


def trained(job, *, on_chunk, should_stop):
    """In place of training: an episode in each update, half of the updates if interrupted."""
    num_updates = job.num_updates
    shape = (len(job.keys), num_updates // 2 if should_stop() else num_updates)
    returns = np.random.default_rng(num_updates).uniform(100, 300, shape).astype(np.float32)
    ones = np.ones_like(returns)
    steps = job.algorithm.steps_per_update * ones
    outcome = Outcome([], Metrics(returns, returns, ones, *[ones] * 5, steps=steps), 1.0, 1.0)
    on_chunk(outcome)
    return outcome


@pytest.fixture
def untrained(monkeypatch):
    """Makes up the results of training and of the measurement of gradients; returns the calls."""
    calls = []
    monkeypatch.setattr(comparison, "train_in_chunks", trained)
    monkeypatch.setattr(
        comparison, "measure_stages", lambda *args: calls.append(args) or stages_of(0.5)
    )
    return calls


def test_a_comparison_writes_one_table_and_one_figure(untrained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["reinforce", "a2c", "a3c"]
    flags = ["--algorithms", *names, *NUMBERS]
    assert cli.main(["compare", *flags, "--gradient-episodes", "4"]) == 0
    ((_, env, measured, preset, num_episodes, _),) = untrained
    assert (env.name, num_episodes) == ("CartPole-v1", 4)
    settings = settings_of(*flags)
    assert measured == {name: settings[name] for name in names[:2]}, "A3C has A2C's gradients"
    general = replace(PRESETS["general"], normalize_advantages=False)
    assert preset == replace(general, total_steps=4000, hidden_sizes=(8,))
    (folder,) = (tmp_path / "runs").glob("CartPole-v1-compare-*")
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")

    config, summary = read(folder, "config.json"), read(folder, "summary.json")
    assert (config["seeds"], config["gradient_episodes"]) == ([0, 1], 4)
    assert list(config["methods"]) == list(summary["methods"]) == names
    for name, settings in config["methods"].items():
        assert (settings["method"], settings["total_steps"]) == (name, 4000)
        assert settings["normalize_advantages"] is False
    assert [settings["num_steps"] for settings in config["methods"].values()] == [500, 5, 5]
    assert summary["finished"] is True
    assert [one["num_updates"] for one in summary["methods"].values()] == [4, 100, 25]
    assert [one["steps_per_seed"] for one in summary["methods"].values()] == [4000] * 3

    with np.load(folder / "curves.npz") as curves:
        assert set(curves.files) == {f"{n}/{what}" for n in names for what in ("steps", "returns")}
        for name, points in zip(names[:2], (4, 20), strict=True):
            steps = np.linspace(4000 / points, 4000, points)
            np.testing.assert_array_equal(curves[f"{name}/steps"], steps)
            returns = curves[f"{name}/returns"]
            # Of equally many episodes at each point, those of all are their mean.
            final = summary["methods"][name]["final_returns"]
            np.testing.assert_allclose(returns.mean(axis=1), final, rtol=1e-5)

    _, *rows = read_table(folder)
    assert [row[0] for row in rows] == names
    screen = capsys.readouterr().out
    for name, *_, solved, median, _, first, second, third in rows:
        assert summary["methods"][name]["fraction_solved"] == 0.0
        assert (solved, median, first, second, third) == ("0%", "none", *["0.5 ± 0.003"] * 3)
        assert f"{name}: 2 seeds of 4,000 steps" in screen
    better = summary["probability_of_improvement"]
    assert [row[5].split()[0] for row in rows[1:]] == [f"{p['value']:.2f}" for p in better.values()]
    ratios = [stage["ratios"] for stage in summary["gradient_variance"]]
    assert ratios == [dict.fromkeys(METHODS, 0.5)] * 3
    assert str(folder.relative_to(tmp_path)) in screen


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--algorithms a2c a2d", "There is no algorithm 'a2d'; did you mean a2c? choose"),
        ("--algorithms a2c gae a2c", "algorithms holds a2c more than once; name every"),
        ("--algorithms", "algorithms is empty; name at least one"),
        ("--gradient-episodes 2", "gradient_episodes is 2; give at least 3, or 0"),
        ("--preset article", "preset is 'article', an algorithm of its own; give --preset"),
        ("--env Pendulum-v1", "For q-actor-critic: Pendulum-v1 has the "),
        ("--total-steps 900", "For reinforce: total_steps is 900, less than the 1000"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(flags, sentence, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "train_in_chunks", None)
    assert sentence in refused("compare", *flags.split())
    assert not list(tmp_path.iterdir()), "something was written"


@pytest.mark.parametrize("flags", ["--gae-lambda 1 --algorithms a2c", "stray --num-workers 1"])
def test_a_flag_of_none_of_the_methods_is_unknown(flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["compare", *flags.split()])
    error = capsys.readouterr().err
    assert "Unrecognized options" in error
    assert flags.split()[0] in error


def test_a_full_folder_is_refused_before_anything_is_trained(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty; " in refused("compare", *TWO, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("preset", ["general", "article_rollouts"])
def test_each_method_has_the_preset_with_what_suits_it(preset):
    settings = settings_of("--preset", preset)
    assert list(settings) == list(METHODS)
    for name, method in METHODS.items():
        expected = {"method": method, **SUITED.get(name, {}), "normalize_advantages": False}
        assert settings[name] == dataclasses.replace(PRESETS[preset], **expected)


@pytest.mark.parametrize("preset", for_each(each for each in PRESETS if "article" not in each))
def test_every_preset_can_be_compared(preset):
    """With the methods that have settings or agents of their own."""
    config = default_comparison(preset)
    own = {*config.algorithms} & {"reinforce", "q-actor-critic", "gae"}
    assert own >= {"reinforce", "gae"}
    resolve_all(dataclasses.replace(config, algorithms=tuple(own)))


OWN = {
    "a2c": {}, "a3c": {"num_workers": 3, "random_order": True}, "gae": {"gae_lambda": 0.5},
    "q-actor-critic": {"expected": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        ("--num-steps=20 --entropy-coef=0.5", {"num_steps": 20, "entropy_coef": 0.5}),
        ("--normalize-advantages", {"normalize_advantages": True}),
        # The preset's own value overrides what suits a method too.
        ("--num-steps=5", {"num_steps": 5}),
        ("--num-workers=3 --random-order --gae-lambda=0.5 --expected", OWN),
    ],
)
def test_a_flag_changes_every_method_that_has_the_setting(flags, changes):
    if not changes.keys() <= METHODS.keys():
        changes = {name: {**changes} for name in METHODS}
    plain = settings_of()
    assert plain["reinforce"].num_steps == 500
    assert settings_of(*flags.split(), "--algorithms", *changes) == {
        name: replace(plain[name], **each) for name, each in changes.items()
    }


def test_a_total_that_does_not_divide_is_reported_and_no_episodes_skip_the_measurement(
    untrained, tmp_path, capsys
):
    flags = "--algorithms reinforce a2c --num-seeds 2 --total-steps 2040 --gradient-episodes 0"
    assert cli.main(["compare", *flags.split(), "--out", str(tmp_path / "run")]) == 0
    screen = capsys.readouterr().out
    assert "reinforce: total_steps=2,040 is not a multiple of the 1,000 steps" in screen
    assert "a2c: total_steps" not in screen, "2040 are 51 updates of 40 steps"
    assert not untrained


def test_all_methods_have_the_same_seeds_and_steps_up_to_whole_updates():
    jobs = resolve_all(*parse_compare(["--total-steps=12345", "--num-seeds=3", "--seed=7"]))
    assert list(jobs) == list(METHODS)
    for config, job in jobs.values():
        assert (job.seeds, job.unit) == ((7, 8, 9), "steps")
        assert config.settings.total_steps == 12_345
        assert 12_345 - job.per_update < job.units_per_seed <= 12_345


def test_an_interrupted_comparison_keeps_the_methods_that_finished(untrained, tmp_path):
    config, suited = parse_compare(TWO)
    jobs, console = resolve_all(config, suited), Console(file=io.StringIO(), width=80)
    printed = console.file.getvalue
    result = comparison.compare(jobs, console, lambda: "td-actor-critic:" in printed())
    assert list(result.curves) == ["reinforce"]
    assert result.summaries["reinforce"]["finished"] is True
    for ratio in (np.inf, np.nan):  # to a gradient that does not vary: nothing else is lost
        noisy = result._replace(noise=stages_of(ratio))
        comparison_report.write_comparison(tmp_path, config, jobs, noisy)
        ratios = read(tmp_path, "summary.json")["gradient_variance"][0]["ratios"]
        assert ratios["reinforce"] is None

    comparison_report.write_comparison(tmp_path, config, jobs, result)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {".lock"}
    summary = read(tmp_path, "summary.json")
    assert (summary["finished"], list(summary["methods"])) == (False, ["reinforce"])
    assert summary["gradient_variance"] == []
    header, row = read_table(tmp_path)
    assert (len(header), row[0]) == (6, "reinforce")


@pytest.mark.parametrize("answers", [(2,), (0, 0, 0, 2)], ids=["training", "measuring"])
def test_an_interrupt_keeps_the_methods_and_the_stages_that_are_done(
    untrained, answers, tmp_path, monkeypatch, capsys
):
    """Asked before each of two methods, before the measurement, and then again and again."""
    asked = itertools.chain(answers, itertools.repeat(answers[-1]))
    interrupted = contextlib.nullcontext(lambda: next(asked))
    monkeypatch.setattr(commands, "deferred_interrupt", lambda **_: interrupted)
    monkeypatch.setattr(comparison, "measure_stages", lambda *args: stages_of(0.5)[:1])
    assert cli.main(["compare", *TWO, "--out", str(tmp_path / "run")]) == 130
    if answers == (2,):
        assert "interrupted; nothing was written" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
    else:
        summary = read(tmp_path / "run", "summary.json")
        assert summary["finished"] is True  # all methods are
        assert [stage["name"] for stage in summary["gradient_variance"]] == ["2%"]


def summary_of(**changes):
    return {
        "num_diverged": 0, "final_returns": [460.0, 480.0, 490.0, None],
        "final_return_iqm": 485.26, "final_return_interval_95": [460.04, 499.96],
        "solved_threshold": 475.0, "fraction_solved": 0.75, "median_steps_to_solve": 123456.0,
        **changes,
    }  # fmt: skip


def stages_of(ratio):
    ratios, errors = dict.fromkeys(METHODS, ratio), dict.fromkeys(METHODS, 0.00321)
    return tuple(StageNoise(name, 6000, 21.4, ratios, errors) for name in ("2%", "10%", "25%"))


def test_the_table_in_words():
    unsolved = summary_of(median_steps_to_solve=None, fraction_solved=0.0)
    alone = summary_of(final_return_interval_95=None)
    nothing = summary_of(final_return_iqm=None, final_return_interval_95=None)
    no_threshold = summary_of(solved_threshold=None, fraction_solved=None)
    nothing["final_returns"], alone["final_returns"] = [None], [1000.0, 470.0, 470.0, 1000.0]
    ways = (summary_of(), unsolved, alone, nothing, no_threshold)
    summaries = dict(zip(METHODS, ways, strict=False)) | {"a3c": summary_of()}
    stages = stages_of(0.01234)[:1]
    del stages[0].ratios["a3c"], stages[0].errors["a3c"]
    stages[0].ratios["reinforce"], stages[0].errors["reinforce"] = 1.0000001, 1e-8
    header, *rows = comparison_report.table_rows(Comparison(summaries, {}, stages, True))
    assert header == [
        "method", "final return", "95 % interval", "solved", "median steps",
        "probability of improvement on reinforce",
        "gradient variance after 6,000 steps (return 21)",
    ]  # fmt: skip
    ratio = "0.012 ± 0.003"
    same, q = rows[1][5], rows[2][5]
    assert (same[:4], q[:4]) == ("0.50", "0.67")  # 3 of 9 pairs are ties; 8 of 12 are above
    assert rows == [
        ["reinforce", "485.3", "460 to 500", "75%", "123,456", "", "1"],
        ["reinforce-with-baseline", "485.3", "460 to 500", "0%", "none", same, ratio],
        ["q-actor-critic", "485.3", "", "75%", "123,456", q, ratio],
        ["td-actor-critic", "none", "", "75%", "123,456", "", ratio],
        ["a2c", "485.3", "460 to 500", "", "", same, ratio],
        ["a3c", "485.3", "460 to 500", "75%", "123,456", same, "as a2c"],
    ]


def on_screen(result):
    console = Console(file=io.StringIO(), width=80)
    for table in comparison_report.comparison_tables(result):
        console.print(table)
    return console.file.getvalue()


def test_the_table_on_the_screen_names_every_method_in_80_columns():
    summaries = {name: summary_of() for name in METHODS}
    screen = on_screen(Comparison(summaries, {}, stages_of(0.0123), True))
    firsts = [line.split()[0] for line in screen.splitlines() if line.strip()]
    assert [name for name in firsts if name in METHODS] == [*METHODS] * 2
    assert "variance of the gradient, relative to reinforce's" in screen
    assert "a seed ends above a seed of reinforce," in screen
    assert max(map(len, screen.splitlines())) <= 80


def test_returns_below_zero_and_of_thousands_can_be_read():
    costs = summary_of(final_return_iqm=-1353.2, final_return_interval_95=[-1470.4, -999.7])
    result = Comparison({"a2c": costs}, {}, (), True)
    assert comparison_report.table_rows(result)[1][1:3] == ["-1353", "-1470 to -999.7"]
    assert "-1353 -1470 to -1000" in on_screen(result)
