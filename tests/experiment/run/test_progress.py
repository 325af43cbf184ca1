import dataclasses
import io

import numpy as np
from rich.console import Console
from test_metrics import some_metrics

from a2c_jax.experiment.config.config import TrainConfig, default_config
from a2c_jax.experiment.run import progress
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.progress import (
    Reporter,
    environment_steps,
    episode_lines,
)
from a2c_jax.experiment.tables import result_table


def outcome_after(num_updates):
    metrics = some_metrics(np.ones((16, num_updates)), np.full((16, num_updates), 480.0))
    return Outcome([], metrics, compile_seconds=4.0, train_seconds=2.0)


def test_a_terminal_sees_a_bar_with_its_figures():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    job = make_job(TrainConfig())
    with Reporter(console, job) as reporter:
        reporter.report(outcome_after(0))
        reporter.report(outcome_after(750))
    text = console.file.getvalue()
    assert "Compiled in 4.0 s." in text
    # 750 updates of 40 steps for 16 seeds in 2 s are 240,000 steps a second
    for part in ["30k/150k steps × 16 ━", "240k steps/s", "return 480.0", "solved 100% "]:
        assert part in text


def test_the_table_holds_the_figures():
    console = Console(file=io.StringIO(), width=80)
    job = make_job(TrainConfig())
    console.print(result_table(describe_outcome(job, outcome_after(7500))))
    text = console.file.getvalue()
    # solved after 100 episodes, one an update of 40 steps
    for part in ["16 of 16 (100%)", "4,000", "480.0", "4.0 s", "Finished"]:
        assert part in text


def article_job(**changes):
    return make_job(dataclasses.replace(default_config("article", None), **changes))


def episodes(rewards, lengths, number=None):
    """The outcome of the article's loop after the first ``number`` of these episodes."""
    metrics = some_metrics(np.ones_like(rewards), rewards)._replace(episode_length_sum=lengths)
    metrics = type(metrics)(*[np.asarray(field)[:, :number] for field in metrics])
    return Outcome([], metrics, compile_seconds=4.0, train_seconds=2.0)


def told(console):
    return [line for line in console.file.getvalue().splitlines() if line.startswith("episode:")]


def test_every_tenth_episode_has_the_articles_line():
    # Lengths 1, 2, 3, … and rewards of ten times as much: the last ten of 21 are 12 … 21.
    lengths = np.arange(1.0, 26.0)[None]
    metrics = episodes(10 * lengths, lengths).metrics
    assert episode_lines(metrics, 0) == [
        "episode: 0, reward: 10.0, total length: 1, average length: 1.0",
        "episode: 10, reward: 110.0, total length: 11, average length: 6.5",
        "episode: 20, reward: 210.0, total length: 21, average length: 16.5",
    ]
    assert episode_lines(metrics, 10) == episode_lines(metrics, 0)[1:]
    assert episode_lines(metrics, 11) == episode_lines(metrics, 0)[2:]
    assert episode_lines(metrics, 21) == []


def test_lines_are_told_once_each_however_the_run_is_cut():
    lengths = np.arange(1.0, 36.0)[None]
    whole = episodes(10 * lengths, lengths)
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=80)
        with Reporter(console, article_job()) as reporter:
            for number in (0, 2, 10, 11, 29, 35):
                reporter.report(episodes(10 * lengths, lengths, number))
        text = console.file.getvalue()
        lines = episode_lines(whole.metrics, 0)
        assert [text.count(line) for line in lines] == [1, 1, 1, 1]
        assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)


def test_many_seeds_of_the_articles_loop_have_a_line_of_their_own_kind(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    lengths = np.full((3, 20), 50.0)
    console = Console(file=io.StringIO(), width=80)
    with Reporter(console, article_job(num_seeds=3)) as reporter:
        reporter.report(episodes(lengths, lengths))
    assert told(console) == []
    # 3 seeds, 20 episodes and 50 steps are 3000 steps, in 2 s
    text = console.file.getvalue()
    assert text.startswith("20/3k episodes × 3, 1.5k steps/s, return 50.0, solved 0%")


def test_environment_steps_of_rollouts_are_counted_and_those_of_episodes_added_up():
    lengths = np.array([[3.0, 4.0], [5.0, 6.0]])
    outcome = episodes(np.ones((2, 2)), lengths)
    assert environment_steps(article_job(num_seeds=2), outcome) == 18.0
    # 2 updates of 40 steps for 2 seeds
    assert environment_steps(make_job(TrainConfig(num_seeds=2)), outcome) == 160.0


def test_the_articles_table_counts_episodes():
    lengths = np.full((1, 300), 198.0)
    lengths[0, :100] = 10.0
    console = Console(file=io.StringIO(), width=80)
    console.print(result_table(describe_outcome(article_job(), episodes(lengths, lengths))))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in
            console.file.getvalue().splitlines() if "│" in line]  # fmt: skip
    table = dict(rows)
    # (100 - k) * 198 + k * 10 over 100 is at least 195 with k = 1: after 199 episodes
    assert table["Median episodes to solve"] == "199"
    assert table["Episodes of each seed"] == "300"
    # 100 * 10 + 200 * 198 steps in 2 s
    assert table["Steps a second, all seeds"] == "20,300"
    assert "Interrupted" in console.file.getvalue(), "300 of 3000 episodes"
