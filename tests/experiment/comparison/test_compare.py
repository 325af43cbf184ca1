"""Comparisons of methods: their runs, their files, and what is refused."""

import contextlib
import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from comparing import assert_same_run
from optional_suites import for_each
from rich.console import Console

from a2c_jax import experiment, parallel
from a2c_jax.experiment.cli import commands, main as cli
from a2c_jax.experiment.cli.flags import parse_compare
from a2c_jax.experiment.comparison import compare as comparison, compare as report
from a2c_jax.experiment.comparison.compare import Comparison, default_comparison, resolve_all
from a2c_jax.experiment.comparison.gradients import StageNoise
from a2c_jax.experiment.run import train as run_training
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.statistics.learning import summarize
from a2c_jax.presets import METHODS, OVERRIDES, PRESETS
from a2c_jax.types import Metrics

NUMBERS = ["--num-seeds", "2", "--total-steps", "4000", "--hidden-sizes", "8"]
TWO = ["--algorithms", "reinforce", "td-actor-critic", *NUMBERS]


def read_tables(folder):
    """The rows of cells of each table of table.md."""
    tables = (folder / "table.md").read_text().split("\n\n")
    rows = [[row.split("|")[1:-1] for row in table.splitlines()] for table in tables]
    return [[[cell.strip() for cell in row] for row in (t[0], *t[2:])] for t in rows]


def settings_of(*flags):
    return {name: one.settings for name, (one, _) in resolve_all(parse_compare(flags)).items()}


def trained(job, *, earlier, on_chunk, should_stop, **others):
    """In place of training: an episode in each update, half of the updates if interrupted."""
    if earlier is not None and earlier.num_updates == job.num_updates:
        return earlier._replace(state=parallel.split_groups(earlier.state, job.layout))
    num_updates = job.num_updates // 2 if should_stop() else job.num_updates
    shape = (len(job.keys), num_updates)
    returns = np.random.default_rng(job.num_updates).uniform(100, 300, shape).astype(np.float32)
    ones = np.ones_like(returns)
    steps = job.algorithm.steps_per_update * ones
    zeros = lambda leaf: parallel._zeros(len(job.keys), leaf)  # noqa: E731
    state = jax.tree.map(zeros, jax.eval_shape(job.algorithm.init, job.keys[0]))
    metrics = Metrics(returns, returns, ones, *[ones] * 5, steps=steps)
    outcome = Outcome(parallel.split_groups(state, job.layout), metrics, 1.0, 1.0)
    on_chunk(outcome)
    return outcome


@pytest.fixture
def untrained(monkeypatch):
    """Makes up the results of training and of the measurement of gradients; returns the calls."""
    calls = []
    monkeypatch.setattr(run_training, "train_in_chunks", trained)
    monkeypatch.setattr(
        comparison, "measure_stages", lambda *args: calls.append(args) or stages_of(0.5)
    )
    return calls


def test_a_comparison_writes_runs_tables_and_figures(untrained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["reinforce", "a2c", "a3c"]
    flags = ["--algorithms", *names, *NUMBERS]
    assert cli.main(["compare", *flags, "--gradient-episodes", "4"]) == 0
    ((_, env, measured, preset, num_episodes, _),) = untrained
    assert (env.name, num_episodes) == ("CartPole-v1", 4)
    settings = settings_of(*flags)
    assert measured == {name: settings[name] for name in names[:2]}, "A3C has A2C's gradients"
    assert preset == dataclasses.replace(
        PRESETS["general"], normalize_advantages=False, total_steps=4000, hidden_sizes=(8,)
    )
    (folder,) = (tmp_path / "runs").glob("CartPole-v1-compare-*")
    files = {path.name for path in folder.iterdir()}
    assert files >= {*names, "config.json", "table.md", "gradients.json", "returns.png"}
    runs = {name: experiment.load_run(folder / name) for name in names}
    for name, run in runs.items():
        assert run.config.settings == settings[name]
        assert (run.job.seeds, run.summary["finished"]) == ((0, 1), True)
    assert [run.config.settings.num_steps for run in runs.values()] == [500, 5, 5]
    assert [run.summary["num_updates"] for run in runs.values()] == [4, 100, 25]

    (_, *rows), (_, *gradients) = read_tables(folder)
    assert [row[0] for row in rows] == [row[0] for row in gradients] == names
    figures = json.loads((folder / "statistics.json").read_text())
    of_first = [pair for pair in figures["probability_of_improvement"] if pair["of"] == names[0]]
    assert [row[5].split()[0] for row in rows[1:]] == [
        f"{1 - pair['probability']:.2f}" for pair in of_first
    ]
    assert {cell for row in gradients for cell in row[1:]} == {"0.5 ± 0.003"}
    ratios = json.loads((folder / "gradients.json").read_text())["gradient_variance"]
    assert [stage["ratios"] for stage in ratios] == [dict.fromkeys(METHODS, 0.5)] * 3
    screen = capsys.readouterr().out
    assert str(folder.relative_to(tmp_path)) in screen
    assert "a2c, preset general, 2 seeds" in screen
    with pytest.raises(ValueError, match="there is a comparison of methods; give a run"):
        experiment.load_run(folder)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--algorithms a2c a2d", "There is no algorithm 'a2d'; did you mean a2c? choose"),
        ("--algorithms a2c gae a2c", "algorithms holds a2c more than once; name every"),
        ("--algorithms", "algorithms is empty; name at least one"),
        ("--algorithms article", "There is no algorithm 'article'"),
        ("--gradient-episodes 2", "gradient_episodes is 2; give at least 3, or 0"),
        ("--preset article", "preset is 'article', an algorithm of its own; give --preset"),
        ("--env Pendulum-v1", "For q-actor-critic: Pendulum-v1 has the "),
        ("--total-steps 900", "For reinforce: total_steps is 900, less than the 1000"),
        ("--gae-lambda 1 --algorithms a2c", "There is no setting of these algorithms 'gae_lambda'"),
        ("--resume nowhere", "which cannot be read"),
        ("--algorithm gae", "--algorithm is given; give --algorithms, the methods to compare"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(flags, sentence, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_training, "train_in_chunks", None)
    assert sentence in refused("compare", *flags.split())
    assert not list(tmp_path.iterdir()), "something was written"


def test_a_full_folder_is_refused_before_anything_is_trained(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty; " in refused("compare", *TWO, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("preset", ["general", "article_rollouts"])
def test_each_method_has_the_preset_with_what_suits_it(preset):
    settings = settings_of("--preset", preset)
    assert list(settings) == list(METHODS)
    for name in METHODS:
        expected = {"method": name, "normalize_advantages": False, **OVERRIDES.get(name, {})}
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
    if not changes.keys() <= {*METHODS}:
        changes = {name: {**changes} for name in METHODS}
        from_python = resolve_all(default_comparison(**changes["a2c"]))
        assert {name: one.settings for name, (one, _) in from_python.items()} == settings_of(
            *flags.split()
        )
    plain = settings_of()
    assert plain["reinforce"].num_steps == 500
    found = settings_of(*flags.split(), "--algorithms", *changes)
    for name, each in changes.items():
        expected = dataclasses.replace(plain[name], **each)
        assert {n: getattr(found[name], n) for n in each} == each
        used = experiment.config.used_settings(expected)
        assert all(getattr(found[name], n) == getattr(expected, n) for n in used)


def test_all_methods_have_the_same_seeds_and_steps_up_to_whole_updates():
    jobs = resolve_all(parse_compare(["--total-steps=12345", "--num-seeds=3", "--seed=7"]))
    assert list(jobs) == list(METHODS)
    for config, job in jobs.values():
        assert (job.seeds, job.unit) == ((7, 8, 9), "steps")
        assert config.settings.total_steps == 12_345
        assert 12_345 - job.per_update < job.units_per_seed <= 12_345


def test_an_interrupted_comparison_resumes(untrained, tmp_path, monkeypatch, capsys):
    """Stopped in the second method, of which a half is saved; then resumed to its end."""
    stops = iter([0, 0, 15, 15, 15, 15, 15])
    stop = contextlib.nullcontext(lambda: next(stops))
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(commands, "deferred_interrupt", lambda **_: stop)
        assert cli.main(["compare", *TWO, "--out", str(folder)]) == 143
    assert f"Resume with: a2c-jax compare --resume {folder}" in capsys.readouterr().out
    assert [row[0] for row in read_tables(folder)[0]] == ["method", "reinforce"]
    first = experiment.load_run(folder / "reinforce")
    assert experiment.load_run(folder / "td-actor-critic").summary["finished"] is False
    assert cli.main(["compare", "--resume", str(folder), "--num-seeds", "3"]) == 2
    assert "whose settings cannot be changed; leave the other" in capsys.readouterr().err
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    assert [row[0] for row in read_tables(folder)[0]] == ["method", *TWO[1:3]]
    assert_same_run(folder / "reinforce", first)
    assert len(untrained) == 1, "the gradients were measured in the end"
    gradients = (folder / "gradients.json").read_bytes()
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    assert len(untrained) == 1, "and not again"
    assert (folder / "gradients.json").read_bytes() == gradients


def test_an_interrupt_before_anything_is_trained_leaves_nothing(
    untrained, tmp_path, monkeypatch, capsys
):
    at_once = contextlib.nullcontext(lambda: 2)
    nothing = lambda job, **others: Outcome([], Metrics(*np.zeros((9, 2, 0))), 0.0, 0.0)  # noqa: E731
    monkeypatch.setattr(commands, "deferred_interrupt", lambda **_: at_once)
    monkeypatch.setattr(run_training, "train_in_chunks", nothing)
    assert cli.main(["compare", *TWO, "--out", str(tmp_path / "run")]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def made_run(tiny_run, returns, solved_at=475.0, **changes):
    """The tiny run, as if its seeds had these final returns, and were solved at a threshold."""
    returns = np.array(returns, np.float32)[:, None] * np.ones((1, 200), np.float32)
    ones = np.where(np.isfinite(returns), 1, 0).astype(np.float32)
    sums = np.where(ones > 0, returns, 0).astype(np.float32)
    metrics = Metrics(sums, sums, ones, *[0 * ones] * 6)
    summary = tiny_run.summary | summarize(metrics, 40, solved_at)
    return tiny_run._replace(metrics=metrics, summary=summary)


def stages_of(ratio):
    ratios, errors = dict.fromkeys(METHODS, ratio), dict.fromkeys(METHODS, 0.00321)
    return tuple(StageNoise(name, 6000, 21.4, ratios, errors) for name in ("2%", "10%", "25%"))


def test_the_tables_in_words(tiny_run):
    nan = float("nan")
    finals = {
        "reinforce": [460, 480, 490, nan], "a2c": [460, 480, 490, nan], "td-actor-critic": [nan],
        "gae": [1000, 470, 470, 1000], "a3c": [-1353.25],
    }  # fmt: skip
    runs = {name: made_run(tiny_run, each) for name, each in finals.items()}
    runs["gae"] = made_run(tiny_run, finals["gae"], solved_at=None)
    stages = stages_of(0.01234)[:1]
    del stages[0].ratios["a3c"], stages[0].errors["a3c"]
    stages[0].ratios["reinforce"], stages[0].errors["reinforce"] = 1.0000001, 1e-8
    stages[0].ratios["gae"] = stages[0].errors["gae"] = np.inf
    result = Comparison(None, runs, stages, True)
    header, *rows = report.table_rows(result)
    assert header == ["method", "return", "95 % interval", "solved", "median", "P(better)"]
    assert [row[:-1] for row in rows] == [
        ["reinforce", "476.7", "460 to 490", "50%", "not reached"],
        ["a2c", "476.7", "460 to 490", "50%", "not reached"],
        ["td-actor-critic", "none", "", "0%", "not reached"],
        ["gae", "735", "470 to 1000", "", ""],
        ["a3c", "-1353", "", "0%", "not reached"],
    ]
    better = [row[-1][:4] for row in rows]
    assert better == ["", "0.50", "", "0.67", "0.00"]  # 3 of 9 pairs are ties; 8 of 12 are above
    low, high = rows[1][-1][6:-1].split(" to ")
    assert 0 <= float(low) < 0.5 < float(high) <= 1
    header, *rows = report.gradient_rows(result)
    assert header == ["method", "after 6,000 (return 21)"]
    ratio = "0.012 ± 0.003"
    assert [row[1] for row in rows] == ["1", ratio, ratio, "–", "as a2c"]
    console = Console(file=io.StringIO(), width=80)
    for table in report.comparison_tables(result):
        console.print(table)
    screen = console.file.getvalue()
    words = " ".join(screen.split())
    firsts = [line.split()[0] for line in screen.splitlines() if line.strip()]
    assert [name for name in firsts if name in finals] == [*finals] * 2
    assert "variance of the gradient, relative to reinforce's" in words
    assert "a seed ends above a seed of reinforce," in words
    assert max(map(len, screen.splitlines())) <= 80


def test_a_gradient_that_does_not_vary_is_written_as_null(tiny_run, tmp_path):
    runs = {"a2c": made_run(tiny_run, [1.0, 2.0])}
    for ratio in (np.inf, np.nan):
        report.write_comparison(tmp_path, Comparison(None, runs, stages_of(ratio), True))
        content = json.loads((tmp_path / "gradients.json").read_text())
        assert content["gradient_variance"][0]["ratios"]["reinforce"] is None
